package gateway_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/telemetry/telemetrytest"
)

// traced gives the world's gateway a tracer.
func traced(t testing.TB, w *world, ratio float64) (*telemetrytest.Collector, *telemetry.Tracer) {
	t.Helper()
	c := telemetrytest.NewCollector(t)
	tr, err := telemetry.NewTracer(telemetry.TraceOptions{Endpoint: c.URL, Ratio: ratio, Parent: telemetry.ParentIgnore})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	w.g = gateway.New(gateway.Options{Access: slog.New(slog.NewJSONHandler(w.access, nil)), Tracer: tr}, w.invoker)
	return c, tr
}

// faultOf is an error that is answered with a row of the table of codes.
func faultOf(c httpx.Code) error {
	for kind := fault.Internal; kind <= fault.Timeout; kind++ {
		if row := httpx.CodeOf(fault.New(kind, "as the test wants it").WithCode(c.Code)); row.Code == c.Code {
			return fault.New(kind, "as the test wants it").WithCode(c.Code)
		}
	}
	return nil
}

// Whatever a request is refused with, its access line and its span say that it
// was, at which step and with which code, and nothing that the caller wrote.
func TestRefused_LineAndSpan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(nil)
	_, other := w.key(nil)
	_, foreign := w.key(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	_, slow := w.key(func(k *platform.AccessKey) { k.RatePerSecond = 1 })
	_, spent := w.key(func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 1, Per: platform.PerDay} })
	c, tr := traced(t, w, 1)
	w.load(t)
	key := func(s string) http.Header { return http.Header{"X-Api-Key": {s}} }
	w.do("GET", "/fn/orders/webhook", key(spent))
	type refusal struct {
		code, step string
		send       func() (*http.Response, httpx.Problem)

		line struct{ RequestID, Decision, Code, TraceID string }
		want string
		fail bool
	}
	do := func(method, target string, h http.Header) func() (*http.Response, httpx.Problem) {
		return func() (*http.Response, httpx.Problem) { return w.do(method, target, h) }
	}
	refusals := []refusal{
		{code: "method_not_allowed", step: "identify", send: do("TRACE", "/fn/orders/webhook", nil)},
		{code: "method_unknown", step: "identify", send: do("SECRETIVE", "/fn/orders/webhook", nil)},
		{code: "ambiguous_path", step: "identify", send: do("GET", "/fn/orders/../SECRETIVE", nil)},
		{code: "duplicate_credentials", step: "identify", send: do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret, secret}})},
		{code: "function_not_found", step: "route", send: do("GET", "/fn/SECRETIVE/webhook?SECRETIVE", nil)},
		{code: "handler_not_found", step: "route", send: do("GET", "/fn/orders/SECRETIVE", nil)},
		{code: "unauthenticated", step: "authenticate", send: do("GET", "/fn/orders/SECRETIVE/webhook", http.Header{"X-Api-Key": {"SECRETIVE"}})},
		{code: "token_invalid", step: "authenticate", send: do("GET", "/fn/orders/webhook", http.Header{"Authorization": {"Bearer SECRETIVE"}})},
		{code: "conflicting_credentials", step: "authenticate", send: do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {other}, "Authorization": {basic(id, secret)}})},
		{code: "signature_required", step: "authenticate", send: do("POST", "/fn/orders/ice", nil)},
		{code: "not_allowed", step: "authorise", send: do("GET", "/fn/orders/webhook", key(foreign))},
		{code: "rate_limited", step: "limit", send: func() (*http.Response, httpx.Problem) {
			w.do("GET", "/fn/orders/webhook", key(slow))
			w.access.Reset()
			return w.do("GET", "/fn/orders/webhook", key(slow))
		}},
		{code: "quota_exceeded", step: "limit", send: do("GET", "/fn/orders/webhook", key(spent))},
		{code: "body_too_large", step: "limit", send: func() (*http.Response, httpx.Problem) {
			return w.send(httptest.NewRequest("POST", "/fn/orders/small", strings.NewReader("SECRETIVE, and longer")))
		}},
	}
	for _, row := range httpx.Codes() { // and all there are, as if there was no worker
		if err := faultOf(row); err != nil {
			refusals = append(refusals, refusal{code: row.Code, step: "acquire", send: func() (*http.Response, httpx.Problem) {
				w.invoker.answer = err
				return w.do("GET", "/fn/orders/webhook?SECRETIVE", key(secret))
			}})
		}
	}
	for i := range refusals {
		r := &refusals[i]
		w.access.Reset()
		res, p := r.send()
		if err := json.Unmarshal(w.access.Bytes(), &r.line); err != nil || bytes.Count(w.access.Bytes(), []byte("\n")) != 1 {
			t.Fatalf("%s: %v, line %s", r.code, err, w.access)
		}
		if r.want = "refused"; res.StatusCode == 500 || res.StatusCode == 499 {
			r.want = "failed"
		}
		r.fail = res.StatusCode >= 500
		if p.Code != r.code || r.line.Code != r.code || r.line.Decision != r.want || r.line.RequestID != p.RequestID {
			t.Errorf("%s at %s: answered %s, line %+v", r.code, r.step, p.Code, r.line)
		}
	}
	tr.Close()
	for _, r := range refusals {
		span, all := c.Wait(t, r.code, func(s telemetrytest.Span) bool { return s.Attrs["postern.request_id"] == r.line.RequestID })
		if span.Attrs["postern.code"] != r.code || span.Attrs["postern.decision"] != r.want || span.Attrs["postern.step"] != r.step || span.TraceID != r.line.TraceID || (span.Failure != "") != r.fail {
			t.Errorf("%s at %s: span %+v", r.code, r.step, span)
		}
		for name := range span.Attrs {
			documented(t, name)
		}
		for _, s := range all {
			if s.SpanID != span.SpanID && (s.ParentID != span.SpanID || s.Began.Before(span.Began.Add(-time.Millisecond)) || s.Ended.After(span.Ended) || s.Ended.Before(s.Began)) {
				t.Errorf("%s: step %+v of %+v", r.code, s, span)
			}
		}
	}
	for _, s := range []string{secret, other, foreign, slow, spent, basic(id, secret), "SECRETIVE"} {
		if bytes.Contains(c.Raw(), []byte(s)) {
			t.Errorf("the spans have %q", s)
		}
	}
	if !bytes.Contains(c.Raw(), []byte(id)) {
		t.Error("no span has the key's ID")
	}
}

