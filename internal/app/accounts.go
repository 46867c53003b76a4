package app

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/console"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// openAccounts makes what signs people in to the console.
func (s *Server) openAccounts() error {
	key, err := s.box.Derive("console")
	if err != nil {
		return err
	}
	s.accounts = account.New(account.Options{Store: s.db, Sealer: s.box, Key: key, Directory: func() *auth.Directory { return s.gateway.Keys() },
		Name: accountName(s.Issuer()), Record: s.recordAccount})
	return nil
}

// accountName is how an app for codes calls this installation.
func accountName(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Hostname() == "" {
		return "Postern"
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "Postern"
	}
	return "Postern " + u.Hostname()
}

// recordAccount puts into the audit log who signed in and what became of it, before
// they are answered. What can be caused without end is sampled, and of it what was
// refused is not waited for; a change of an account is recorded each time.
func (s *Server) recordAccount(a account.Act) {
	e := audit.Event{Door: platform.DoorControl, ProjectID: a.ProjectID, Action: a.Action, Target: a.Target, KeyID: a.By, Method: string(auth.MethodSession), Remote: a.Remote, Outcome: platform.OutcomeAllowed, Status: http.StatusOK}
	if a.Err != nil {
		p := httpx.ProblemOf(a.Err, "")
		e.Outcome, e.Code, e.Status = platform.OutcomeRefused, p.Code, p.Status
		if p.Status >= 500 {
			e.Outcome = platform.OutcomeFailed
		}
	}
	endless := a.Err != nil || a.Action == "signIn" || a.Action == "signOut"
	if endless && !s.audit.Take(audit.Series{Door: e.Door, ProjectID: e.ProjectID, Target: e.Target, KeyID: e.KeyID, Action: e.Action, Outcome: e.Outcome, Code: e.Code, Status: e.Status}) {
		return
	}
	if a.Err != nil {
		s.audit.Offer(e)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.audit.Commit(ctx, e); err != nil {
		s.log.Error("a decision is not in the audit log", "operation", e.Action, "error", err)
	}
}

// consoleAt puts the console before an API.
func (s *Server) consoleAt(mux *http.ServeMux, api http.Handler) {
	pages := console.New(console.Options{API: api, Accounts: s.accounts, Issuer: s.Issuer(), Gateway: s.GatewayURL(), Version: s.version, Log: s.log})
	mux.Handle(console.Dir, pages)
	mux.Handle(console.Dir+"/", pages)
}
