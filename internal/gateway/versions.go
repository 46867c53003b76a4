package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// drawn is the version that a request finds of a function: the candidate beside
// the active one, by lot. The lot is drawn once, so that a request which takes its
// steps again comes to the same one, unless their parts were changed. A request
// that is looked at again keeps to the version that let it in, while that gets
// calls; a question is about the active one.
func (x *exchange) drawn(t *target) *target {
	c := t.candidate
	switch {
	case c == nil || x.question != nil:
		return t
	case x.stays != nil:
		if x.stays.deployment.ID == c.deployment.ID {
			return c
		}
		return t
	case x.lot == 0:
		x.lot = uint8(rand.IntN(100)) + 1
	}
	if int(x.lot) <= t.function.CandidatePercent {
		return c
	}
	return t
}

// findVersion finds what a request from outside addresses. A version that is
// private is none, unless it is there for all addresses.
func (g *Gateway) findVersion(x *exchange) bool {
	if x.target, x.own = g.find(x, x.path); x.target == nil {
		return false
	}
	if x.target = x.drawn(x.target); g.hides(x.target) {
		x.target = nil
	}
	return x.target != nil
}

// hides reports whether a version is none to callers from outside.
func (g *Gateway) hides(t *target) bool { return t.hidden() && g.options.Only == "" }

// versions makes what requests find of a function: the active deployment, and its
// candidate behind it.
func (g *Gateway) versions(a platform.ActiveFunction, p *platform.Policy) *target {
	t := g.target(a.Function, a.Deployment, p)
	if a.Candidate == nil {
		g.openDoors(t)
		return t
	}
	t.candidate = g.target(a.Function, *a.Candidate, p)
	g.openDoors(t, t.candidate)
	r := &trial{began: time.Now()}
	if old := g.snapshot.Load().byID[a.Function.ID]; old != nil && old.trial != nil && old.runs(a.Deployment.ID) && old.candidate.runs(a.Candidate.ID) {
		r = old.trial // another part of the calls, or another policy, does not begin it anew
	}
	t.trial, t.answers, t.candidate.answers = r, &r.active, &r.candidate
	return t
}

// openDoors makes the doors of the versions of a function. What they limit alike is
// counted together.
func (g *Gateway) openDoors(versions ...*target) {
	sets := g.limits.begin(versions[0].function)
	for _, t := range versions {
		t.doors = g.doors(t, sets)
	}
	sets.end()
	for _, t := range versions {
		if t.upstream == nil {
			t.admin = g.admin(t)
		}
	}
}

// runs reports whether a version, or the one behind it, is a deployment; nil is none.
func (t *target) runs(deploymentID string) bool {
	return t != nil && (t.deployment.ID == deploymentID || t.candidate.runs(deploymentID))
}

// replaced lists the deployments of a function that get no calls any more, now
// that it is as another target says; nil: it is gone.
func (t *target) replaced(by *target) (ids []string) {
	for ; t != nil; t = t.candidate {
		if t.deployment.ID != "" && !by.runs(t.deployment.ID) {
			ids = append(ids, t.deployment.ID)
		}
	}
	return ids
}

// has reports whether requests find a version still, as it is.
func (s *snapshot) has(t *target) bool {
	now := s.byID[t.function.ID]
	return now == t || now != nil && now.candidate == t
}

// candidate reads the deployment that gets a part of a function's calls. One that
// is gone, or cannot be read, gets none: nobody waits for it.
func (g *Gateway) candidate(ctx context.Context, src Source, f *platform.Function) (*platform.Deployment, error) {
	if f.CandidateID == "" {
		return nil, nil
	}
	d, err := src.Deployment(ctx, f.CandidateID)
	switch {
	case unreadable(err):
		g.log.Error("a candidate cannot be read, and gets no calls", "functionId", f.ID, "deployment", f.CandidateID, "error", err)
		return nil, nil
	case fault.KindOf(err) == fault.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &d, nil
}

// candidates reads those of all functions.
func (g *Gateway) candidates(ctx context.Context, src Source, active []platform.ActiveFunction) (err error) {
	for i := range active {
		if active[i].Candidate, err = g.candidate(ctx, src, &active[i].Function); err != nil {
			return fmt.Errorf("load the candidates of functions: %w", err)
		}
	}
	return nil
}

// active reads a function as it is now, with its candidate.
func (g *Gateway) active(ctx context.Context, src Source, functionID string) (a platform.ActiveFunction, err error) {
	if a.Function, a.Deployment, err = src.ActiveFunction(ctx, functionID); err == nil {
		a.Candidate, err = g.candidate(ctx, src, &a.Function)
	}
	return a, err
}

// trial is what became of the calls of the two versions of a function at this node,
// in a stretch of time.
type trial struct {
	began             time.Time // of the stretch; the judge's alone
	active, candidate answers
}

// answers counts the calls that ran, and those of them that failed.
type answers struct{ ran, failed atomic.Int64 }

// weigh counts a call that is over for the trial of its version. A version that
// does not start fails as well as one that answers 5xx; what is refused, or finds
// the queue full, says nothing of it.
func (x *exchange) weigh() {
	if x.target == nil || x.target.answers == nil || x.status == statusClientClosed {
		return
	}
	starts := x.code != "start_failed" && x.code != "circuit_open"
	if starts && !x.asked() {
		return
	}
	x.target.answers.ran.Add(1)
	if !starts || x.status >= 500 || x.code == codeAborted {
		x.target.answers.failed.Add(1)
	}
}

const (
	// judged is how many calls a candidate must have had before it is judged.
	judged = 20
	// stretch is after how long what was counted gives way, so that a candidate
	// which turns bad is not judged by what it was.
	stretch = 10 * time.Second
)

// Failing is a candidate whose calls fail more often than those of the active one.
type Failing struct {
	Function                platform.Function // as it was judged
	Number, ActiveNumber    int
	Ran, Failed             int64 // of the candidate
	ActiveRan, ActiveFailed int64
}

// Failing lists the candidates whose share of failed calls at this node is by more
// percentage points above that of the active version than may be. It is asked every
// second or so, by one.
func (g *Gateway) Failing(points int) (list []Failing) {
	for _, t := range g.snapshot.Load().byID {
		if t.trial == nil {
			continue
		}
		f := Failing{Function: t.function, Number: t.candidate.deployment.Number, ActiveNumber: t.deployment.Number}
		f.Ran, f.Failed = t.trial.candidate.ran.Load(), t.trial.candidate.failed.Load()
		f.ActiveRan, f.ActiveFailed = t.trial.active.ran.Load(), t.trial.active.failed.Load()
		if f.Ran < judged {
			continue
		}
		if share(f.Failed, f.Ran)-share(f.ActiveFailed, f.ActiveRan) > float64(points) {
			list = append(list, f)
		} else if now := time.Now(); now.Sub(t.trial.began) > stretch {
			t.trial.began = now
			t.trial.active.forget(f.ActiveRan, f.ActiveFailed)
			t.trial.candidate.forget(f.Ran, f.Failed)
		}
	}
	return list
}

// share is a part in percent; of nothing it is 0.
func share(part, of int64) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(part) / float64(of)
}

// forget takes off what was judged.
func (a *answers) forget(ran, failed int64) {
	a.ran.Add(-ran)
	a.failed.Add(-failed)
}
