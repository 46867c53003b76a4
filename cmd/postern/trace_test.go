package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"postern.dev/postern/internal/telemetry/telemetrytest"
)

const tracedFunction = `
export const auth = ['guarded'];
const told = (request: any) => ({ statusCode: 200, body: { parent: request.headers.traceparent ?? '', state: request.headers.tracestate ?? '' } });
export function guarded(context: any, request: any) { return told(request); }
export function open(context: any, request: any) { return told(request); }
export function crashes() { process.exit(3); }
export function throws() { throw new Error('very private'); }
`

const theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

// told is what a handler was told of the trace.
type told struct{ Parent, State string }

func (s *site) traced(path string, header http.Header) (id string, status int, t told) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), "GET", s.gateway+"/fn/live/"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	json.Unmarshal(body, &t)
	return res.Header.Get("X-Request-Id"), res.StatusCode, t
}

// Everything that happens in the real program is a trace at the collector, by
// the time the server has ended; and no secret is in one.
func TestTraces(t *testing.T) {
	t.Parallel()
	c := telemetrytest.NewCollector(t)
	s := &site{T: t, data: t.TempDir()}
	s.start("--trace-endpoint", c.URL, "--trace-sample", "1")
	s.key = exports(s.stdout)
	s.sign()
	s.deployed(`{"name": "live", "runtime": "node"}`, tracedFunction)
	secret := s.key["POSTERN_KEY_SECRET"]
	caller := http.Header{"X-Api-Key": {secret}, "Traceparent": {theirs}, "Tracestate": {"a=b"}, "Cookie": {"very private"}}

	ran, status, got := s.traced("guarded?code=very+private", caller)
	if status != 200 || !regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`).MatchString(got.Parent) || strings.HasPrefix(got.Parent, theirs[:35]) || got.State != "" {
		t.Fatalf("status %d, the handler was told %+v", status, got)
	}
	refused, _, _ := s.traced("guarded", http.Header{"X-Api-Key": {"psk_very+private"}})
	failed, _, _ := s.traced("throws", nil)
	crashed, _, _ := s.traced("crashes", nil)
	eventually(t, "another worker", func() bool { _, status, _ := s.traced("open", nil); return status == 200 })
	last, _, _ := s.traced("open", nil)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	// The end has sent what was left: nothing is waited for from here on.
	find := func(what string, ok func(telemetrytest.Span) bool) (span telemetrytest.Span, steps map[string]telemetrytest.Span) {
		t.Helper()
		steps = map[string]telemetrytest.Span{}
		for _, s := range c.Spans() {
			if ok(s) {
				span = s
			}
		}
		for _, s := range c.Spans() {
			if s.TraceID == span.TraceID && s.ParentID == span.SpanID {
				steps[s.Name] = s
			}
		}
		if span.Name == "" {
			t.Errorf("no span of %s", what)
		}
		return span, steps
	}
	of := func(id string) func(telemetrytest.Span) bool {
		return func(s telemetrytest.Span) bool { return s.Attrs["postern.request_id"] == id }
	}
	span, steps := find("the call", of(ran))
	if got.Parent != "00-"+span.TraceID+"-"+span.SpanID+"-01" || span.Kind != otlp.Span_SPAN_KIND_SERVER || span.Name != "GET /guarded" || span.Attrs["postern.key_id"] != s.key["POSTERN_KEY_ID"] ||
		span.Attrs["postern.function"] != "live" || span.Attrs["postern.decision"] != "allowed" || len(steps) != 4 || steps["invoke"].Ended.Sub(steps["invoke"].Began) <= 0 {
		t.Errorf("a call: %+v with %v", span, steps)
	}
	span, steps = find("the refusal", of(refused))
	if span.Attrs["postern.code"] != "unauthenticated" || span.Attrs["postern.decision"] != "refused" || span.Attrs["http.response.status_code"] != "401" || len(steps) != 1 || span.Failure != "" || span.Attrs["postern.key_id"] != "" {
		t.Errorf("a refusal: %+v with %v", span, steps)
	}
	span, steps = find("the failure", of(failed))
	if span.Attrs["postern.code"] != "handler_failed" || span.Attrs["postern.decision"] != "failed" || span.Failure != "handler_failed" || steps["invoke"].Failure != "handler_failed" || steps["acquire"].Failure != "" {
		t.Errorf("a failure: %+v with %v", span, steps)
	}
	if span, _ = find("the crash", of(crashed)); span.Attrs["postern.code"] != "worker_lost" {
		t.Errorf("a crash: %+v", span)
	}
	if span, _ = find("the start", func(s telemetrytest.Span) bool { return s.Name == "start worker" }); span.ParentID != "" || span.Failure != "" {
		t.Errorf("a start: %+v", span)
	}
	find("the last call", of(last))
	deploy, _ := find("the deploy", func(s telemetrytest.Span) bool { return s.Name == "deploy" })
	span, _ = find("the operation", func(s telemetrytest.Span) bool { return s.SpanID == deploy.ParentID })
	if span.Kind != otlp.Span_SPAN_KIND_SERVER || span.Name != "POST /v1/projects/{projectId}/functions/{name}/deployments" || deploy.Attrs["postern.function"] != "live" {
		t.Errorf("a deploy: %+v, of %+v", deploy, span)
	}
	for _, private := range []string{secret, "very private", "very+private", "4bf92f3577b34da6"} {
		if bytes.Contains(c.Raw(), []byte(private)) {
			t.Errorf("a span has %q", private)
		}
	}
	if !strings.Contains(s.log(), `"traceId":"`+strings.Split(got.Parent, "-")[1]) {
		t.Error("the access log does not name the trace")
	}
}

