package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/worker"
)

// The steps by number, as serve.go takes them.
const (
	stepIdentify = iota + 1
	stepRoute
	stepAuthenticate
	stepAuthorise
	stepLimit
	stepAcquire
	stepInvoke
	stepAccount
)

// recognise is who shows a request's credentials; of a question, whose key is
// asked about.
func (g *Gateway) recognise(x *exchange) (auth.Principal, error) {
	q := x.question
	if q == nil {
		return g.options.Auth.Authenticate(x.snapshot.keys, x.credentials(g))
	}
	p, err := auth.Assume(x.snapshot.keys, q.KeyID, planOf(x.own), x.began)
	if p.Key != nil && p.Key.ProjectID() != q.ProjectID && p.Key.ProjectID() != q.CallerID {
		return auth.Principal{}, auth.ErrInvalid // whether others have such a key is not for the asker
	}
	return p, err
}

// Explained tells what became of a request of which the gateway knows still: a
// few thousand that were let through, and as many that were refused. Those of
// other projects it does not know. A request that found no function belongs to
// nobody, and is told to whoever has its ID.
func (g *Gateway) Explained(projectID, requestID string) (audit.Explanation, bool) {
	p, ok := g.passed.find(requestID)
	if !ok {
		p, ok = g.refused.find(requestID)
	}
	if !ok || p.project != "" && p.project != projectID {
		return audit.Explanation{}, false
	}
	return p.explanation(), true
}

// Explain says what would become of a request, by taking it through the steps
// that a real one takes. No worker is called and no limit is used up. A
// function of another project is none, whatever it would have answered, and so
// is another project's key.
func (g *Gateway) Explain(q audit.Question) (audit.Explanation, error) {
	r, err := requestOf(q)
	if err != nil {
		return audit.Explanation{}, err
	}
	x := &exchange{r: r, began: time.Now(), question: &q, step: stepIdentify}
	if _, outside := below(r.Host, g.options.BaseDomain); !outside {
		if _, inside := below(r.Host, callDomain); inside {
			x.call = &worker.Call{}
		}
	}
	err = x.identify()
	if err == nil {
		err = g.admit(x)
	}
	if x.target != nil && x.target.function.ProjectID != q.ProjectID || x.target == nil && x.step == stepRoute && err != errLoading {
		x.target, x.match, x.principal, x.caller, x.step = nil, function.Match{}, auth.Principal{}, "", stepRoute
		err = errForeign
	}
	if x.why = err; err != nil {
		c := httpx.CodeOf(asFault(err))
		x.status, x.code = c.Status, c.Code
	}
	var p passage
	p.take(x)
	out := p.explanation()
	out.RequestID = ""
	if err != nil {
		out.Steps[x.step-1].Why += x.because()
		out.Steps[stepAccount-1].Verdict, out.Steps[stepAccount-1].Why = audit.NotTried, "" // nobody asked in earnest
	} else {
		for i := stepAcquire; i <= stepAccount; i++ {
			out.Steps[i-1].Verdict, out.Steps[i-1].Why = audit.NotTried, ""
		}
	}
	if x.step > stepIdentify {
		out.Steps[0].Why = r.Method + " " + x.path
	}
	x.tellDoor(out.Steps)
	for i, s := range out.Steps { // who asks may have taken a secret for an ID
		out.Steps[i].Why = string(accesskey.Redact([]byte(s.Why)))
	}
	return out, nil
}

var errForeign = fault.New(fault.NotFound, "no function of this project answers at this address").WithCode("function_not_found")

var errQuestion = fault.New(fault.Invalid, "the URL must be absolute, such as http://127.0.0.1:8080/fn/orders/webhook, or a path")

// requestOf makes the request that a question describes, as a client would
// send it.
func requestOf(q audit.Question) (*http.Request, error) {
	r := &http.Request{Method: q.Method, Host: "gateway", RemoteAddr: q.Remote, Header: http.Header{}, Body: http.NoBody}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	r.RequestURI, _, _ = strings.Cut(q.URL, "#") // a client keeps this to itself
	if !strings.HasPrefix(q.URL, "/") {
		scheme, rest, _ := strings.Cut(r.RequestURI, "://")
		host := rest
		r.RequestURI = "/"
		if path := strings.IndexAny(rest, "/?"); path >= 0 { // kept as it is written: step 1 refuses what is not plain
			host, r.RequestURI = rest[:path], "/"+strings.TrimPrefix(rest[path:], "/")
		}
		if scheme != "http" && scheme != "https" || host == "" || strings.ContainsAny(host, "@ ") {
			return nil, errQuestion
		}
		r.Host = host
	}
	return r, nil
}

// because says which value of a key decided against it. The key is one that
// the asker may know.
func (x *exchange) because() string {
	k, q := x.question.Key, x.question
	const stamp = "2006-01-02 15:04:05Z"
	switch {
	case q.KeyID == "" || x.step != stepAuthenticate && x.step != stepAuthorise || x.match.Guard != platform.GuardKey:
		return ""
	case k == nil:
		return ": the project has no access key " + q.KeyID
	case x.step == stepAuthenticate && !k.RevokedAt.IsZero():
		return ": " + k.ID + " was revoked at " + k.RevokedAt.UTC().Format(stamp)
	case x.step == stepAuthenticate && !k.LiveAt(x.began):
		return ": " + k.ID + " expired at " + k.ExpiresAt.UTC().Format(stamp)
	case x.step == stepAuthenticate:
		return ""
	}
	return fmt.Sprintf(": %s has scopes %v, is of project %s, is for %s, and may be used from %s; asked for is the group %s", k.ID, k.Scopes, k.ProjectID,
		listed(k.Groups, "all groups"), listed(k.AllowedCIDRs, "any address"), x.group())
}

