package upstream

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// breaker stops asking a server that does not answer. Closed, it counts failures
// that follow one another; open, it lets nobody through; after a while it lets one
// through, whose fate decides.
//
// A failure is a connection that cannot be made or breaks, an answer that is none
// of HTTP, and one that does not begin in time. A status is an answer, 503 as
// well: an upstream that says so does it more cheaply than it could fail, and
// what one of its paths says is nothing to the others.
type breaker struct {
	steps  *gobreaker.TwoStepCircuitBreaker[struct{}]
	reopen atomic.Int64 // Unix nanoseconds at which one is let through
}

func newBreaker(u *platform.Upstream, changed func(*platform.Upstream, bool)) *breaker {
	failures, pause := u.Breaker.Failures, u.Breaker.Open
	if failures == 0 {
		failures = 5
	}
	if pause == 0 {
		pause = 10 * time.Second
	}
	b := &breaker{}
	b.steps = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     pause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= failures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoVerdict) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.reopen.Store(time.Now().Add(pause).UnixNano())
			}
			if changed != nil && (to == gobreaker.StateClosed || from == gobreaker.StateClosed) {
				changed(u, to != gobreaker.StateClosed)
			}
		},
	})
	return b
}

// errNoVerdict is of a call that says nothing about the server: its caller went
// away, did not send what was announced, or used up the time for it.
var errNoVerdict = errors.New("the call says nothing of the upstream")

// allow takes leave to ask the server, and returns what has to be told how it went.
func (b *breaker) allow() (done func(error), err error) {
	done, err = b.steps.Allow()
	if err != nil {
		return nil, &openError{max(time.Until(time.Unix(0, b.reopen.Load())), time.Second)}
	}
	return done, nil
}

var errOpen = fault.New(fault.Unavailable, "the upstream did not answer several times, and is left alone for a while").WithCode("circuit_open").WithHint("try again after the time that Retry-After says")

// openError is a refusal of an open breaker, which knows when to try again.
type openError struct{ wait time.Duration }

func (e *openError) Error() string { return errOpen.Error() }

// RetryAfter is how long to wait.
func (e *openError) RetryAfter() time.Duration { return e.wait }

// Unwrap gives the fault.
func (e *openError) Unwrap() error { return errOpen }