// A span is named by what was found, never by what was asked for.
func TestSpanNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Handlers = append([]platform.Handler{{Name: "customer", Routes: []platform.Route{{Pattern: "GET /customers/{customerId}", Guard: platform.GuardOpen}}}}, d.Handlers...)
	w.src.active[fnID] = d
	c, _ := traced(t, w, 1)
	w.load(t)
	for _, tt := range []struct{ method, target, name string }{
		{"GET", "/fn/orders/customers/4711", "GET /customers/{customerId}"},
		{"POST", "/fn/orders/4711/status", "POST /status"},
		{"GET", "/fn/orders/health", "GET /health"},
		{"GET", "/fn/orders/4711", "GET"},
		{"GET", "/4711", "GET"},
		{"GET", "/fn/orders/%2e%2e", "GET"},
		{"BREW", "/fn/orders/status", "HTTP"},
	} {
		res, _ := w.do(tt.method, tt.target, nil)
		id := res.Header.Get("X-Request-Id")
		if s, _ := c.Wait(t, tt.name, func(s telemetrytest.Span) bool { return s.Attrs["postern.request_id"] == id }); s.Name != tt.name {
			t.Errorf("%s %s: named %q, want %q", tt.method, tt.target, s.Name, tt.name)
		}
	}
}

// A call that ran: its steps, one after the other.
func TestSpans_OfACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, secret := w.key(nil)
	c, tr := traced(t, w, 1)
	w.g = gateway.New(gateway.Options{Tracer: tr}, working(t))
	w.load(t)
	for _, cold := range []string{"true", "false"} {
		r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
		r.Header = http.Header{"X-Api-Key": {secret}}
		res, _ := w.send(r)
		id := res.Header.Get("X-Request-Id")
		span, all := c.Wait(t, "the call", func(s telemetrytest.Span) bool { return s.Attrs["postern.request_id"] == id })
		steps := map[string]telemetrytest.Span{}
		for _, s := range all {
			steps[s.Name] = s
		}
		if len(all) != 5 || steps["acquire"].Attrs["postern.cold_start"] != cold || steps["invoke"].Began.Before(steps["acquire"].Ended) || steps["limit"].Name == "" || steps["authenticate"].Name == "" {
			t.Errorf("steps: %+v", all)
		}
		if a := span.Attrs; a["postern.decision"] != "allowed" || a["http.response.status_code"] != "200" || a["http.response.body.size"] != "2" || a["postern.handler"] != "webhook" || a["postern.guard"] != "access key" || span.ParentID != "" {
			t.Errorf("%+v", span)
		}
	}
}

// Steps 1 to 5 allocate nothing more for a request that is not sampled, and
// where tracing is off nothing is done at all.
func TestTraced_Allocations(t *testing.T) {
	w := newWorld(t)
	_, secret := w.key(nil)
	w.load(t)
	r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
	r.Header = http.Header{"X-Api-Key": {secret}}
	off := testing.AllocsPerRun(500, func() { w.g.Admit(r) })
	traced(t, w, 0)
	w.load(t)
	if n := testing.AllocsPerRun(500, func() { w.g.Admit(r) }); n != off {
		t.Errorf("%v allocations, %v with tracing off", n, off)
	}
}

func BenchmarkAdmit_Traced(b *testing.B) {
	for name, ratio := range map[string]float64{"off": -1, "unsampled": 0, "sampled": 1} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			id, secret := w.key(nil)
			if ratio >= 0 {
				traced(b, w, ratio)
			}
			w.load(b)
			r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
			r.Header = http.Header{"Authorization": {basic(id, secret)}, "User-Agent": {"bench"}, "Accept": {"*/*"}}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.g.Admit(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse_Traced is a refusal from the first step to the last.
func BenchmarkRefuse_Traced(b *testing.B) {
	for name, ratio := range map[string]float64{"off": -1, "unsampled": 0, "sampled": 1} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w.g = gateway.New(gateway.Options{}, w.invoker)
			if ratio >= 0 {
				c := telemetrytest.NewCollector(b)
				tr, err := telemetry.NewTracer(telemetry.TraceOptions{Endpoint: c.URL, Ratio: ratio})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { tr.Close() })
				w.g = gateway.New(gateway.Options{Tracer: tr}, w.invoker)
			}
			w.load(b)
			r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
			r.Header = http.Header{"X-Api-Key": {accesskey.NewSecret().Reveal()}}
			b.ReportAllocs()
			for b.Loop() {
				w.g.ServeHTTP(&discard{header: http.Header{}}, r)
			}
		})
	}
}
