package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// exchange is one request on its way through the steps. Each step fills in
// what the later ones need.
type exchange struct {
	w     http.ResponseWriter
	r     *http.Request
	began time.Time

	id    string       // 1 request ID
	path  string       // 1 canonical, as sent
	call  *worker.Call // between functions; nil: it came from outside
	query string       // 1 raw

	snapshot *snapshot // 2
	target   *target   // 2
	match    function.Match
	door     *door  // 2 what the match gives to the later steps
	own      string // 2 the path below the function's address
	asking   bool   // 2 a browser asks whether a page may call
	event    *bool  // 2 the body is the event of a call; nil: nobody has looked

	shown     auth.Request   // 3
	principal auth.Principal // 3
	callback  callback       // 3 of a handler that is guarded by signature
	caller    string         // the principal's ID, once callerID was asked for it
	visit     *visit         // 2 and 3 of a browser, at a function with a user of its own

	counted bool             // 5 the call was taken from its limits
	told    told             // 5 what the answer says of them
	body    []byte           // 5 a small body, read whole
	rest    *limitedBody     // 5 a large one, still to be read
	held    supervisor.Lease // 6

	status   int // 8 what was answered
	sent     int64
	code     string // 8 the problem's code; empty when there was none
	started  bool   // 7 something of the answer is out, or of the body gone
	ran      bool   // 7 a worker took the call
	detached bool   // 8 somebody else accounts for it: it is a WebSocket that is open
	work     stint  // 7

	step     int8            // that was begun last
	why      error           // it was refused or failed
	question *audit.Question // nil of a real request
	lot      uint8           // by which a version is drawn, from 1; 0: there was none to draw
	stays    *target         // of a request that is looked at again: what let it in
	traced   traced          // its place in a trace
}

// ServeHTTP takes a request through the eight steps. Steps 2 to 6 are taken
// again when a deployment was replaced between routing and running; nothing
// has been sent to a worker then.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.serve(g.begin(w, r)) }

func (g *Gateway) serve(x *exchange) {
	defer g.account(x) // 8
	x.enter(stepIdentify)
	err := x.identify() // 1
	for try := 0; err == nil; try++ {
		if err = g.admit(x); err != nil {
			break
		}
		if x.match.Handler == nil {
			g.builtin(x)
			return
		}
		if x.target.upstream != nil {
			if err = x.tunnelFault(g.forward(x)); err == nil { // 6 and 7
				return
			}
			break
		}
		x.enter(stepAcquire)
		if err = g.admitSocket(x); err != nil {
			break
		}
		if x.match.Handler.File != nil {
			err = g.sendFile(x)
		} else if x.target.program() {
			err = g.runProgram(x) // 6 and 7
		} else if x.handlerSocket() {
			err = g.serveSocket(x) // 6 and 7
		} else if err = g.acquire(x); err == nil { // 6
			x.enter(stepInvoke)
			err = g.invoke(x) // 7
		}
		if err == nil {
			return
		}
		if moved := errors.Is(err, supervisor.ErrRetired) || errors.Is(err, worker.ErrRefused); !moved || x.started || try == 3 {
			break
		}
		err = nil
	}
	g.refuse(x, err)
}

// admit is steps 2 to 5: memory only, but for the body of a callback, which its
// signature covers, and its mark, and the next block of a quota. A route gives
// values to the steps and cannot switch one off.
func (g *Gateway) admit(x *exchange) error {
	x.enter(stepRoute)
	if err := g.route(x); err != nil { // 2
		return err
	}
	x.enter(stepAuthenticate)
	if err := g.authenticate(x); err != nil { // 3
		return err
	}
	x.enter(stepAuthorise)
	if err := x.authorise(); err != nil { // 4
		return err
	}
	x.enter(stepLimit)
	return g.limit(x) // 5
}

// begin takes an exchange from the pool.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := g.pool.Get().(*exchange) // as account left it
	x.w, x.r, x.began = w, r, time.Now()
	x.traced.put(g.options.Tracer.Begin(r.Header))
	g.metrics.InFlight.Inc()
	return x
}