// Without a collector nothing is traced, and what a caller sends goes on.
// Below a ratio that samples nothing, a handler is told so.
func TestTraces_NotSampled(t *testing.T) {
	t.Parallel()
	c := telemetrytest.NewCollector(t)
	s := newSite(t)
	s.deployed(`{"name": "live", "runtime": "node"}`, tracedFunction)
	if _, status, got := s.traced("open", http.Header{"Traceparent": {theirs}, "Tracestate": {"a=b"}}); status != 200 || got.Parent != theirs || got.State != "a=b" {
		t.Errorf("off: %d %+v", status, got)
	}
	for ratio, parent := range map[string]string{"0": "ignore", "0.0": "follow"} {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		s.start("--trace-endpoint", c.URL, "--trace-sample", ratio, "--trace-parent", parent)
		_, status, got := s.traced("open", http.Header{"Traceparent": {theirs}, "Tracestate": {"a=b"}})
		if followed := strings.HasPrefix(got.Parent, theirs[:35]); status != 200 || !strings.HasSuffix(got.Parent, "-00") || followed != (parent == "follow") || (got.State == "a=b") != followed || got.Parent == theirs {
			t.Errorf("%s: %d %+v", parent, status, got)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for _, span := range c.Spans() {
		if span.Name != "start worker" {
			t.Errorf("%+v", span)
		}
	}
}

// A collector that is away is nobody's trouble: calls are served, spans are
// counted as lost, and the end comes as soon as ever.
func TestTraces_CollectorAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed(`{"name": "live", "runtime": "node"}`, tracedFunction)
	c := telemetrytest.NewCollector(t)
	c.Answer(http.StatusForbidden)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.start("--trace-endpoint", c.URL, "--trace-sample", "1")
	s.traced("open", nil)
	eventually(t, "the metrics count what was lost", func() bool {
		_, text := call(t, http.DefaultClient, "GET", s.control+"/metrics", "", "", "")
		return regexp.MustCompile(`(?m)^postern_trace_spans_lost_total [1-9]`).MatchString(text)
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.start("--trace-endpoint", "http://127.0.0.1:1", "--trace-sample", "1")
	for range 50 {
		if _, status, _ := s.traced("open", nil); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	if err := s.stop(); err != nil { // it does not wait for the collector
		t.Error(err)
	}
	if n := strings.Count(s.log(), "does not take traces"); n != 1 {
		t.Errorf("it is told of %d times:\n%s", n, s.log())
	}
}
