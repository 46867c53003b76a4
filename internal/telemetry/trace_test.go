package telemetry_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/telemetry/telemetrytest"
)

const (
	theirTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	theirSpan   = "00f067aa0ba902b7"
	traceparent = "00-" + theirTrace + "-" + theirSpan + "-01"
)

func newTracer(t testing.TB, o telemetry.TraceOptions) *telemetry.Tracer {
	t.Helper()
	if o.Endpoint == "" {
		o.Endpoint = "http://127.0.0.1:1"
	}
	tr, err := telemetry.NewTracer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// sent is what a handler is told.
func sent(p *telemetry.Place, h http.Header) (trace, span, flags string) {
	p.Send(h)
	parts := strings.Split(h.Get("Traceparent"), "-")
	if len(parts) != 4 || parts[0] != "00" || len(parts[1]) != 32 || len(parts[2]) != 16 {
		return "", "", ""
	}
	return parts[1], parts[2], parts[3]
}

// What a caller says of a trace counts where it is followed, and only whole.
func TestBegin_Traceparent(t *testing.T) {
	t.Parallel()
	follow := newTracer(t, telemetry.TraceOptions{Parent: telemetry.ParentFollow})
	for name, tt := range map[string]struct {
		lines    []string
		followed bool
		flags    string
	}{
		"sampled":                       {[]string{traceparent}, true, "01"},
		"not sampled":                   {[]string{traceparent[:53] + "00"}, true, "00"},
		"other flags":                   {[]string{traceparent[:53] + "fe"}, true, "00"},
		"all flags":                     {[]string{traceparent[:53] + "ff"}, true, "01"},
		"a later version":               {[]string{"01" + traceparent[2:]}, true, "01"},
		"a later version with more":     {[]string{"cc" + traceparent[2:] + "-what-ever"}, true, "01"},
		"none":                          {nil, false, ""},
		"two":                           {[]string{traceparent, traceparent}, false, ""},
		"empty":                         {[]string{""}, false, ""},
		"short":                         {[]string{traceparent[:54]}, false, ""},
		"long":                          {[]string{traceparent + "-00"}, false, ""},
		"a later version, run on":       {[]string{"01" + traceparent[2:] + "x"}, false, ""},
		"a later version without end":   {[]string{"01" + traceparent[2:] + "-" + strings.Repeat("a", 1<<16)}, false, ""},
		"version ff":                    {[]string{"ff" + traceparent[2:]}, false, ""},
		"version in capitals":           {[]string{"0A" + traceparent[2:]}, false, ""},
		"capitals":                      {[]string{strings.ToUpper(traceparent)}, false, ""},
		"trace of zeros":                {[]string{"00-" + strings.Repeat("0", 32) + traceparent[35:]}, false, ""},
		"span of zeros":                 {[]string{traceparent[:36] + strings.Repeat("0", 16) + "-01"}, false, ""},
		"no hexadecimal digit":          {[]string{traceparent[:34] + "g" + traceparent[35:]}, false, ""},
		"flags of no digits":            {[]string{traceparent[:53] + "0x"}, false, ""},
		"other dashes":                  {[]string{strings.ReplaceAll(traceparent, "-", "_")}, false, ""},
		"a space before":                {[]string{" " + traceparent}, false, ""},
		"a comma":                       {[]string{traceparent + "," + traceparent}, false, ""},
		"a line break":                  {[]string{traceparent[:54] + "\n"}, false, ""},
		"not ASCII":                     {[]string{traceparent[:33] + "é" + traceparent[35:]}, false, ""},
		"nothing but dashes, of a size": {[]string{strings.Repeat("-", 55)}, false, ""},
	} {
		h := http.Header{"Traceparent": tt.lines}
		if tt.lines == nil {
			h = http.Header{}
		}
		p := follow.Begin(h)
		trace, span, flags := sent(&p, h)
		if (trace == theirTrace) != tt.followed || span == theirSpan || span == "" || tt.followed && flags != tt.flags || !tt.followed && flags != "00" {
			t.Errorf("%s: sent on %q", name, h.Get("Traceparent"))
		}
		for _, by := range []telemetry.ParentPolicy{telemetry.ParentIgnore, telemetry.ParentLink} {
			h := http.Header{"Traceparent": tt.lines, "Tracestate": {"a=b"}}
			p := newPlace(t, by, h)
			if trace, _, flags := sent(&p, h); trace == theirTrace || flags != "00" || h["Tracestate"] != nil {
				t.Errorf("%s: %s sent on %v", name, by, h)
			}
		}
	}
}

// What comes from the inside is followed whatever is said of callers.
func TestFollow(t *testing.T) {
	t.Parallel()
	tr := newTracer(t, telemetry.TraceOptions{Parent: telemetry.ParentIgnore})
	for line, followed := range map[string]bool{traceparent: true, "": false, traceparent[1:]: false} {
		h := http.Header{"Traceparent": {line}}
		p := tr.Follow(h)
		if trace, span, flags := sent(&p, h); (trace == theirTrace) != followed || (flags == "01") != followed || span == theirSpan || span == "" {
			t.Errorf("%q: sent on %q", line, h.Get("Traceparent"))
		}
	}
}

func newPlace(t *testing.T, by telemetry.ParentPolicy, h http.Header) telemetry.Place {
	return newTracer(t, telemetry.TraceOptions{Parent: by}).Begin(h)
}

func TestBegin_Tracestate(t *testing.T) {
	t.Parallel()
	follow := newTracer(t, telemetry.TraceOptions{Parent: telemetry.ParentFollow})
	for name, tt := range map[string]struct {
		lines []string
		goes  bool
	}{
		"one":       {[]string{"vendor=opaque"}, true},
		"several":   {[]string{"a=1,b@c=2"}, true},
		"malformed": {[]string{"no equals sign"}, false},
		"twice":     {[]string{"a=1,a=2"}, false},
		"two lines": {[]string{"a=1", "b=2"}, false},
		"too long":  {[]string{"a=" + strings.Repeat("1", 600)}, false},
	} {
		h := http.Header{"Traceparent": {traceparent}, "Tracestate": tt.lines}
		p := follow.Begin(h)
		p.Send(h)
		if _, there := h["Tracestate"]; there != tt.goes {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestBegin_Ratio(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ratio    float64
		min, max int
	}{{0, 0, 0}, {1, 20_000, 20_000}, {.1, 1600, 2400}} {
		tr := newTracer(t, telemetry.TraceOptions{Ratio: tt.ratio})
		n := 0
		for range 20_000 {
			if p := tr.Begin(nil); p.Sampled() {
				n++
			}
		}
		if n < tt.min || n > tt.max {
			t.Errorf("of a ratio of %v: %d in 20,000", tt.ratio, n)
		}
	}
}

// Off, tracing costs nothing, and leaves a caller's header to the handler.
func TestNil(t *testing.T) {
	t.Parallel()
	var off *telemetry.Tracer
	h := http.Header{"Traceparent": {"whatever"}, "Tracestate": {"x"}}
	p, inside := off.Begin(h), off.Follow(h)
	p.Send(h)
	inside.Send(h)
	off.Tell(&p, telemetry.Record{})
	if off.Close() != nil || p.Sampled() || p.TraceID() != "" || h.Get("Traceparent") != "whatever" || h.Get("Tracestate") != "x" {
		t.Errorf("%v %v", p, h)
	}
}

func TestTell_Parents(t *testing.T) {
	t.Parallel()
	record := telemetry.Record{Name: "GET /x", Began: time.Unix(1000, 0), Ended: time.Unix(1000, 5e8), Server: true, Attrs: []slog.Attr{slog.String("long", strings.Repeat("x", 5000)), slog.String("bytes", "\xff")},
		Steps: []telemetry.Record{{Name: "invoke", Began: time.Unix(1000, 1e8), Ended: time.Unix(1000, 4e8), Failure: "timeout", Attrs: []slog.Attr{slog.Duration("took", 300*time.Millisecond)}}}}
	for by, want := range map[telemetry.ParentPolicy]struct{ trace, parent, link bool }{
		telemetry.ParentIgnore: {}, telemetry.ParentLink: {link: true}, telemetry.ParentFollow: {trace: true, parent: true},
	} {
		c := telemetrytest.NewCollector(t)
		tr := newTracer(t, telemetry.TraceOptions{Endpoint: c.URL, Ratio: 1, Parent: by})
		h := http.Header{"Traceparent": {traceparent}, "Tracestate": {"a=1"}}
		p := tr.Begin(h)
		tr.Tell(&p, record)
		tr.Close()
		span, all := c.Wait(t, record.Name, func(s telemetrytest.Span) bool { return s.Name == record.Name })
		trace, id, flags := sent(&p, h)
		if len(all) != 2 || span.TraceID != trace || span.SpanID != id || flags != "01" || p.TraceID() != trace {
			t.Fatalf("%s: %+v, and the handler was sent %v", by, all, h)
		}
		if (span.TraceID == theirTrace) != want.trace || (span.ParentID == theirSpan) != want.parent || !want.parent && span.ParentID != "" ||
			(len(span.Links) == 1 && span.Links[0] == theirTrace) != want.link || (span.State == "a=1") != want.trace {
			t.Errorf("%s: %+v", by, span)
		}
		if !span.Began.Equal(record.Began) || !span.Ended.Equal(record.Ended) || len(span.Attrs["long"]) != 256 || span.Attrs["bytes"] != "\ufffd" || span.Failure != "" {
			t.Errorf("%s: %+v", by, span)
		}
		for _, s := range all {
			if s.Name == "invoke" && (s.ParentID != span.SpanID || s.Failure != "timeout" || s.Attrs["took"] != "0.3" || !s.Ended.Equal(record.Steps[0].Ended)) {
				t.Errorf("%s: %+v", by, s)
			}
		}
	}
}

// What is not for a collector is taken out of a text before that is cut.
func TestTell_Redacted(t *testing.T) {
	t.Parallel()
	c := telemetrytest.NewCollector(t)
	tr := newTracer(t, telemetry.TraceOptions{Endpoint: c.URL, Redact: func(text string) string { return strings.ReplaceAll(text, "hidden", "[redacted]") }})
	p := tr.Always()
	attrs := []slog.Attr{slog.String("key", strings.Repeat("x", 253)+"hidden"), slog.Any("error", errors.New("a hidden one"))}
	tr.Tell(&p, telemetry.Record{Name: "GET /hidden", Attrs: attrs, Steps: []telemetry.Record{{Name: "step", Attrs: attrs}}})
	tr.Close()
	if _, all := c.Wait(t, "the request", func(s telemetrytest.Span) bool { return s.Name == "GET /[redacted]" }); len(all) != 2 || bytes.Contains(c.Raw(), []byte("hid")) {
		t.Errorf("%+v", all)
	}
}

// A request that is not sampled has no span; what happens by itself has always.
func TestTell_Unsampled(t *testing.T) {
	t.Parallel()
	c := telemetrytest.NewCollector(t)
	tr := newTracer(t, telemetry.TraceOptions{Endpoint: c.URL + "/"})
	p, always := tr.Begin(nil), tr.Always()
	tr.Tell(&p, telemetry.Record{Name: "not sampled"})
	tr.Tell(&always, telemetry.Record{Name: "always"})
	tr.Tell(new(telemetry.Place), telemetry.Record{Name: "by itself"})
	tr.Close()
	got := map[string]bool{}
	for _, s := range c.Spans() {
		got[s.Name] = true
	}
	if len(got) != 2 || !got["always"] || !got["by itself"] {
		t.Errorf("spans: %v", got)
	}
}

// With the collector away nobody waits, memory is bounded, and every span that
// is lost is counted.
func TestCollectorAway(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	var lost atomic.Int64
	var log bytes.Buffer
	tr := newTracer(t, telemetry.TraceOptions{Endpoint: "http://" + hole.Addr().String(), Ratio: 1, Lost: func(n int) { lost.Add(int64(n)) }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	const told = 20_000
	began := time.Now()
	for range told {
		p := tr.Begin(nil)
		tr.Tell(&p, telemetry.Record{Name: "x", Began: began, Ended: began})
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("telling took %v", took)
	}
	if n := lost.Load(); n < told-2*4096 {
		t.Errorf("%d lost before the end", n)
	}
	began = time.Now()
	tr.Close()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the end took %v", took)
	}
	if lost.Load() != told || strings.Count(log.String(), "does not take") != 1 {
		t.Errorf("%d of %d are counted as lost; the log has %s", lost.Load(), told, log.String())
	}
}

// A collector that refuses is told of once, and once when it is back.
func TestCollectorRefuses(t *testing.T) {
	t.Parallel()
	c := telemetrytest.NewCollector(t)
	c.Answer(http.StatusForbidden)
	var lost atomic.Int64
	log := &lines{more: make(chan string, 10)}
	tr := newTracer(t, telemetry.TraceOptions{Endpoint: c.URL, Ratio: 1, Lost: func(n int) { lost.Add(int64(n)) }, Log: slog.New(slog.NewTextHandler(log, nil))})
	tell := func(name string) {
		p := tr.Always()
		tr.Tell(&p, telemetry.Record{Name: name})
	}
	tell("refused")
	if line := <-log.more; !strings.Contains(line, "does not take traces") || lost.Load() != 1 {
		t.Errorf("%s, %d lost", line, lost.Load())
	}
	c.Answer(http.StatusOK)
	tell("taken")
	if line := <-log.more; !strings.Contains(line, "again") {
		t.Error(line)
	}
	if all := c.Spans(); len(all) != 1 || lost.Load() != 1 {
		t.Errorf("%d came, %d lost", len(all), lost.Load())
	}
}

// lines is a writer of which each line can be waited for.
type lines struct{ more chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.more <- string(p)
	return len(p), nil
}

// FuzzTraceparent: what is read is sent on in the same letters, and nothing else is read.
func FuzzTraceparent(f *testing.F) {
	seeds := []string{traceparent, "", "00-", "ff" + traceparent[2:], "01" + traceparent[2:] + "-x"}
	for _, s := range seeds {
		f.Add(s)
	}
	tr, err := telemetry.NewTracer(telemetry.TraceOptions{Endpoint: "http://127.0.0.1:1", Parent: telemetry.ParentFollow})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { tr.Close() })
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Traceparent": {line}}
		p := tr.Begin(h)
		trace, span, _ := sent(&p, h)
		if trace == "" || span == "" {
			t.Fatalf("sent on %q", h.Get("Traceparent"))
		}
		if strings.Contains(line, trace) && (len(line) < 55 || line[3:35] != trace) {
			t.Errorf("%q was read", line)
		}
	})
}

// A request that is not sampled costs one allocation, and only where a handler
// is told.
func TestBegin_Allocations(t *testing.T) {
	tr, p, h := newTracer(t, telemetry.TraceOptions{}), new(telemetry.Place), http.Header{}
	if n := testing.AllocsPerRun(1000, func() { *p = tr.Begin(h) }); n != 0 {
		t.Errorf("%v allocations to begin", n)
	}
	if n := testing.AllocsPerRun(1000, func() { p.Send(h) }); n > 1 {
		t.Errorf("%v allocations to send", n)
	}
}

func BenchmarkBegin(b *testing.B) {
	for name, o := range map[string]telemetry.TraceOptions{"ignore": {Parent: telemetry.ParentIgnore}, "follow": {Parent: telemetry.ParentFollow}} {
		b.Run(name, func(b *testing.B) {
			tr, p := newTracer(b, o), new(telemetry.Place)
			lines := []string{traceparent[:53] + "00"}
			h := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				h["Traceparent"] = lines
				*p = tr.Begin(h)
				p.Send(h)
			}
		})
	}
}
