package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
)

// slow makes the workers of a bench start when they are told to.
func slow(t *testing.T) *bench {
	b := newBench(t)
	b.fleet.enter, b.fleet.leave = make(chan struct{}, 1), make(chan struct{})
	return b
}

func (b *bench) request(attempt string) deploy.Request {
	return deploy.Request{ProjectID: b.project, Name: "f", Artefact: b.artefact, Force: true, Attempt: attempt}
}

// outcome is what one deploy came to.
type outcome struct {
	r   deploy.Result
	err error
}

func (b *bench) begin(ctx context.Context, in deploy.Request) <-chan outcome {
	out := make(chan outcome, 1)
	go func() {
		r, err := b.d.Deploy(ctx, in)
		out <- outcome{r, err}
	}()
	return out
}

func (b *bench) state() string {
	a, ok := b.d.Attempts(b.project)["f"]
	if !ok {
		return "none"
	}
	return string(a.State)
}

// poll waits until ok, with a deadline that a busy machine keeps.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// One deploy of a function is under way at a time, the others wait, and what is
// told of them is the one whose turn it is.
func TestAttempts_States(t *testing.T) {
	t.Parallel()
	b := slow(t)
	if b.state() != "none" {
		t.Error(b.state())
	}
	first := b.begin(t.Context(), b.request("one"))
	<-b.fleet.enter
	second := b.begin(t.Context(), b.request("two"))
	if a := b.d.Attempts(b.project)["f"]; a.State != deploy.Deploying || a.ID != "one" || a.Artefact != b.artefact || a.BeganAt.IsZero() {
		t.Errorf("%+v", a)
	}
	if len(b.d.Attempts("prj_another")) != 0 {
		t.Error("another project sees it")
	}
	b.fleet.leave <- struct{}{}
	if o := <-first; o.err != nil {
		t.Fatal(o.err)
	}
	<-b.fleet.enter
	if a := b.d.Attempts(b.project)["f"]; a.ID != "two" {
		t.Errorf("%+v", a)
	}
	b.fleet.leave <- struct{}{}
	if o := <-second; o.err != nil || o.r.Deployment.Number != 2 || b.state() != "none" || b.told.Load() != 6 {
		t.Errorf("%+v, %s, told of %d times", o, b.state(), b.told.Load())
	}
}

// A deploy that is asked for twice by one name is done once, while it runs and
// afterwards; by another name, or of another artefact, it is another.
func TestAttempts_AskedForAgain(t *testing.T) {
	t.Parallel()
	b := slow(t)
	first, again := b.begin(t.Context(), b.request("one")), (<-chan outcome)(nil)
	<-b.fleet.enter
	again = b.begin(t.Context(), b.request("one"))
	b.fleet.leave <- struct{}{}
	x, y := <-first, <-again
	z := <-b.begin(t.Context(), b.request("one"))
	if x.err != nil || y.err != nil || z.err != nil || x.r.Deployment.Number != 1 || y.r.Deployment.ID != x.r.Deployment.ID || z.r.Deployment.ID != x.r.Deployment.ID {
		t.Errorf("%+v\n%+v\n%+v", x, y, z)
	}
	b.fleet.enter = nil
	if o := <-b.begin(t.Context(), b.request("two")); o.err != nil || o.r.Deployment.Number != 2 {
		t.Errorf("by another name: %+v", o)
	}
	if o := <-b.begin(t.Context(), b.request("")); o.err != nil || o.r.Deployment.Number != 3 {
		t.Errorf("without a name: %+v", o)
	}
}

