package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
)

// byPlatform stands in the audit log for who showed a credential, where nobody did.
const byPlatform = "platform"

// judge ends candidates whose calls fail more often than those of the version
// beside them. Each node judges by the calls that it had itself; whichever is first
// ends it for all.
func (s *Server) judge(ctx context.Context) error {
	if s.cfg.RollbackErrors == 0 {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, f := range s.gateway.Failing(s.cfg.RollbackErrors) {
			s.endFailing(ctx, f)
		}
	}
}

// endFailing ends one candidate, and says so to everybody whom it may concern.
func (s *Server) endFailing(ctx context.Context, f gateway.Failing) {
	because := fmt.Sprintf("%d of %d calls failed; of version %d %d of %d did", f.Failed, f.Ran, f.ActiveNumber, f.ActiveFailed, f.ActiveRan)
	err := s.deployer.EndFailing(ctx, f.Function, because)
	if e, ok := errors.AsType[*fault.Error](err); ok && (e.Code == "versions_raced" || e.Kind == fault.NotFound) {
		return // it has been ended already
	}
	if err != nil {
		s.log.Error("a candidate whose calls fail was not ended; it will be tried again", "function", f.Function.Slug, "deployment", f.Number, "reason", because, "error", err)
		return
	}
	s.log.Warn("a candidate was ended, because its calls fail", "function", f.Function.Slug, "deployment", f.Number, "reason", because)
	event := audit.Event{ProjectID: f.Function.ProjectID, Door: platform.DoorControl, Action: "rollBack", Target: "functions/" + f.Function.Name, Outcome: platform.OutcomeAllowed, Method: byPlatform,
		Detail: map[string]string{audit.DetailWhy: because, "ended": fmt.Sprint(f.Number), "version": fmt.Sprint(f.ActiveNumber)}}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.audit.Commit(wait, event); err != nil {
		s.log.Error("a decision is not in the audit log", "operation", event.Action, "function", f.Function.Slug, "error", err)
	}
}
