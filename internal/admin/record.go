package admin

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// recordLimit is how long an answer may wait for the audit log. It is not cut
// short by a caller who hangs up: that would be a way to leave no trace.
const recordLimit = 5 * time.Second

// actionKey is where an operation finds what is recorded of it.
type actionKey struct{}

// noteCode tells the audit event of the operation in ctx what its problem was.
func noteCode(ctx context.Context, code string) {
	if a, ok := ctx.Value(actionKey{}).(*action); ok {
		a.event.Code = code
	}
}

// noteDetail adds to the audit event of the operation in ctx.
func noteDetail(ctx context.Context, name, text string) {
	if a, ok := ctx.Value(actionKey{}).(*action); ok {
		if a.event.Detail == nil {
			a.event.Detail = map[string]string{}
		}
		a.event.Detail[name] = text
	}
}

// eventOfAction is the audit event of the operation in ctx, as far as it is known.
func eventOfAction(ctx context.Context) (audit.Event, bool) {
	a, ok := ctx.Value(actionKey{}).(*action)
	if !ok {
		return audit.Event{}, false
	}
	return a.event, true
}

// remoteAddr is from where the operation in ctx was asked for.
func remoteAddr(ctx context.Context) string {
	if a, ok := ctx.Value(actionKey{}).(*action); ok {
		return a.event.Remote
	}
	return ""
}

type humaContext huma.Context // embedded, its name must differ from its method

// action is an operation that was allowed, until it is recorded.
type action struct {
	humaContext
	s        *service
	event    audit.Event
	recorded bool
	spoiled  bool // the answer was replaced
}

// act runs an operation that was allowed, and records it. What has changed
// something is recorded each time, and answered after its event is stored;
// what only looked, or failed, is sampled by key: whoever asks without end must
// not push out of the log what was done.
func (s *service) act(ctx huma.Context, p auth.Principal, next func(huma.Context)) {
	a := &action{humaContext: ctx, s: s, event: s.eventOf(ctx, p)}
	if a.event.ProjectID = ctx.Param("projectId"); a.event.ProjectID == "" {
		a.event.ProjectID = p.ProjectID()
	}
	defer a.end()
	inner := context.WithValue(context.WithValue(ctx.Context(), principalKey, p), actionKey{}, a)
	next(huma.WithContext(a, inner))
}

// eventOf is what is known of an operation before it is decided.
func (s *service) eventOf(ctx huma.Context, p auth.Principal) audit.Event {
	r, _ := humago.Unwrap(ctx)
	return audit.Event{Door: platform.DoorControl, Action: ctx.Operation().OperationID, Target: target(r.URL.Path), KeyID: p.ID(), Method: string(p.Method),
		RequestID: requestID(r.Context()), Remote: r.RemoteAddr}
}

// target is what of a path names the thing, below its project.
func target(path string) string {
	rest := strings.TrimPrefix(path, "/v1/")
	if below, ok := strings.CutPrefix(rest, "projects/"); ok {
		_, rest, _ = strings.Cut(below, "/")
	}
	return rest
}

// readsOnly marks, in an operation's Metadata, one that changes nothing although
// its method says otherwise.
const readsOnly = "postern:readsOnly"

func changes(op *huma.Operation) bool {
	return op.Method != http.MethodGet && op.Method != http.MethodHead && op.Metadata[readsOnly] == nil
}

// Unwrap is for who looks for the request behind a huma.Context.
func (a *action) Unwrap() huma.Context { return a.humaContext }

// SetStatus begins the answer. That of a change waits until it is recorded; if
// it cannot be, the caller is told so instead.
func (a *action) SetStatus(status int) {
	if status < 400 && changes(a.Operation()) {
		if err := a.record(status, a.s.o.Audit.Commit); err != nil {
			r, w := humago.Unwrap(a.humaContext)
			a.spoiled = true
			httpx.WriteProblem(w, err, requestID(r.Context()))
			return
		}
	}
	a.humaContext.SetStatus(status)
}

// BodyWriter takes the body of the answer, or what would have been it.
func (a *action) BodyWriter() io.Writer {
	if a.spoiled {
		return io.Discard
	}
	return a.humaContext.BodyWriter()
}

// end records what was not recorded before its answer; also what panicked.
func (a *action) end() {
	if a.recorded {
		return
	}
	_, w := humago.Unwrap(a.humaContext)
	status := w.(*answer).status // which may not be what huma was told
	if status == 0 {
		status, a.event.Code = http.StatusInternalServerError, "internal"
	}
	a.event.Status, a.event.Outcome = status, outcomeOf(status)
	if e := a.event; a.s.o.Audit.Take(seriesOf(e)) {
		a.record(status, a.s.o.Audit.Record)
	}
}

func outcomeOf(status int) platform.Outcome {
	if status >= 400 {
		return platform.OutcomeFailed
	}
	return platform.OutcomeAllowed
}

// seriesOf is the series of an event of the control plane. It outlives the
// request, whose path its project may be a piece of.
func seriesOf(e audit.Event) audit.Series {
	return audit.Series{Door: e.Door, ProjectID: strings.Clone(e.ProjectID), KeyID: e.KeyID, Action: e.Action, Outcome: e.Outcome, Code: e.Code, Status: e.Status}
}

func (a *action) record(status int, how func(context.Context, audit.Event) error) error {
	a.recorded = true
	a.event.Status, a.event.Outcome = status, outcomeOf(status)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.humaContext.Context()), recordLimit)
	defer cancel()
	err := how(ctx, a.event)
	if err != nil {
		a.s.o.Log.Error("a decision is not in the audit log", "requestId", a.event.RequestID, "operation", a.event.Action, "error", err)
	}
	return err
}

// refused records a refusal, in the log of the caller's own project where the
// caller was recognised: it may be a key that was taken.
func (s *service) refused(ctx huma.Context, p auth.Principal, problem httpx.Problem) {
	e := s.eventOf(ctx, p)
	e.Outcome, e.Code, e.Status = platform.OutcomeRefused, problem.Code, problem.Status
	e.Detail = map[string]string{audit.DetailWhy: problem.Detail}
	own := p.ProjectID()
	if own != "" {
		if e.ProjectID = own; own != ctx.Param("projectId") {
			e.Target = strings.TrimPrefix(ctx.URL().Path, "/v1/")
		}
	} else if id := ctx.Param("projectId"); isProjectID(id) {
		e.ProjectID = id
	}
	if !s.o.Audit.Take(seriesOf(e)) {
		return
	}
	if own == "" {
		s.o.Audit.Offer(e) // a stranger is not worth waiting for
		return
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx.Context()), recordLimit)
	defer cancel()
	if err := s.o.Audit.Record(wait, e); err != nil {
		s.o.Log.Error("a decision is not in the audit log", "requestId", e.RequestID, "operation", e.Action, "error", err)
	}
}

// isProjectID reports whether a text has the form of a project's ID. That of a
// path which nobody may use can be anything.
func isProjectID(s string) bool {
	id, ok := strings.CutPrefix(s, "prj_")
	return ok && accesskey.ValidID("pak_"+id)
}