// Whoever asks again after the first caller went away begins anew: that deploy
// has done nothing.
func TestAttempts_CallerWentAway(t *testing.T) {
	t.Parallel()
	b := slow(t)
	held := b.begin(t.Context(), b.request("other"))
	<-b.fleet.enter
	ctx, cancel := context.WithCancel(t.Context())
	first := b.begin(ctx, b.request("one"))
	poll(t, "it waits", func() bool { return b.d.Waiting(b.project, "f") == 2 })
	again := b.begin(t.Context(), b.request("one"))
	behind := make(chan outcome, 1) // asked for once more, by one who does not wait
	if err := b.d.Start(t.Context(), b.request("one"), func(r deploy.Result, err error) { behind <- outcome{r, err} }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if o := <-first; !errors.Is(o.err, context.Canceled) {
		t.Errorf("%+v", o)
	}
	b.fleet.leave <- struct{}{}
	<-held
	<-b.fleet.enter
	b.fleet.leave <- struct{}{}
	if o := <-again; o.err != nil || o.r.Deployment.Number != 2 {
		t.Errorf("%+v", o)
	}
	if o := <-behind; o.err != nil || o.r.Deployment.Number != 2 {
		t.Errorf("behind its caller: %+v", o)
	}
}

// What failed is told until the next deploy or the end of the function, and its
// kind with it.
func TestAttempts_Failed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := w.build("f", `throw new Error('the stars are wrong');`, "")
	in := deploy.Request{ProjectID: w.project, Name: "f", Artefact: bad}
	if _, err := w.d.Deploy(t.Context(), in); err == nil {
		t.Fatal("it was deployed")
	}
	a, ok := w.d.Attempts(w.project)["f"]
	if !ok || a.State != deploy.Failed || fault.KindOf(a.Err) != fault.Invalid || !strings.Contains(a.Err.Error(), "the stars are wrong") || a.EndedAt.Before(a.BeganAt) {
		t.Errorf("%+v", a)
	}
	if _, err := w.d.Delete(t.Context(), w.project, "f"); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
	if len(w.d.Attempts(w.project)) != 0 {
		t.Error("it is remembered after a delete")
	}
	w.d.Deploy(t.Context(), in)
	in.Artefact = w.build("f", environment, "")
	if _, err := w.d.Deploy(t.Context(), in); err != nil || len(w.d.Attempts(w.project)) != 0 {
		t.Errorf("after a good one: %v, %v", err, w.d.Attempts(w.project))
	}
}

// Names are given by callers: what is remembered of failures is bounded.
func TestAttempts_Bounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 4200 {
		b.d.Deploy(t.Context(), deploy.Request{ProjectID: b.project, Name: fmt.Sprint("f", i), Artefact: "none"})
	}
	if n := len(b.d.Attempts(b.project)); n != 4096 {
		t.Errorf("%d failures are remembered", n)
	}
}

// Nobody waits for it, and it is done; what is wrong with its artefact is told
// at once, and a server that stops ends it.
func TestStart(t *testing.T) {
	t.Parallel()
	b := slow(t)
	if err := b.d.Start(t.Context(), deploy.Request{ProjectID: b.project, Name: "f", Artefact: strings.Repeat("0", 64)}, func(deploy.Result, error) { t.Error("it began") }); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- b.d.Run(ctx) }()
	done := make(chan outcome, 200)
	note := func(r deploy.Result, err error) { done <- outcome{r, err} }
	caller, gone := context.WithCancel(t.Context())
	if err := b.d.Start(caller, b.request("one"), note); err != nil {
		t.Fatal(err)
	}
	gone()
	<-b.fleet.enter
	for i := range 99 {
		if err := b.d.Start(t.Context(), b.request(fmt.Sprint("w", i)), note); err != nil {
			t.Fatal(i, err)
		}
	}
	var full *fault.Error
	if err := b.d.Start(t.Context(), b.request("late"), note); !errors.As(err, &full) || full.Code != "deploys_waiting" {
		t.Error(err)
	}
	stop() // before the first is done: what has begun is written or not, and nobody is left without an answer
	go func() {
		for range b.fleet.enter {
		}
	}()
	close(b.fleet.leave)
	if err := <-ran; err != nil {
		t.Error(err)
	}
	for range 100 {
		if o := <-done; o.err != nil && !errors.Is(o.err, context.Canceled) {
			t.Error(o.err)
		}
	}
	var stopping *fault.Error
	if err := b.d.Start(t.Context(), b.request("later"), note); !errors.As(err, &stopping) || stopping.Code != "shutting_down" {
		t.Error(err)
	}
}
