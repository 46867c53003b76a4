//go:build !windows

package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/tunnel"
)

// errOpenTunnel refuses to let everybody in.
var errOpenTunnel = fault.New(fault.Denied, "no tunnel is opened: the function runs without credentials, so everybody who knows its address could call handlers that are guarded when deployed").
	WithCode("tunnel_unguarded").WithHint("start it with credentials: postern auth login, or PROJECT_ID_API_KEY and PROJECT_ID_API_SECRET, and without --no-credentials; if everybody may call its handlers: --insecure-tunnel")

// devTunnel is the tunnel of a function that is worked on.
type devTunnel struct {
	d        *devserver.Server
	insecure bool
	connect  func() (*api.Client, error)
	log      *slog.Logger
}

func (o devOptions) newTunnel(cmd *cobra.Command, d *devserver.Server, log *slog.Logger) *devTunnel {
	return &devTunnel{d: d, insecure: o.insecure, log: log, connect: func() (*api.Client, error) { return signedIn(cmd) }}
}

// run opens the tunnel once the function serves, and keeps it. One that does not
// come about is an error; the end of one that stood is told, and dev goes on.
func (t *devTunnel) run(ctx context.Context) error {
	if !t.serves(ctx) {
		return nil
	}
	if t.d.Skipped() && !t.insecure {
		return errOpenTunnel
	}
	as, err := t.connect()
	if err != nil {
		return err
	}
	at, err := as.TunnelURL()
	if err != nil {
		return err
	}
	stood := false
	client := tunnel.NewClient(tunnel.ClientOptions{URL: at, Transport: as.Tunnels(), Handler: t.guarded(t.d.Outside()), Log: t.log, Changed: func(st tunnel.State) {
		stood = stood || st.Open
		t.tell(st)
	}})
	if err := client.Run(ctx); err != nil && !stood {
		return err
	}
	return nil
}

// serves waits until the first version serves.
func (t *devTunnel) serves(ctx context.Context) bool {
	for {
		_, more := t.d.Feed().After(1 << 62)
		if t.d.Function() != nil {
			return true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}

var errUnguarded = fault.New(fault.Unavailable, "the function asks nobody for credentials at the moment, and is not shown to callers from elsewhere").WithCode("tunnel_down")

// guarded refuses everybody if the credentials are taken away while the tunnel
// stands.
func (t *devTunnel) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.d.Function() != nil && t.d.Skipped() && !t.insecure {
			httpx.WriteProblem(w, errUnguarded, httpx.NewRequestID())
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (t *devTunnel) tell(st tunnel.State) {
	told := devserver.Tunnel{Open: st.Open, URLs: st.URLs, Left: st.Left, Idle: st.Idle, Retry: st.Retry, Insecure: t.insecure && t.d.Skipped()}
	if st.Why != nil {
		told.Why = st.Why.Error()
		if f, ok := errors.AsType[*fault.Error](st.Why); ok {
			told.Why = f.Text
		}
	}
	t.d.TellTunnel(told)
}

// tunnel shows how the tunnel is.
func (s *devScreen) tunnel(at string, t *devserver.Tunnel) {
	switch {
	case t.Open:
		s.down = ""
		s.out.line("%s %s %s", at, s.out.paint(cyan, "tunnel"), clean(t.URLs[len(t.URLs)-1]))
		if len(t.URLs) > 1 {
			s.out.line("         or     %s", clean(t.URLs[0]))
		}
		s.out.line("         it closes after %v without a call, and in %v at the latest", span(t.Idle), span(t.Left))
		if t.Insecure {
			s.warning("EVERYBODY who knows this address may call every handler: nobody is asked for credentials (--insecure-tunnel)")
		}
		if paths := s.unsigned(); len(paths) > 0 {
			s.warning("callbacks need no signature here, through the tunnel neither: " + strings.Join(paths, ", ") + ". With \"webhookProtection\": \"always\" they do")
		}
	case t.Retry > 0 && t.Why == s.down: // as was told
	case t.Retry > 0:
		s.down = t.Why
		s.out.line("%s %s %s; it is tried again until it stands", at, s.out.paint(yellow, "tunnel down:"), clean(t.Why))
	default:
		s.out.line("%s %s %s", at, s.out.paint(yellow, "tunnel closed:"), clean(t.Why))
		s.out.line("         the function goes on here; start dev again for another tunnel")
	}
}

// span is a duration for people: without seconds where there are minutes.
func span(d time.Duration) string {
	if d < 2*time.Minute {
		return d.Round(time.Second).String()
	}
	text := strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// unsigned are the callbacks that need a signature where they are deployed alone.
func (s *devScreen) unsigned() (paths []string) {
	if f := s.d.Function(); f != nil {
		for _, h := range f.Handlers {
			if _, ok := signature.For(h.Name, h.Kind); ok && h.Guard == platform.GuardOpen {
				paths = append(paths, h.Name)
			}
		}
	}
	return paths
}

// tunnelFlags are those of the tunnel.
func (o *devOptions) tunnelFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.tunnel, "tunnel", false, "let others call the function, at an address of the server that you are signed in to")
	cmd.Flags().BoolVar(&o.insecure, "insecure-tunnel", false, "the same, also while guarded handlers are open for want of credentials")
}

// runDev runs the server, and its tunnel if one was asked for, until ctx ends or
// either fails.
func (o devOptions) runDev(ctx context.Context, cmd *cobra.Command, d *devserver.Server, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	if o.tunnel || o.insecure {
		go func() {
			err := o.newTunnel(cmd, d, log).run(ctx)
			if err != nil {
				cancel()
			}
			ended <- err
		}()
	} else {
		ended <- nil
	}
	err := d.Run(ctx)
	cancel()
	if tunnelled := <-ended; tunnelled != nil {
		return tunnelled
	}
	return err
}
