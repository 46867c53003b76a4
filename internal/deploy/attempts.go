package deploy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
)

// State says how far a deploy is.
type State string

// What a deploy can be in. One that succeeded is no attempt any more.
const (
	Queued    State = "Queued"    // another one of the function is before it
	Deploying State = "Deploying" // its worker is started
	Failed    State = "Failed"
)

// Attempt is a deploy that is under way, or the last one of a function if it
// failed. This process knows of it, and no other: a deploy that was killed has
// done nothing, and is forgotten.
type Attempt struct {
	ID       string // as its caller named it; may be empty
	Artefact string
	State    State
	Err      error // of Failed
	BeganAt  time.Time
	EndedAt  time.Time // zero: it is under way
}

// Limits of what is remembered: functions whose last deploy failed, and deploys
// that nobody waits for.
const (
	maxFailures   = 4096
	maxBackground = 100
)

// backgroundTimeout is how long a deploy may take that nobody waits for.
const backgroundTimeout = 10 * time.Minute

// attempt is an Attempt with what its callers wait for.
type attempt struct {
	Attempt
	function string // project and name
	done     chan struct{}
	result   Result // of one that succeeded; read after done
}

// attempts are the deploys under way, and the newest that ended of each function.
type attempts struct {
	told    func(projectID, name string) // nil: nobody is
	mu      sync.Mutex
	running map[string][]*attempt // by function, oldest first; guarded by mu
	ended   map[string]*attempt   // by function; guarded by mu
}

// begin notes a deploy, unless one of its ID is known that its caller asks for
// again: then that one is returned, to wait for.
func (a *attempts) begin(in Request) (it *attempt, known bool) {
	key := in.ProjectID + "/" + in.Name
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.tell(key)
	before := a.running[key]
	if last := a.ended[key]; last != nil && last.Err == nil {
		before = append(before[:len(before):len(before)], last)
	}
	for _, other := range before {
		if in.Attempt != "" && other.ID == in.Attempt && other.Artefact == in.Artefact {
			return other, true
		}
	}
	it = &attempt{Attempt: Attempt{ID: in.Attempt, Artefact: in.Artefact, State: Queued, BeganAt: time.Now()}, function: key, done: make(chan struct{})}
	a.running[key] = append(a.running[key], it)
	return it, false
}

// turn notes that it is a deploy's turn.
func (a *attempts) turn(it *attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.tell(it.function)
	it.State = Deploying
}

// end notes what became of a deploy. One whose caller went away has done
// nothing, and is forgotten.
func (a *attempts) end(it *attempt, r Result, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.tell(it.function)
	list := a.running[it.function]
	for i, other := range list {
		if other == it {
			list = append(list[:i:i], list[i+1:]...)
		}
	}
	if a.running[it.function] = list; len(list) == 0 {
		delete(a.running, it.function)
	}
	it.result, it.Err, it.EndedAt = r, err, time.Now()
	if err != nil {
		it.State = Failed
	}
	if !errors.Is(err, context.Canceled) {
		a.ended[it.function] = it
		a.forgetOldest()
	}
	close(it.done)
}

// tell says that there is news of a function.
func (a *attempts) tell(function string) {
	if projectID, name, _ := strings.Cut(function, "/"); a.told != nil {
		a.told(projectID, name)
	}
}

// forgetOldest keeps the memory bounded: names are given by callers. a.mu is held.
func (a *attempts) forgetOldest() {
	if len(a.ended) <= maxFailures {
		return
	}
	var oldest *attempt
	for _, it := range a.ended {
		if oldest == nil || it.EndedAt.Before(oldest.EndedAt) {
			oldest = it
		}
	}
	delete(a.ended, oldest.function)
}

// forget drops what is known of a function that was deleted.
func (a *attempts) forget(function string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.ended, function)
}

// Attempts are the deploys of a project that are under way or failed last, by
// the function's name: where several wait, the one whose turn it is.
func (d *Deployer) Attempts(projectID string) map[string]Attempt {
	a := &d.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]Attempt{}
	for key, it := range a.ended {
		if name, ok := strings.CutPrefix(key, projectID+"/"); ok && it.Err != nil {
			out[name] = it.Attempt
		}
	}
	for key, list := range a.running {
		name, ok := strings.CutPrefix(key, projectID+"/")
		if !ok {
			continue
		}
		out[name] = list[0].Attempt
		for _, it := range list {
			if it.State == Deploying {
				out[name] = it.Attempt
			}
		}
	}
	return out
}

// wait returns what became of a deploy that another call began. again says that
// it has done nothing, because that call went away.
func (it *attempt) wait(ctx context.Context) (r Result, again bool, err error) {
	select {
	case <-it.done:
		return it.result, errors.Is(it.Err, context.Canceled), it.Err
	case <-ctx.Done():
		return Result{}, false, ctx.Err()
	}
}

// Start begins a deploy and does not wait for it. What is wrong with its artefact
// is told at once; done is told the rest. A server that stops ends it.
func (d *Deployer) Start(ctx context.Context, in Request, done func(Result, error)) error {
	if _, err := d.open(ctx, in.ProjectID, in.Name, in.Artefact); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.base.Err() != nil {
		return fault.New(fault.Unavailable, "the server is stopping").WithCode("shutting_down")
	}
	if d.behind >= maxBackground {
		return fault.New(fault.TooMany, fmt.Sprintf("%d deploys are under way that nobody waits for", maxBackground)).WithCode("deploys_waiting")
	}
	d.behind++
	it, known := d.attempts.begin(in)
	d.background.Go(func() {
		ctx, cancel := context.WithTimeout(d.base, backgroundTimeout)
		defer cancel()
		r, err := d.behindTheCaller(ctx, in, it, known)
		d.mu.Lock()
		d.behind--
		d.mu.Unlock()
		done(r, err)
	})
	return nil
}

// behindTheCaller is one attempt of which a panic ends nothing else.
func (d *Deployer) behindTheCaller(ctx context.Context, in Request, it *attempt, known bool) (r Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the deploy panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return d.attend(ctx, in, it, known)
}

// Run waits for ctx to end, then ends the deploys that nobody waits for.
func (d *Deployer) Run(ctx context.Context) error {
	<-ctx.Done()
	d.mu.Lock()
	d.stop()
	d.mu.Unlock()
	d.background.Wait()
	return nil
}