var (
	errMethod        = fault.New(fault.Invalid, "this method is not served").WithCode("method_not_allowed")
	errRouteMethod   = fault.New(fault.Invalid, "the route does not take this method").WithCode("method_not_allowed").WithHint("use one of those in the Allow header")
	errUnknownMethod = fault.New(fault.Invalid, "this method is not known").WithCode("method_unknown")
	errNoHost        = fault.New(fault.Invalid, "the request names no host")
	errNoFunction    = fault.New(fault.NotFound, "no function answers at this address").WithCode("function_not_found")
	errNoHandler     = fault.New(fault.NotFound, "the function has no handler at this path").WithCode("handler_not_found")
	errSignature     = fault.New(fault.Unauthenticated, "this callback is only taken with a signature that can be verified").WithCode("signature_required")
	errTooLarge      = fault.New(fault.Invalid, "the body is larger than this handler takes").WithCode("body_too_large")
	errGone          = fault.New(fault.Invalid, "the caller went away before the answer").WithCode("client_closed")
	errLoading       = fault.New(fault.Unavailable, "the gateway has not read its keys yet")
)

// identify is step 1: a name for the request, and the one reading of its path.
func (x *exchange) identify() (err error) {
	x.id = httpx.NewRequestID()
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	case http.MethodConnect, http.MethodTrace:
		return errMethod
	default:
		return errUnknownMethod
	}
	if x.r.Host == "" {
		return errNoHost // HTTP/1.0 without Host must not find a default tenant
	}
	if x.path, x.query, err = canonicalPath(x.r.RequestURI); err != nil {
		return err
	}
	return auth.CheckDuplicates(x.r.Header)
}

// route is step 2: host and path to function, deployment and handler.
func (g *Gateway) route(x *exchange) error {
	x.snapshot = g.snapshot.Load()
	if x.call != nil {
		if err := g.routeCall(x); err != nil {
			return err
		}
	} else if strings.HasPrefix(x.path, wellKnown) {
		return g.routeMetadata(x)
	} else if !g.findVersion(x) && !g.routeTunnel(x) {
		if x.snapshot.seq == 0 && !g.State().Loaded {
			return errLoading
		}
		return errNoFunction
	}
	if x.target.closed {
		return errClosed
	}
	if found, err := x.routePreflight(); found {
		return err
	}
	if x.browsable() {
		if ok, err := g.routeSignIn(x); ok {
			return err
		}
	}
	if x.own == "/" && x.routeEvent() {
		return nil
	}
	var ok bool
	if x.match, ok = x.target.routes.Match(x.r.Method, x.own); ok {
		x.door = &x.target.doors[x.match.Door]
		return nil
	}
	if x.match.Allow != "" {
		return &methodError{x.match.Allow}
	}
	return errNoHandler
}

// find is the function that the request's host and a path address, and what of
// the path is its own.
func (g *Gateway) find(x *exchange, path string) (t *target, rest string) {
	if g.options.Only != "" {
		return x.snapshot.byID[g.options.Only], path
	}
	return x.snapshot.find(x.r.Host, path, g.options.BaseDomain)
}

// methodError refuses a method on a path that knows others.
type methodError struct{ allow string }

func (e *methodError) Error() string { return errRouteMethod.Error() }

// Unwrap gives the fault.
func (e *methodError) Unwrap() error { return errRouteMethod }

// authenticate is step 3. A guard that it does not know lets nobody in.
func (g *Gateway) authenticate(x *exchange) (err error) {
	x.caller = ""
	switch x.match.Guard {
	case platform.GuardOpen:
		if x.call != nil {
			return nil
		}
		x.principal = auth.Principal{Method: auth.MethodNone}
		if open := g.options.Open; open != nil && x.match.Handler != nil {
			return open(x.r, x.match.Handler.Name, x.match.Pattern)
		}
		return nil
	case platform.GuardKey:
		if x.principal, err = g.recogniseAt(x); err != nil && x.call == nil && x.target.admin != nil {
			x.principal, err = g.recogniseAdmin(x, err)
		}
		return err
	case platform.GuardSignature:
		return g.verify(x)
	}
	return errSignature
}

// callerID is the ID of who was recognised, whose text is made once.
func (x *exchange) callerID() string {
	if x.caller == "" {
		x.caller = x.principal.ID()
	}
	return x.caller
}

// authorise is step 4.
func (x *exchange) authorise() error {
	if err := x.comesFrom(); err != nil {
		return err
	}
	if x.match.Guard == platform.GuardOpen || x.match.Guard == platform.GuardSignature && x.callback.by != nil {
		return nil
	}
	need := auth.Need{ProjectID: x.target.function.ProjectID, ParentID: x.target.function.ParentProjectID,
		Scope: platform.ScopeInvoke, Group: x.group(), RemoteAddr: x.remote()}
	err := auth.Decide(x.principal, need)
	for i := 0; err == nil && i < len(x.match.Handler.Scopes); i++ {
		need.Scope = x.match.Handler.Scopes[i]
		err = auth.Decide(x.principal, need)
	}
	return err
}

