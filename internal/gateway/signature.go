package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// rememberedCallbacks bounds the replay memory that a gateway makes for itself:
// about 20 MB when it is full.
const rememberedCallbacks = 1 << 18

// callback is what became of a request's signature.
type callback struct {
	scheme  string              // that it was to be signed by; empty: nobody asked
	by      *signature.Verifier // nil: none was verified
	verdict signature.Verdict
	given   bool   // back: it may come again
	target  string // the function, the handler and the route that it was verified for
	handler string
	pattern string
}

// verifiers makes the verifiers of the doors that are guarded by signature. A
// door whose secret is no secret, or of which nothing says how it is signed,
// has none and lets nobody in.
func (g *Gateway) verifiers(t *target) []*signature.Verifier {
	f, doors, value := t.function, t.routes.Doors(), g.secretsOf(t)
	made := make([]*signature.Verifier, len(doors))
	for i, door := range doors {
		if door.Handler == nil || door.Handler.Guard != platform.GuardSignature {
			continue
		}
		var err error
		before := t.sealed
		t.sealed = false
		if made[i], err = g.verifier(f.ID, door.Handler, value); t.sealed {
			made[i] = nil // some of its secrets are no secrets to verify with
		} else if err != nil {
			g.log.Warn("callbacks are refused", "function", f.Slug, "handler", door.Handler.Name, "route", door.Pattern, "error", err)
		}
		t.sealed = t.sealed || before
	}
	return made
}

// verifier makes the verifier of one door. What a function has taken is taken,
// at whichever of its doors; another function may be sent the same.
func (g *Gateway) verifier(functionID string, h *platform.Handler, value func(string) string) (*signature.Verifier, error) {
	guard, err := signature.Of(h.Signature, h.Name, h.Kind)
	if err != nil {
		return nil, err
	}
	return signature.New(signature.Config{Scheme: guard.Scheme, Keys: guard.Keys(value), Window: guard.Window, Scope: functionID, Memory: g.options.Callbacks})
}

// verify is step 3 of a door that is guarded by signature. It reads the body
// whole, up to the door's limit, and the handler gets those bytes and no
// others. When the steps are taken again the callback is remembered already;
// what it was verified for must be what it is routed to.
func (g *Gateway) verify(x *exchange) error {
	if c := &x.callback; c.by != nil {
		if c.target != x.target.function.ID || c.handler != x.match.Handler.Name || c.pattern != x.match.Pattern {
			return errSignature
		}
		x.principal = auth.Principal{Method: auth.MethodSignature}
		return nil
	}
	v := x.target.verifiers[x.match.Door]
	switch {
	case v == nil && x.target.sealed:
		return &callbackError{errCallbacks, errSealed}
	case v == nil:
		return badCallback(signature.ErrNoSecret)
	}
	x.callback.scheme = v.Scheme()
	r := signature.Request{Method: x.r.Method, Header: x.r.Header, Now: x.began}
	if strings.HasPrefix(x.r.RequestURI, "/") { // of the absolute form nobody signs the path
		r.Path, r.Query, _ = strings.Cut(x.r.RequestURI, "?")
	}
	if err := v.Look(&r); err != nil {
		return badCallback(err)
	}
	if x.question != nil {
		return badCallback(signature.ErrMissing) // it signs nothing
	}
	if err := g.readWhole(x); err != nil {
		return err
	}
	r.Body = x.body
	verdict, err := v.Verify(x.r.Context(), &r)
	if err != nil {
		return badCallback(err)
	}
	x.callback = callback{scheme: x.callback.scheme, by: v, verdict: verdict, target: x.target.function.ID, handler: x.match.Handler.Name, pattern: x.match.Pattern}
	x.principal = auth.Principal{Method: auth.MethodSignature}
	return nil
}

// callbackError is a refusal of a callback: over is what its sender is told, the
// same of all bad signatures; reason is for the log and the function's owner.
type callbackError struct{ over, reason error }

func (e *callbackError) Error() string { return e.over.Error() }

// Unwrap gives the fault.
func (e *callbackError) Unwrap() error { return e.over }

var errCallbacks = fault.New(fault.Unavailable, "callbacks cannot be taken at the moment")

func badCallback(err error) error {
	if errors.Is(err, signature.ErrMemory) {
		return &callbackError{errCallbacks, err}
	}
	return &callbackError{errSignature, err}
}

// readWhole reads a body of any length up to the handler's limit. It grows with
// what has come, not with what was announced.
func (g *Gateway) readWhole(x *exchange) error {
	limit := g.bodyLimit(x.match.Handler)
	if x.r.ContentLength > limit {
		return errTooLarge
	}
	if x.r.Body == nil || x.r.Body == http.NoBody {
		return nil
	}
	buf := bytes.NewBuffer(x.body[:0])
	n, err := buf.ReadFrom(io.LimitReader(x.r.Body, limit+1))
	switch {
	case n > limit:
		return errTooLarge
	case err != nil:
		return fault.Wrap(err, fault.Invalid, "the body could not be read to its end")
	}
	x.body = buf.Bytes()
	return nil
}

// handOver makes the verified bytes the handler's body: in one frame if they
// fit, else as a stream.
func (x *exchange) handOver() {
	if len(x.body) > inlineBody || x.match.Handler.Body == platform.BodyStream {
		x.rest = &limitedBody{r: bytes.NewReader(x.body), left: int64(len(x.body))}
	}
}

// settle forgets a callback that its handler did not answer, or answered with a
// failure.
func (g *Gateway) settle(x *exchange) {
	if !x.ran || x.code != "" || x.status >= http.StatusInternalServerError {
		g.giveBack(x)
	}
}

// giveBack forgets a callback: its sender tries again, and may send the very
// same bytes. It comes before the answer where that is known to be a failure,
// or the next try could come first.
func (g *Gateway) giveBack(x *exchange) {
	c := &x.callback
	if c.by == nil || c.given {
		return
	}
	c.given = true
	if err := c.by.Forget(context.WithoutCancel(x.r.Context()), c.verdict); err != nil {
		g.log.Warn("a callback that failed cannot come again", "requestId", x.id, "error", err)
	}
}
