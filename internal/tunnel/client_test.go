package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/tunnel"
)

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What would be the same again is not tried again; all else is, with pauses.
func TestClient_TriesAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		once bool
	}{
		"a wrong key":           {fault.New(fault.Unauthenticated, "no"), true},
		"may not":               {fault.New(fault.Denied, "no"), true},
		"no such project":       {fault.New(fault.NotFound, "no"), true},
		"another version":       {fault.New(fault.Invalid, "no"), true},
		"as many as may be":     {fault.New(fault.TooMany, "no").WithCode("tunnels_full"), true},
		"too often":             {fault.New(fault.TooMany, "no"), false},
		"a server that is away": {fault.New(fault.Unavailable, "no"), false},
		"one that breaks":       {fault.New(fault.Internal, "no"), false},
		"a network that breaks": {errors.New("no"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int64
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var last tunnel.State
			c := tunnel.NewClient(tunnel.ClientOptions{URL: "http://server.invalid/", Handler: http.NotFoundHandler(), Wait: time.Millisecond,
				Transport: transportFunc(func(*http.Request) (*http.Response, error) {
					if tries.Add(1) == 4 {
						cancel()
					}
					return nil, tc.err
				}),
				Changed: func(st tunnel.State) { last = st }})
			err := c.Run(ctx)
			if tc.once && (tries.Load() != 1 || !errors.Is(err, tc.err) || last.Retry != 0) || !tc.once && (tries.Load() != 4 || err != nil || last.Retry == 0) {
				t.Errorf("%d tries, %v, %+v", tries.Load(), err, last)
			}
		})
	}
}

// What comes through is marked, whatever it says, and the answer goes back; the end
// of the client is told.
func TestClient_Serves(t *testing.T) {
	t.Parallel()
	y := newYard(t, tunnel.Options{})
	states := make(chan tunnel.State, 10)
	c := tunnel.NewClient(tunnel.ClientOptions{URL: y.url, Transport: http.DefaultTransport, Changed: func(st tunnel.State) { states <- st },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !tunnel.Through(r) || r.TLS != nil || strings.HasPrefix(r.RemoteAddr, "127.") {
				w.WriteHeader(http.StatusInternalServerError)
			}
			io.WriteString(w, "ok")
		})})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	st := <-states
	if !st.Open || fmt.Sprint(st.URLs) != "[http://x/fn/"+st.Name+"]" || st.Idle != 15*time.Minute || st.Left < 59*time.Minute {
		t.Fatalf("%+v", st)
	}
	if status, err := y.proxy(st.Name).Get(t.Context(), "/"); err != nil || status != http.StatusOK {
		t.Errorf("%d %v", status, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if e := y.ending(); !e.Over || e.Reason != "the client closed it" || e.Calls != 1 {
		t.Errorf("%+v", e)
	}
}
