package app

import (
	"context"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/platform"
)

func (s *Server) newRecorder() *audit.Recorder {
	return audit.New(audit.Options{
		Retention: s.cfg.AuditRetention,
		MaxEvents: s.cfg.AuditEvents,
		Lost:      func(n int64) { s.metrics.AuditLost.Add(float64(n)) },
		Log:       s.log,
	}, s.db)
}

// tokenActions are the names under which the audit log has the token server's
// endpoints.
var tokenActions = map[string]string{oauth.TokenPath: "issueToken", oauth.IntrospectPath: "introspectToken", oauth.RevokePath: "revokeToken"}

// recordToken records what the token server decided, before it answers. All
// of it is sampled, by key where one was recognised: a client may ask again and
// again. Only the end of a token is recorded each time, and stored first.
func (s *Server) recordToken(d oauth.Decision) {
	e := audit.Event{Door: platform.DoorToken, ProjectID: d.ProjectID, Action: tokenActions[d.Endpoint], Outcome: platform.OutcomeAllowed, Code: d.Code, Status: d.Status,
		RequestID: d.RequestID, Remote: d.Remote}
	switch {
	case d.Status >= 500:
		e.Outcome = platform.OutcomeFailed
	case d.Status >= 400:
		e.Outcome = platform.OutcomeRefused
	}
	if d.ProjectID != "" {
		e.KeyID, e.Method = d.KeyID, "client"
	} else if k := s.gateway.Keys().ByID(d.KeyID); k != nil {
		// Somebody else tries to be this key: its owner should see it.
		e.ProjectID, e.Target = k.ProjectID(), k.ID()
	}
	if d.Scope != "" {
		e.Detail = map[string]string{"scope": d.Scope}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	switch {
	case e.Outcome == platform.OutcomeAllowed && d.Endpoint == oauth.RevokePath:
		err = s.audit.Commit(ctx, e)
	case !s.audit.Take(audit.Series{Door: e.Door, ProjectID: e.ProjectID, Target: e.Target, KeyID: e.KeyID, Action: e.Action, Outcome: e.Outcome, Code: e.Code, Status: e.Status}):
	case e.KeyID == "":
		s.audit.Offer(e)
	default:
		err = s.audit.Record(ctx, e)
	}
	if err != nil {
		s.log.Error("a decision is not in the audit log", "requestId", e.RequestID, "operation", e.Action, "error", err)
	}
}
