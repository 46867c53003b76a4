package app

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReadyz_TellsTheTruth(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	loaded := snapshotState{loaded: true, seq: 7}
	journal := []trouble{{"usage journal", "a crash would lose some", &since}}
	tests := []struct {
		name     string
		phase    phase
		snapshot snapshotState
		ping     error
		parts    []trouble
		status   int
		want     string
	}{
		{"starting", starting, loaded, nil, nil, 503, `{"ready":false,"phase":"starting","snapshot":"loaded","sequence":7,"store":"reachable"}`},
		{"serving without a snapshot", serving, snapshotState{}, nil, nil, 503, `{"ready":false,"phase":"serving","snapshot":"loading","sequence":0,"store":"reachable"}`},
		{"serving", serving, loaded, nil, nil, 200, `{"ready":true,"phase":"serving","snapshot":"loaded","sequence":7,"store":"reachable"}`},
		{"serving from memory", serving, snapshotState{true, since, 7}, errors.New("away"), nil, 200,
			`{"ready":true,"phase":"serving","snapshot":"loaded","sequence":7,"store":"away","staleSince":"2026-01-02T03:04:05Z",` +
				`"degraded":[{"part":"store","effect":"calls are served from memory; nothing can be changed","since":"2026-01-02T03:04:05Z"}]}`},
		{"the database just went away", serving, loaded, errors.New("password=secret"), nil, 200,
			`{"ready":true,"phase":"serving","snapshot":"loaded","sequence":7,"store":"away","degraded":[{"part":"store","effect":"calls are served from memory; nothing can be changed"}]}`},
		{"a disk that is full", serving, loaded, nil, journal, 200,
			`{"ready":true,"phase":"serving","snapshot":"loaded","sequence":7,"store":"reachable","degraded":[{"part":"usage journal","effect":"a crash would lose some","since":"2026-01-02T03:04:05Z"}]}`},
		{"all at once", stopping, snapshotState{}, errors.New("away"), journal, 503,
			`{"ready":false,"phase":"stopping","snapshot":"loading","sequence":0,"store":"away","degraded":[{"part":"store","effect":"calls are served from memory; nothing can be changed"},` +
				`{"part":"usage journal","effect":"a crash would lose some","since":"2026-01-02T03:04:05Z"}]}`},
		{"stopping", stopping, loaded, nil, nil, 503, `{"ready":false,"phase":"stopping","snapshot":"loaded","sequence":7,"store":"reachable"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := &health{snapshot: func() snapshotState { return tt.snapshot }, ping: func(context.Context) error { return tt.ping }, parts: func() []trouble { return tt.parts }}
			h.enter(tt.phase)
			mux := http.NewServeMux()
			h.routes(mux)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
			if got := strings.TrimSpace(w.Body.String()); w.Code != tt.status || got != tt.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, got, tt.status, tt.want)
			}
		})
	}
}

func TestReadyz_DoesNotWaitForTheStore(t *testing.T) {
	t.Parallel()
	h := &health{snapshot: func() snapshotState { return snapshotState{loaded: true} }, ping: func(ctx context.Context) error {
		<-ctx.Done() // a database that neither answers nor refuses
		return ctx.Err()
	}, parts: func() []trouble { return nil }}
	h.enter(serving)
	w := httptest.NewRecorder()
	h.ready(w, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
	var body readiness
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 || body.Store != "away" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestLoopbackOnly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		remote, forwarded string
		status            int
	}{
		{"127.0.0.1:5", "", 200},
		{"127.9.9.9:5", "", 200},
		{"[::1]:5", "", 200},
		{"[::ffff:127.0.0.1]:5", "", 200},
		{"10.0.0.1:5", "", 404},
		{"10.0.0.1:5", "127.0.0.1", 404},
		{"[fe80::1]:5", "", 404},
		{"[::ffff:10.0.0.1]:5", "", 404},
		{"0.0.0.0:5", "", 404},
		{"", "", 404},
		{"localhost:5", "", 404},
		{"@", "", 404},
	}
	for _, tt := range tests {
		ran := false
		h := loopbackOnly(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
		r.RemoteAddr = tt.remote
		r.Header.Set("X-Forwarded-For", tt.forwarded)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.status || ran != (tt.status == 200) {
			t.Errorf("from %q (%q): status %d, ran %v, want %d", tt.remote, tt.forwarded, w.Code, ran, tt.status)
		}
	}
}

func TestURLOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		addr   string
		secure bool
		want   string
	}{
		{"127.0.0.1:80", false, "http://127.0.0.1:80"},
		{"127.0.0.1:443", true, "https://127.0.0.1:443"},
		{"0.0.0.0:8080", false, "http://127.0.0.1:8080"},
		{"[::]:8080", false, "http://127.0.0.1:8080"},
		{"[::1]:8080", false, "http://[::1]:8080"},
		{"192.0.2.1:8080", true, "https://192.0.2.1:8080"},
	}
	for _, tt := range tests {
		addr, err := net.ResolveTCPAddr("tcp", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := urlOf(fixedListener{addr: addr}, tt.secure); got != tt.want {
			t.Errorf("urlOf(%s) = %s, want %s", tt.addr, got, tt.want)
		}
	}
}

// fixedListener has an address and nothing else.
type fixedListener struct {
	net.Listener
	addr net.Addr
}

func (l fixedListener) Addr() net.Addr { return l.addr }
