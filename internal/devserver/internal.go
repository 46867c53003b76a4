package devserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/token"
	"postern.dev/postern/internal/worker"
)

// issuer is the name of this process in the tokens that it gives its workers.
const issuer = "postern-dev"

// openInternal opens the door at which the function calls itself: a socket that
// this user alone reaches. No other function is behind it.
func (s *Server) openInternal(ctx context.Context) error {
	box, err := secret.OpenBox(filepath.Join(s.runDir, "sealing.key"))
	if err != nil {
		return err
	}
	if s.ring, err = oauth.OpenRing(ctx, oauth.RingOptions{Store: s.source, Sealer: box, Algorithm: token.EdDSA, Log: s.o.Log}); err != nil {
		return err
	}
	path := filepath.Join(s.runDir, "calls.sock")
	if s.callLn, err = new(net.ListenConfig).Listen(ctx, "unix", path); err != nil {
		return fmt.Errorf("open the internal door: %w", err)
	}
	return os.Chmod(path, 0o600)
}

// token makes what the function shows when it calls itself.
func (s *Server) token(projectID string) func(now time.Time) (worker.Token, error) {
	key := s.own(projectID).ID
	return func(now time.Time) (worker.Token, error) {
		text, err := s.ring.CallToken(issuer, key, projectID, now)
		if err != nil {
			return worker.Token{}, err
		}
		return worker.Token{Socket: s.callLn.Addr().String(), Text: text, RenewAt: now.Add(oauth.CallTokenLifetime * 4 / 5)}, nil
	}
}

// own is the function's own key, which only stands for it in its tokens.
func (s *Server) own(projectID string) platform.AccessKey {
	return platform.AccessKey{ID: s.ownKey, ProjectID: projectID, FunctionID: s.functionID, DisplayName: "function", SecretHash: s.ownSecret.Hash(), Generation: 1,
		Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: s.began}
}

// internal is the internal door. Calls of other functions are refused in words
// that say what is missing.
func (s *Server) internal() http.Handler {
	next := s.recorded(s.gateway.Internal(), func(r *Request) { r.Internal = true })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.Host, ".")
		if f := s.Function(); f != nil && name != f.Name {
			s.notice(slog.LevelWarn, "%s called the function %.64q, which is not here: postern functions dev runs one alone. Deploy both to have one call the other", f.Name, name)
			w.Header()["X-Postern-Refused"] = []string{"function_not_found"}
			httpx.WriteProblem(w, errAlone, httpx.NewRequestID())
			return
		}
		next.ServeHTTP(w, r)
	})
}

var errAlone = fault.New(fault.NotFound, "only one function runs here").WithCode("function_not_found")

// callLimits leave a worker's idle connections to the worker.
var callLimits = httpx.Limits{Idle: 10 * time.Minute}

func newOwnKey(now time.Time) (id string, s accesskey.Secret) {
	return accesskey.NewID(now), accesskey.NewSecret()
}
