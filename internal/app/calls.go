package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/worker"
)

// callLimits leave a worker's idle connections to the worker, which closes them
// first: a call must not meet a connection that is being closed.
var callLimits = httpx.Limits{Idle: 10 * time.Minute}

// maxSocketPath is how long the path of a unix socket may be: sun_path has 108
// bytes on Linux, fewer elsewhere, and a zero behind it.
const maxSocketPath = 100

// listenForCalls opens the internal door: a socket that this user alone can
// reach, in the run directory, or in a temporary one if that lies too deep.
func (s *Server) listenForCalls(ctx context.Context) error {
	dir := s.dir.join("run")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	path := filepath.Join(dir, "calls.sock")
	if len(path) > maxSocketPath {
		base := os.TempDir()
		if len(base)+len("/postern-1234567890/calls.sock") > maxSocketPath {
			base = "/tmp"
		}
		short, err := os.MkdirTemp(base, "postern-") // closed to others
		if err != nil {
			return fmt.Errorf("make a directory for the internal door: %w", err)
		}
		s.opened(func() error { return os.RemoveAll(short) })
		path = filepath.Join(short, "calls.sock")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("open the internal door: %w", err)
	}
	s.callLn = ln
	s.opened(closeListener(ln))
	return os.Chmod(path, 0o600)
}

// internalListener is the internal door's. Who calls there has no address, and
// no proxy before him.
func (s *Server) internalListener() *httpx.Server {
	l := s.listener("internal", httpx.Server{Listener: s.callLn, Handler: s.gateway.Internal(), Limits: callLimits})
	l.MaxPerAddress, l.Proxies = 0, nil
	return l
}

// callToken makes what a function shows at the internal door.
func (s *Server) callToken(keyID, projectID string, now time.Time) (worker.Token, error) {
	text, err := s.ring.CallToken(s.Issuer(), keyID, projectID, now)
	if err != nil {
		return worker.Token{}, err
	}
	return worker.Token{Socket: s.callLn.Addr().String(), Text: text, RenewAt: now.Add(oauth.CallTokenLifetime * 4 / 5)}, nil
}

// doors are the gateway's, for requests that the control plane sends.
func (s *Server) doors() admin.Doors {
	return admin.Doors{
		Outside:  s.gateway,
		Internal: s.gateway.Internal(),
		Token: func(k admin.KeyForm, audience string, now time.Time) (string, error) {
			return s.ring.SentToken(s.Issuer(), k.ID, k.ProjectID, k.Generation, audience, now)
		},
		Hide: func(text string) string { return string(accesskey.Redact([]byte(s.live.Set().String(text)))) },
	}
}