// tellDoor adds to the steps that were reached what the route gives to them.
// Who asks is its owner.
func (x *exchange) tellDoor(steps []audit.Step) {
	if x.door == nil || x.target == nil {
		return
	}
	add := func(step int, what string) {
		if int(x.step) < step {
			return
		}
		if s := &steps[step-1]; s.Why != "" {
			s.Why += "; " + what
		} else {
			s.Why = what
		}
	}
	if d := x.door; len(d.ways) > 0 && x.match.Guard == platform.GuardKey {
		add(stepAuthenticate, "the route takes a credential that is shown as "+strings.Join(d.ways, ", "))
	}
	if len(x.door.addresses) > 0 {
		add(stepAuthorise, "the route is for callers from "+fmt.Sprint(x.door.addresses))
	}
	for _, l := range x.door.limits {
		add(stepLimit, "the route has the rate "+l.text)
	}
}

func listed[T any](list []T, none string) string {
	if len(list) == 0 {
		return none
	}
	if more := len(list) - toldMost; more > 0 {
		return fmt.Sprintf("%v and %d more", list[:toldMost], more)
	}
	return fmt.Sprint(list)
}

// explanation tells a passage step by step.
func (p *passage) explanation() audit.Explanation {
	out := audit.Explanation{RequestID: p.id, At: time.Unix(0, p.at).UTC(), Door: platform.DoorGateway, Outcome: platform.OutcomeAllowed, Status: int(p.status), Code: p.code}
	if p.code == "" {
		out.Steps = audit.Steps(stepAccount, audit.Passed, "took "+p.took.Round(time.Microsecond).String())
	} else if p.ran {
		out.Outcome = platform.OutcomeFailed
		out.Steps = audit.Steps(int(p.step), audit.Failed, p.why)
	} else {
		out.Outcome = platform.OutcomeRefused
		out.Steps = audit.Steps(int(p.step), audit.Refused, p.why)
	}
	tell := func(step int, why string) {
		if out.Steps[step-1].Verdict == audit.Passed {
			out.Steps[step-1].Why = why
		}
	}
	tell(stepIdentify, p.method)
	tell(stepRoute, audit.RouteWhy(p.slug, p.handler, function.GuardWord(p.guard)))
	if p.inside && p.slug == "" {
		tell(stepRoute, "not looked up: at the internal door the caller comes first")
	}
	p.tellCaller(tell)
	p.tellAnswer(tell)
	return out
}

// tellCaller tells who came, and why they were let through: steps 3 to 5.
func (p *passage) tellCaller(tell func(step int, why string)) {
	switch {
	case p.guard == platform.GuardOpen && !p.inside:
		tell(stepAuthenticate, "open: nobody is asked")
		tell(stepAuthorise, "open to everyone")
		tell(stepLimit, "no access key, so no rate")
	case p.guard == platform.GuardSignature:
		tell(stepAuthenticate, "signed by its sender: "+p.scheme)
		tell(stepAuthorise, "the signature is for this function")
		tell(stepLimit, "no access key, so no rate")
	case p.inside:
		tell(stepAuthenticate, "the function "+p.caller+", by the token of its access key "+p.keyID)
		tell(stepAuthorise, "called by a function of project "+p.project+", or of its parent")
		tell(stepLimit, "within the rate and the quota of the access key")
	case p.shown == auth.MethodAdmin:
		tell(stepAuthenticate, "the function's own user")
		tell(stepAuthorise, "a handler or route of the function's own group")
		tell(stepLimit, "no access key, so no rate")
	default:
		tell(stepAuthenticate, audit.KeyWhy(p.keyID, string(p.shown)))
		tell(stepAuthorise, "scope invoke, of project "+p.project+", from "+p.remote)
		tell(stepLimit, "within the rate and the quota of the access key")
	}
	if p.tight != "" {
		tell(stepLimit, "within all limits; least is left of that of the "+p.tight)
	}
}

// tellAnswer tells who answered: steps 6 and 7.
func (p *passage) tellAnswer(tell func(step int, why string)) {
	answered := fmt.Sprint(p.status)
	switch {
	case p.relayed:
		tell(stepAcquire, "the upstream has room")
		tell(stepInvoke, "the upstream answered "+answered)
	case strings.HasPrefix(p.handler, function.PublicDir):
		tell(stepAcquire, "a file: no worker is needed")
		tell(stepInvoke, "answered "+answered)
	case p.handler == "":
		tell(stepAcquire, "built in: no worker is needed")
		tell(stepInvoke, "answered "+answered)
	default:
		tell(stepAcquire, "a worker took it")
		tell(stepInvoke, "the handler answered "+answered)
	}
}
