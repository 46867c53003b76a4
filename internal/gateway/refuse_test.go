package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
)

// A caller that closes its half of the connection early is refused in the same
// words as any other, and never left with the 200 that net/http sends for silence.
func TestRefusal_CallerGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.load(t)
	w.invoker.answer = context.Canceled
	for path, want := range map[string]string{"/fn/orders/webhook": "401 unauthenticated", "/fn/orders/nope": "404 handler_not_found", "/fn/orders/a%2fb": "400 ambiguous_path", "/fn/orders/status": "499 client_closed"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := httptest.NewRequest("GET", path, nil).WithContext(ctx)
		rec := httptest.NewRecorder()
		w.g.ServeHTTP(rec, r)
		var p httpx.Problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %d and no problem: %v", path, rec.Code, err)
		}
		if got := fmt.Sprint(rec.Code, " ", p.Code); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// A refusal costs no line in the server's own log, whatever its status.
func TestRefusal_DoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := newWorld(t)
	w.g = gateway.New(gateway.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, w.invoker)
	w.load(t)
	for target, want := range map[[2]string]int{{"GETX", "/fn/orders/status"}: 501, {"GET", "/fn/orders/status"}: 503, {"GET", "/fn/orders/webhook"}: 401} {
		if res, _ := w.do(target[0], target[1], nil); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, res.StatusCode, want)
		}
	}
	if log.Len() != 0 {
		t.Errorf("refusals were logged: %s", log.String())
	}
	w.invoker.mu.Lock()
	w.invoker.answer = errors.New("a bug")
	w.invoker.mu.Unlock()
	if res, _ := w.do("GET", "/fn/orders/status", nil); res.StatusCode != 500 || !strings.Contains(log.String(), "a bug") {
		t.Errorf("a failure of ours: %d, log %q", res.StatusCode, log.String())
	}
}
