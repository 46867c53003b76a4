// Package telemetrytest has a collector of traces for tests.
package telemetrytest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes OTLP over HTTP and keeps what it was sent.
type Collector struct {
	URL string

	mu     sync.Mutex
	spans  []Span        // guarded by mu
	raw    []byte        // guarded by mu
	header http.Header   // of the last request; guarded by mu
	status int           // it answers with; guarded by mu
	more   chan struct{} // closed at each request; guarded by mu
}

// Span is one span, with its attributes as text.
type Span struct {
	Name, TraceID, SpanID, ParentID string
	Kind                            trace.Span_SpanKind
	Began, Ended                    time.Time
	Attrs                           map[string]string
	Failure                         string
	Links                           []string // trace IDs
	State                           string
}

// NewCollector starts a collector that ends with the test.
func NewCollector(t testing.TB) *Collector {
	c := &Collector{status: http.StatusOK, more: make(chan struct{})}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.URL = srv.URL
	return c
}

// Answer sets the status that the collector answers with from now on.
func (c *Collector) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// ServeHTTP takes spans.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	var sent collect.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &sent) != nil {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == http.StatusOK {
		c.raw, c.header = append(c.raw, raw...), r.Header
		for _, of := range sent.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans = append(c.spans, read(s))
				}
			}
		}
	}
	close(c.more)
	c.more = make(chan struct{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(c.status)
}

func read(s *trace.Span) Span {
	out := Span{Name: s.Name, TraceID: hex.EncodeToString(s.TraceId), SpanID: hex.EncodeToString(s.SpanId), ParentID: hex.EncodeToString(s.ParentSpanId), Kind: s.Kind,
		Began: time.Unix(0, int64(s.StartTimeUnixNano)), Ended: time.Unix(0, int64(s.EndTimeUnixNano)), Attrs: map[string]string{}, State: s.TraceState}
	for _, a := range s.Attributes {
		out.Attrs[a.Key] = text(a.Value)
	}
	if s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR {
		out.Failure = s.Status.Message
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, hex.EncodeToString(l.TraceId))
	}
	return out
}

func text(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	}
	return v.String()
}

// Spans are those that have come.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Raw is all that has come, as it was encoded.
func (c *Collector) Raw() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.raw...)
}

// Wait waits until a span has come of which ok is true, and returns it with the
// whole of its trace as far as that has come.
func (c *Collector) Wait(t testing.TB, what string, ok func(Span) bool) (Span, []Span) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		more := c.more
		c.mu.Unlock()
		all := c.Spans()
		for _, s := range all {
			if !ok(s) {
				continue
			}
			var trace []Span
			for _, other := range all {
				if other.TraceID == s.TraceID {
					trace = append(trace, other)
				}
			}
			return s, trace
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("no span of %s came; there are %+v", what, all)
		}
	}
}
