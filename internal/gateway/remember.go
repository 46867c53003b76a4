package gateway

import (
	"cmp"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/wire"
)

// passage is what is remembered of a request that is over: how far it came and
// why no further. It has no path, query, header or body, which may hold
// secrets, and points into nothing that a request or a snapshot owns.
type passage struct {
	id      string
	method  string // HTTP's
	project string // of the function; empty when none was found
	slug    string
	handler string // empty: the built-in health answer, or none was found
	keyID   string // of a key of the function's project; else empty
	shown   auth.Method
	caller  string // the function that called; empty: none did
	inside  bool   // it came by the internal door
	remote  string
	code    string // of the refusal or failure; else empty
	why     string
	at      int64 // Unix nanoseconds
	took    time.Duration
	status  int16
	step    int8 // the last that was begun
	guard   platform.Guard
	ran     bool
	scheme  string // by which a callback was verified; else empty
	relayed bool   // by an upstream
	tight   string // by whom the limit is of which least was left; empty: there was none
}

// take takes from an exchange what is remembered of it.
func (p *passage) take(x *exchange) {
	p.id, p.method, p.shown, p.remote, p.code, p.at = x.id, knownMethod(x.r.Method), x.shownAs(), x.remote(), x.code, x.began.UnixNano()
	p.status, p.step, p.ran, p.tight = int16(x.status), x.step, x.ran, x.told.who
	p.scheme = x.callback.verdict.Scheme
	p.project, p.slug, p.handler, p.keyID, p.why, p.guard, p.relayed = "", "", "", "", "", 0, false
	if t := x.target; t != nil {
		p.project, p.slug, p.guard, p.relayed = t.function.ProjectID, t.function.Slug, x.match.Guard, t.upstream != nil
		if h := x.match.Handler; h != nil {
			p.handler = h.Name
		}
		if t.owns(x.principal) {
			p.keyID = x.callerID()
		}
	}
	p.caller, p.inside = "", x.call != nil
	if x.call != nil && x.target != nil {
		p.caller = x.call.Function
	}
	if x.why != nil {
		p.why = whyOf(x)
	}
}

// owns reports whether a caller is one that the function's owner may know of.
func (t *target) owns(p auth.Principal) bool {
	own := p.ProjectID()
	return own != "" && (own == t.function.ProjectID || own == t.function.ParentProjectID)
}

// knownMethod is a method for what is kept and counted.
func knownMethod(m string) string { return cmp.Or(wire.Method(m), otherMethod) }

const otherMethod = "another method"

// whyOf says why a request was refused or failed. What a handler brought about
// is told by its title alone: the text may quote from a body.
func whyOf(x *exchange) string {
	if e, ok := errors.AsType[*callbackError](x.why); ok && e.over == errSignature {
		return e.reason.Error() // of the sender's doing; what is of ours is for the log
	}
	if f, ok := errors.AsType[*fault.Error](asFault(x.why)); ok && f.Kind != fault.Internal && !x.ran {
		return f.Text
	}
	c, _ := httpx.Lookup(x.code)
	return c.Title
}

// remembered is how many requests each of the two memories has room for.
const remembered = 2048

// memory holds the last requests. It allocates nothing after it was made, and
// two requests meet at a lock only when the memory has gone round between them.
type memory struct {
	next  atomic.Uint64
	slots [remembered]struct {
		mu sync.Mutex
		p  passage // guarded by mu
	}
}

func (m *memory) add(x *exchange, took time.Duration) {
	s := &m.slots[m.next.Add(1)%remembered]
	s.mu.Lock()
	s.p.take(x)
	s.p.took = took
	s.mu.Unlock()
}

// find finds a request by its ID.
func (m *memory) find(id string) (p passage, ok bool) {
	for i := range m.slots {
		s := &m.slots[i]
		s.mu.Lock()
		if s.p.id == id {
			p, ok = s.p, true
		}
		s.mu.Unlock()
	}
	return p, ok
}

// remember keeps what became of a request, and records a refusal.
func (g *Gateway) remember(x *exchange, took time.Duration) {
	if x.code == "" || x.ran {
		g.passed.add(x, took)
		return
	}
	g.refused.add(x, took) // apart, so that a flood of refusals does not sweep the others away
	if x.status != statusClientClosed {
		g.recordRefusal(x)
	}
}

// statusClientClosed is of a caller who went away: nobody was refused.
const statusClientClosed = 499

// recordRefusal makes an audit event of a refusal, unless it is one of so many
// that a sum is told instead.
func (g *Gateway) recordRefusal(x *exchange) {
	s := audit.Series{Door: platform.DoorGateway, Action: x.action(), Outcome: platform.OutcomeRefused, Code: x.code, Status: x.status}
	if x.target != nil {
		s.ProjectID, s.Target = x.target.function.ProjectID, x.target.function.Slug
	}
	if !g.options.Audit.Take(s) {
		return
	}
	var p passage
	p.take(x)
	e := audit.Event{Door: s.Door, ProjectID: s.ProjectID, Target: s.Target, Action: s.Action, Outcome: s.Outcome, Code: s.Code, Status: s.Status,
		KeyID: p.keyID, Method: string(p.shown), RequestID: p.id, Remote: p.remote,
		Detail: map[string]string{audit.DetailStep: strconv.Itoa(int(p.step)), audit.DetailWhy: p.why}}
	if p.step > stepRoute {
		e.Detail[audit.DetailHandler], e.Detail[audit.DetailGuard] = p.handler, function.GuardWord(p.guard)
	}
	g.options.Audit.Offer(e)
}