// group is the group of the route; of a handler that is in none, that which is
// named like the function.
func (x *exchange) group() string {
	if g := x.match.Handler.Group; g != "" {
		return g
	}
	return x.target.function.Name
}

// limit is step 5: the size of the body as announced, and rates and quota. A
// call that is refused takes nothing from any of them.
func (g *Gateway) limit(x *exchange) error {
	if x.match.Handler == nil {
		return nil
	}
	if x.r.ContentLength > g.bodyLimit(x.match.Handler) {
		return errTooLarge
	}
	if x.counted {
		return nil // once, also when the steps are taken again
	}
	if err := g.takeLimits(x); err != nil {
		return err
	}
	if k := x.principal.Key; k != nil && x.question == nil {
		g.options.Uses.Mark(k, x.began)
	}
	x.counted = true
	return nil
}

func (g *Gateway) bodyLimit(h *platform.Handler) int64 {
	if h.BodyLimit > 0 {
		return h.BodyLimit
	}
	return g.options.BodyLimit
}

// limitError is a refusal that knows when to try again.
type limitError struct {
	over *fault.Error
	wait time.Duration
}

func (e *limitError) Error() string { return e.over.Error() }

// RetryAfter is how long to wait.
func (e *limitError) RetryAfter() time.Duration { return e.wait }

// Unwrap gives the fault.
func (e *limitError) Unwrap() error { return e.over }

var (
	errRate  = fault.New(fault.TooMany, "the access key is over its rate").WithCode("rate_limited")
	errQuota = fault.New(fault.TooMany, "the access key has used up its quota").WithCode("quota_exceeded")
	// What cannot be counted is not allowed: the key's owner has paid for so many.
	errQuotaAway = fault.New(fault.Unavailable, "the quota of this access key cannot be counted at the moment")
)

// builtin answers what no handler is asked for.
func (g *Gateway) builtin(x *exchange) {
	switch {
	case x.asking:
		g.answerPreflight(x)
	case strings.HasPrefix(x.path, wellKnown):
		g.metadata(x)
	case x.visit != nil && x.visit.page != nil:
		x.visit.page(g, x)
	default:
		g.health(x)
	}
}

// health answers exactly /health for a function that has no handler of that name.
func (g *Gateway) health(x *exchange) {
	x.json([]byte(`{"status":"ok","function":` + strconv.Quote(x.target.function.Name) + `,"deployment":` + strconv.Itoa(x.target.deployment.Number) + "}\n"))
}

// json answers with a document of the gateway's own.
func (x *exchange) json(body []byte) {
	h := x.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["X-Request-Id"] = []string{x.id}
	x.status = http.StatusOK
	x.w.WriteHeader(x.status)
	n, _ := x.w.Write(body)
	x.sent = int64(n)
}

// refuse answers with a problem, unless an answer has begun: then the
// connection is cut, so that nobody takes half an answer for a whole one.
func (g *Gateway) refuse(x *exchange, err error) {
	if x.status != 0 {
		x.code = codeAborted
		panic(http.ErrAbortHandler)
	}
	if errors.Is(err, context.Canceled) && x.r.Context().Err() != nil {
		// Written all the same: who closed only its own half still reads, and
		// must not take silence, which net/http sends as 200, for success.
		err = errGone
	}
	g.giveBack(x)
	err = asFault(err)
	x.why = err
	g.slow.down(x, httpx.CodeOf(err))
	if e, ok := errors.AsType[*signInError](err); ok {
		x.refused(err)
		x.seeOther(e.to)
		return
	}
	h := x.w.Header()
	h["X-Request-Id"] = []string{x.id}
	if e, ok := errors.AsType[*methodError](err); ok {
		h["Allow"] = []string{e.allow}
	}
	if errors.Is(err, errUpgrade) && x.r.ProtoMajor == 1 { // RFC 9110 §15.5.22
		h["Upgrade"], h["Connection"] = []string{"websocket"}, []string{"Upgrade"}
	}
	if x.call != nil {
		h[headerRefused] = []string{httpx.CodeOf(err).Code}
	}
	if fault.KindOf(err) == fault.Unauthenticated {
		h[auth.ChallengeHeader] = x.challenge(err)
	}
	g.decorate(x, h)
	p := g.options.Problem(x.w, x.r, err, x.id)
	x.status, x.code = p.Status, p.Code
	if x.ran && p.Status >= 500 || p.Status == http.StatusInternalServerError {
		// A refusal is in the access log; a line more for each would be a way to flood this one.
		g.log.Error("request failed", "requestId", x.id, "code", p.Code, "error", err)
	}
}
