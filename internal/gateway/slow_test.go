package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/gateway"
)

// An address that is refused too often waits for its refusals, and for nothing
// else: who is let in is so at once, from there too, and other addresses do not
// notice. (These workers have no room: what would run is 503.)
func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.g = gateway.New(gateway.Options{RefusalsPerAddress: 3}, w.invoker)
		id, secret := w.key(nil)
		w.load(t)
		good := http.Header{"Authorization": {basic(id, secret)}}
		for i, tc := range []struct {
			from, path string
			header     http.Header
			status     int
			wait       time.Duration
		}{
			{"192.0.2.1:1", "/webhook", nil, 401, 0},
			{"192.0.2.1:2", "/nope", nil, 404, 0},
			{"192.0.2.1:3", "/webhook%2f", nil, 400, 0},
			{"192.0.2.1:4", "/webhook", nil, 401, time.Second},
			{"192.0.2.1:4", "/webhook", good, 503, 0},
			{"192.0.2.1:4", "/status", nil, 503, 0},
			{"192.0.2.2:4", "/webhook", nil, 401, 0},
			{"[2001:db8::1]:4", "/webhook", nil, 401, 0}, // the wait of a second has given one back to the first
			{"192.0.2.1:5", "/webhook", nil, 401, 0},
		} {
			begun := time.Now()
			res, p := w.from(tc.from, tc.path, tc.header.Clone())
			if took := time.Since(begun); res.StatusCode != tc.status || took != tc.wait {
				t.Errorf("%d, %s from %s: %d %s after %v; want %d after %v", i, tc.path, tc.from, res.StatusCode, p.Code, took, tc.status, tc.wait)
			}
		}
	})
}

// Those who wait are bounded, and who goes away waits no longer.
func TestSlow_IsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.g = gateway.New(gateway.Options{RefusalsPerAddress: 1}, w.invoker)
		w.load(t)
		ctx, leave := context.WithCancel(t.Context())
		ask := func(ctx context.Context) (status int, cut bool) {
			defer func() { cut = recover() == http.ErrAbortHandler }()
			rec := httptest.NewRecorder()
			w.g.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/fn/orders/webhook", nil))
			return rec.Code, false
		}
		ask(ctx)
		var all sync.WaitGroup
		for range gateway.RefusalsWaiting {
			all.Go(func() { ask(ctx) })
		}
		synctest.Wait()
		if status, cut := ask(ctx); !cut {
			t.Errorf("one more than may wait is answered with %d", status)
		}
		begun := time.Now()
		leave()
		all.Wait()
		if took := time.Since(begun); took != 0 {
			t.Errorf("who went away waited %v", took)
		}
		if status, _ := ask(t.Context()); status != 401 || time.Since(begun) != time.Second {
			t.Errorf("after they left: %d after %v", status, time.Since(begun))
		}
	})
}
