package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/telemetry"
)

// series counts what a scrape would get.
func series(t *testing.T, m *telemetry.Metrics) int {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		n += len(f.Metric)
	}
	return n
}

// scrape is what Prometheus would be told.
func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

// Nothing that a caller can make up adds a series; a function that is deleted
// takes its series along.
func TestMetrics_Bounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := telemetry.NewMetrics()
	w.g = gateway.New(gateway.Options{Metrics: m}, w.invoker)
	m.Watch(func() telemetry.Levels { return w.g.Levels(func(string) (int, int, int) { return 1, 2, 3 }) })
	_, secret := w.key(nil)
	w.load(t)
	flood := func(i int) {
		x := fmt.Sprint("x", i)
		for _, tt := range []struct {
			method, host, target string
			header               http.Header
		}{
			{"GET", "h", "/fn/orders/" + x, nil},
			{"GET", "h", "/fn/" + x + "/status", nil},
			{"GET", x + ".localhost", "/status", nil},
			{x, "h", "/fn/orders/status", nil},
			{"GET", x, "/fn/orders/status?" + x, http.Header{"X-" + x: {x}, "Traceparent": {x}}},
			{"GET", "h", "/fn/orders/webhook", http.Header{"X-Api-Key": {x}}},
			{"GET", "h", "/fn/orders/webhook", http.Header{"Authorization": {basic(accesskey.NewID(time.Now()), x)}}},
			{"GET", "h", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}},
			{"POST", "h", "/fn/orders/ice", http.Header{"Authorization": {"Application " + x + ":" + x}}},
			{"GET", "h", "/" + x + "%2f", nil},
		} {
			r := httptest.NewRequest("GET", "http://x/", nil)
			r.Method, r.Host, r.RequestURI = tt.method, tt.host, tt.target
			if tt.header != nil {
				r.Header = tt.header
			}
			w.g.ServeHTTP(&discard{header: http.Header{}}, r)
		}
	}
	flood(0)
	before := series(t, m)
	for i := range 1000 { // of ten requests each
		flood(i + 1)
	}
	if after := series(t, m); after != before || before < 50 {
		t.Errorf("%d series after the flood, %d before", after, before)
	}
	text := scrape(t, m)
	if !strings.Contains(text, `function="orders"`) || strings.Contains(text, "x1") {
		t.Errorf("the metrics are %s", text)
	}
	delete(w.src.functions, fnID)
	w.load(t)
	if text := scrape(t, m); strings.Contains(text, `"orders"`) {
		t.Errorf("a deleted function is still in %s", text)
	}
}

// Decisions are counted at the step that was begun last, callbacks by scheme,
// and bytes by function.
func TestMetrics_Counted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := telemetry.NewMetrics()
	d := w.src.active[fnID]
	d.Variables = vault{"NEW": "new"}
	d.Handlers = append([]platform.Handler{{Name: "hook", Guard: platform.GuardSignature, Rule: platform.Rule{Signature: &platform.Signature{Scheme: "github", Secrets: []string{"NEW"}}}}}, d.Handlers...)
	w.src.active[fnID] = d
	w.g = gateway.New(gateway.Options{Metrics: m}, w.invoker)
	w.load(t)
	w.send(hub("/fn/orders/hook", "new", "1234567"))
	w.send(hub("/fn/orders/hook", "other", "2"))
	w.do("GET", "/fn/orders/webhook", nil)
	w.do("GET", "/fn/orders/health", nil)
	w.do("GET", "/fn/nobody/health", nil)
	w.do("GET", "/fn/orders/../x", nil)
	text := scrape(t, m)
	for _, want := range []string{
		`postern_callbacks_total{outcome="verified",scheme="github"} 1`, `postern_callbacks_total{outcome="refused",scheme="github"} 1`,
		`postern_decisions_total{outcome="refused",step="acquire"} 1`, `postern_decisions_total{outcome="refused",step="authenticate"} 2`,
		`postern_decisions_total{outcome="allowed",step="limit"} 1`, `postern_decisions_total{outcome="refused",step="route"} 1`,
		`postern_decisions_total{outcome="refused",step="identify"} 1`, `postern_decisions_total{outcome="failed",step="invoke"} 0`,
		`postern_request_bytes_total{function="orders"} 8`, `postern_requests_in_flight 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
}
