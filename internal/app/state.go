package app

import (
	"time"

	"postern.dev/postern/internal/telemetry"
)

// levels are what the metrics tell of now.
func (s *Server) levels() telemetry.Levels {
	out := s.gateway.Levels(func(deploymentID string) (workers, inFlight, waiting int) {
		st := s.supervisor.Status(deploymentID)
		return st.Workers, st.InFlight, st.Waiting
	})
	out.Tunnels = s.tunnels.Len()
	out.UsagePending = s.usage.State().Pending
	return out
}

func (s *Server) snapshotState() snapshotState {
	st := s.gateway.State()
	return snapshotState{loaded: st.Loaded, staleSince: st.StaleSince, seq: st.Seq}
}

// troubles are the parts that do not do all that they should.
func (s *Server) troubles() (out []trouble) {
	add := func(part, effect string, since time.Time) {
		if !since.IsZero() {
			at := since.UTC()
			out = append(out, trouble{part, effect, &at})
		}
	}
	used := s.usage.State()
	add("audit log", "decisions are not stored; changes are refused, and refusals beyond a number are only counted", s.audit.Away())
	add("usage journal", "a crash would lose what the database does not have", used.JournalAway)
	add("usage", "it is kept, and not in the database yet", used.StoreAway)
	if _, err := s.ring.Current(time.Now()); err != nil {
		out = append(out, trouble{Part: "signing keys", Effect: "no tokens are issued; access keys open what they should"})
	}
	add("keeper of the secrets", "functions that need secrets are not started anew, and no secret is changed; those that run go on", s.vault.Away())
	if s.gateway.Shut() > 0 {
		out = append(out, trouble{Part: "policy", Effect: "a function answers nobody, because its policy does not fit it"})
	}
	return out
}
