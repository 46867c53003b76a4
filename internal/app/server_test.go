package app_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
)

// load makes a configuration for a server on free ports.
func load(t *testing.T, data string, flags ...string) *config.Config {
	t.Helper()
	in := config.Input{Flags: map[string]string{"data": data, "listen": "127.0.0.1:0", "control-listen": "127.0.0.1:0", "drain-timeout": "2s"}, Apart: true}
	for i := 0; i < len(flags); i += 2 {
		in.Flags[flags[i]] = flags[i+1]
	}
	cfg, err := config.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func status(t *testing.T, url, id, secret string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// The tests of this file do not run in parallel: they count goroutines.

func TestServer_LifeCycle(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	before := runtime.NumGoroutine()
	var logs bytes.Buffer
	var first app.Key
	for start := range 3 {
		s, err := app.New(t.Context(), load(t, data), "test", &logs)
		if err != nil {
			t.Fatalf("start %d: %v", start, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		switch key := s.FirstKey(); {
		case start == 0 && key == nil:
			t.Fatal("the first start made no key")
		case start == 0:
			first = *key
		case key != nil:
			t.Errorf("start %d made another first key", start)
		}
		if got := status(t, s.ControlURL()+"/readyz", "", ""); got != 200 {
			t.Errorf("start %d: /readyz is %d", start, got)
		}
		if got := status(t, s.ControlURL()+"/v1/whoami", first.ID, first.Secret.Reveal()); got != 200 {
			t.Errorf("start %d: the first key gets %d", start, got)
		}
		if got := status(t, s.ControlURL()+"/v1/whoami", first.ID, "psk_wrong"); got != 401 {
			t.Errorf("start %d: a wrong secret gets %d", start, got)
		}
		if start == 2 {
			another, err := s.NewKey(t.Context(), "another")
			if err != nil {
				t.Fatal(err)
			}
			if got := status(t, s.ControlURL()+"/v1/whoami", another.ID, another.Secret.Reveal()); got != 200 {
				t.Errorf("a key that was just made gets %d", got)
			}
			if _, err := s.NewKey(t.Context(), "another"); fault.KindOf(err) != fault.Conflict {
				t.Errorf("a second key of the same name: %v", err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("start %d ended with %v", start, err)
		}
		if strings.Contains(logs.String(), first.Secret.Reveal()) {
			t.Fatal("the secret is in the log")
		}
	}
	leaked(t, before)
}

// leaked fails if goroutines stay that were not there before.
func leaked(t *testing.T, before int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		<-tick.C
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func TestNew_UndoesWhatItDid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	before := runtime.NumGoroutine()
	data := filepath.Join(t.TempDir(), "data")
	tests := []struct {
		name       string
		flags      []string
		kind       fault.Kind
		code, hint string
	}{
		{"gateway's port taken", []string{"listen", taken.Addr().String()}, fault.Unavailable, "port_in_use", "--listen"},
		{"control plane's port taken", []string{"control-listen", taken.Addr().String()}, fault.Unavailable, "port_in_use", "--control-listen"},
		{"no Node", []string{"node", "/nowhere/node"}, fault.Unavailable, "node_missing", "--node"},
		{"no database", []string{"database", "postgres://nobody@127.0.0.1:1/none"}, fault.Unavailable, "", "--database"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := app.New(t.Context(), load(t, data, tt.flags...), "test", io.Discard)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != tt.kind || f.Code != tt.code || !strings.Contains(f.Hint, tt.hint) {
				t.Errorf("got %v, want %v %q with a hint that names %s", err, tt.kind, tt.code, tt.hint)
			}
		})
	}
	t.Run("certificate missing", func(t *testing.T) {
		_, err := app.New(t.Context(), load(t, data, "tls-cert", "/nowhere/c.pem", "tls-key", "/nowhere/k.pem"), "test", io.Discard)
		if e, ok := errors.AsType[*config.Error](err); !ok || !strings.Contains(e.Problems[0].Text, "/nowhere/c.pem") {
			t.Errorf("got %v", err)
		}
	})
	leaked(t, before)

	// None of it is in the way now, and no key was made that nobody saw.
	s, err := app.New(t.Context(), load(t, data), "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s.FirstKey() == nil {
		t.Error("a start that failed made the first key")
	}
	if _, err := app.New(t.Context(), load(t, data), "test", io.Discard); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a second server on the same directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run with an ended context: %v", err)
	}
	leaked(t, before)
}

func TestNew_Interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := filepath.Join(t.TempDir(), "data")
	if _, err := app.New(ctx, load(t, data), "test", io.Discard); err == nil {
		t.Error("New took no notice of its context")
	}
}
