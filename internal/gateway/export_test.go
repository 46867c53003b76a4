package gateway

import (
	"net/http"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
)

// RefusalsWaiting is how many refusals wait at a time.
const RefusalsWaiting = refusalsWaiting

// Admit runs steps 1 to 5 and nothing else.
func (g *Gateway) Admit(r *http.Request) error {
	x := g.begin(nil, r)
	err := x.identify()
	if err == nil {
		err = g.admit(x)
	}
	*x = exchange{body: x.body[:0]}
	g.pool.Put(x)
	return err
}

// Remember admits a request and returns what keeps it in mind, again and again.
func (g *Gateway) Remember(r *http.Request) func() {
	x := g.begin(nil, r)
	if err := x.identify(); err == nil {
		g.admit(x)
	}
	return func() { g.remember(x, 0) }
}

// Meter admits a request and returns what counts it, again and again: as one
// that ran, or as one that was refused with a code.
func (g *Gateway) Meter(r *http.Request, code string) func() {
	x := g.begin(nil, r)
	if err := x.identify(); err == nil {
		g.admit(x)
	}
	x.ran, x.code, x.status, x.work.took = code == "", code, http.StatusOK, time.Millisecond
	return func() { g.meter(x, x.began) }
}

// Asked is what asked says of a call that a worker took.
func Asked(mode platform.BodyMode, code string, streamed, whole bool) bool {
	x := &exchange{ran: true, code: code}
	x.match.Handler = &platform.Handler{Body: mode}
	if streamed {
		x.rest = &limitedBody{}
		x.rest.whole.Store(whole)
	}
	return x.asked()
}

// Kept is what kept says of a call of a function, or of a program, that was answered.
func Kept(runtime string, body bool) bool {
	x := &exchange{started: true, status: http.StatusOK, target: &target{deployment: platform.Deployment{Runtime: runtime}}}
	if body {
		x.rest = &limitedBody{}
	}
	return x.kept()
}

// AccountOf is on whom a call is counted.
func AccountOf(p auth.Principal) string { return accountOf(p, p.ID()) }

// Version is the number of the deployment that requests of a function find, and
// the policy that is over it.
func (g *Gateway) Version(functionID string) (deployment, policy int) {
	s := g.snapshot.Load()
	t := s.byID[functionID]
	if p := s.policies[t.function.ProjectID]; p != nil {
		policy = p.Number
	}
	return t.deployment.Number, policy
}

// Limiters is how many limits of routes are counted.
func (g *Gateway) Limiters() int {
	g.limits.mu.Lock()
	defer g.limits.mu.Unlock()
	n := len(g.limits.pools)
	for _, own := range g.limits.functions {
		n += len(own)
	}
	return n
}

// SafeNext is where a sign-in leads.
func SafeNext(to string) string { return safeNext(to) }

// Weigh counts a call of a function's active version, or of its candidate, for
// their trial: with a status and a code, and whether a worker was asked.
func (g *Gateway) Weigh(functionID string, candidate bool, status int, code string, ran bool) {
	x := &exchange{target: g.snapshot.Load().byID[functionID], status: status, code: code, ran: ran}
	if x.match.Handler = new(platform.Handler); candidate {
		x.target = x.target.candidate
	}
	x.weigh()
}

// AgeTrials makes what was counted of all candidates older.
func (g *Gateway) AgeTrials(by time.Duration) {
	for _, t := range g.snapshot.Load().byID {
		if t.trial != nil {
			t.trial.began = t.trial.began.Add(-by)
		}
	}
}

// Measured admits a request and returns what measures it, again and again, as one
// that was answered so.
func (g *Gateway) Measured(r *http.Request, status int, code string, ran bool) func() {
	x := g.begin(nil, r)
	if err := x.identify(); err == nil {
		g.admit(x)
	}
	x.enter(stepInvoke)
	x.status, x.code, x.ran = status, code, ran
	return func() { g.measure(x, time.Millisecond) }
}
