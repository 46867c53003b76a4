package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/tunnel"
)

func (s *service) registerTunnels() {
	register(s, huma.Operation{OperationID: "openTunnel", Method: http.MethodGet, Path: "/v1/projects/{projectId}/tunnels", Summary: "Open a tunnel",
		Description: "A WebSocket of the subprotocol " + tunnel.Subprotocol + ": what comes to an address of its own goes down it. See docs/tunnel.md.", DefaultStatus: http.StatusSwitchingProtocols, Errors: []int{400, 503}}, s.openTunnel)
}

// Opened is a tunnel for as long as it stands.
type Opened struct {
	Body func(huma.Context)
}

// openTunnel takes a place for a tunnel and records it before anybody can call
// through it; then stays with it to its end, which is recorded too.
func (s *service) openTunnel(ctx context.Context, in *ProjectPath) (*Opened, error) {
	return &Opened{func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		if err := s.tunnel(ctx, in.ProjectID, w, r); err != nil {
			p := httpx.WriteProblem(w, err, requestID(ctx))
			noteCode(ctx, p.Code)
		}
	}}, nil
}

func (s *service) tunnel(ctx context.Context, projectID string, w http.ResponseWriter, r *http.Request) error {
	p := principal(ctx)
	var place *tunnel.Admission
	var err error
	began := time.Now()
	caller := tunnel.Caller{ProjectID: projectID, KeyID: p.ID(), Still: func() error { return s.stands(r, p, projectID, began) }, Ended: func(e tunnel.Ending) {
		s.o.Log.Info("a tunnel's connection ended", "tunnel", place.Name(), "reason", e.Reason, "took", time.Since(began), "calls", e.Calls)
		s.recordTunnelEnd(ctx, place.Name(), projectID, p, e)
	}}
	place, err = s.o.Tunnels.Admit(r, caller)
	if err != nil {
		return err
	}
	noteDetail(ctx, "tunnel", place.Name())
	if a, ok := ctx.Value(actionKey{}).(*action); ok {
		if err := a.record(http.StatusSwitchingProtocols, s.o.Audit.Commit); err != nil {
			place.Release(true)
			return err
		}
	}
	if _, err := place.Serve(w, r); err != nil {
		s.o.Log.Warn("a tunnel was not opened", "requestId", requestID(ctx), "error", err)
	}
	return nil // the connection is not HTTP's any more
}

// recordTunnelEnd says in the audit log until when outsiders could call.
func (s *service) recordTunnelEnd(ctx context.Context, name, projectID string, p auth.Principal, ending tunnel.Ending) {
	e := audit.Event{Door: platform.DoorControl, Action: "closeTunnel", Target: "tunnels/" + name, ProjectID: projectID, KeyID: p.ID(), Method: string(p.Method), RequestID: requestID(ctx),
		Remote: remoteAddr(ctx), Outcome: platform.OutcomeAllowed, Status: http.StatusOK, Detail: map[string]string{"reason": ending.Reason, "connections": fmt.Sprint(ending.Calls)}}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	if err := s.o.Audit.Record(wait, e); err != nil {
		s.o.Log.Error("a decision is not in the audit log", "requestId", e.RequestID, "operation", e.Action, "error", err)
	}
}

// stands is why a tunnel may stand no longer. That the store is away says nothing of
// the caller.
func (s *service) stands(r *http.Request, p auth.Principal, projectID string, began time.Time) error {
	_, err := s.still(r, p, projectID, began)
	if k := fault.KindOf(err); k == fault.Unavailable || k == fault.Internal {
		return nil
	}
	return err
}
