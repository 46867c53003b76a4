package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	waitingSpans = 4096 // that the collector has not taken yet; what is beyond them is lost
	exportEvery  = time.Second
	exportLimit  = 5 * time.Second // of one try
	lastExport   = 3 * time.Second // how long the end may take with the collector away
	longestValue = 256             // of an attribute, in characters
)

// TraceOptions are a tracer's settings.
type TraceOptions struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP; /v1/traces
	// is added where it does not end so.
	Endpoint string
	Ratio    float64 // of requests that are sampled, where the caller is not followed
	Parent   ParentPolicy
	Version  string // of this program
	// Redact is what of each text is exported; nil: all of it.
	Redact func(text string) string
	// Lost is told how many spans no collector got; may be nil.
	Lost func(n int)
	Log  *slog.Logger
}

// Tracer says which requests are sampled, and sends their spans to a collector
// in batches. A nil Tracer traces nothing and costs nothing. It is safe for
// concurrent use. Close it.
type Tracer struct {
	parent  ParentPolicy
	below   uint64 // a request is sampled whose trace ID has a lower number in it
	tracer  trace.Tracer
	redact  func(string) string
	queue   *queue
	closing sync.Once
}

// NewTracer makes a tracer. It does not ask whether the collector is there.
// Headers, certificates and attributes of the resource are taken from the
// variables that OpenTelemetry defines for them.
func NewTracer(o TraceOptions) (*Tracer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Redact == nil {
		o.Redact = func(text string) string { return text }
	}
	if o.Lost == nil {
		o.Lost = func(int) {}
	}
	client, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(collectorURL(o.Endpoint)), otlptracehttp.WithTimeout(exportLimit),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 2 * time.Second, MaxElapsedTime: 10 * time.Second}))
	if err != nil {
		return nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := resource.New(context.Background(), resource.WithAttributes(attribute.String("service.name", "postern"), attribute.String("service.version", o.Version)), resource.WithFromEnv())
	if err != nil {
		o.Log.Warn("a part of OTEL_RESOURCE_ATTRIBUTES cannot be read", "error", err)
	}
	q := &queue{collector: client, lost: o.Lost, log: o.Log}
	q.ctx, q.giveUp = context.WithCancel(context.Background())
	q.SpanProcessor = sdk.NewBatchSpanProcessor(exporter{q}, sdk.WithMaxQueueSize(waitingSpans), sdk.WithMaxExportBatchSize(512), sdk.WithBatchTimeout(exportEvery), sdk.WithExportTimeout(15*time.Second))
	limits := sdk.SpanLimits{AttributeValueLengthLimit: longestValue, AttributeCountLimit: 64, EventCountLimit: 16, LinkCountLimit: 1, AttributePerEventCountLimit: 8, AttributePerLinkCountLimit: 8}
	p := sdk.NewTracerProvider(sdk.WithSpanProcessor(q), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(places{}), sdk.WithResource(about), sdk.WithRawSpanLimits(limits))
	return &Tracer{parent: o.Parent, below: bound(o.Ratio), tracer: p.Tracer("postern.dev/postern"), redact: o.Redact, queue: q}, nil
}

func collectorURL(s string) string {
	s = strings.TrimRight(s, "/")
	if !strings.HasSuffix(s, "/v1/traces") {
		s += "/v1/traces"
	}
	return s
}

// bound is the number of 63 bits below which a ratio of them is.
func bound(ratio float64) uint64 {
	if ratio >= 1 {
		return math.MaxUint64
	}
	return uint64(max(ratio, 0) * (1 << 63))
}

// Run ends with ctx, when it has sent what is left, within some seconds.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	return t.Close()
}

// Close sends what is left, within some seconds, and ends. What the collector
// does not take is counted, and no error: nothing of the server was lost.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	t.closing.Do(func() {
		defer time.AfterFunc(lastExport, t.queue.giveUp).Stop()
		t.queue.Shutdown(context.Background()) // waits for its goroutine, and that for giveUp at most
		t.queue.giveUp()
	})
	return nil
}

// tell makes spans of a record, with the times that are in it.
func (t *Tracer) tell(p *Place, r *Record) {
	kind := trace.SpanKindInternal
	if r.Server {
		kind = trace.SpanKindServer
	}
	start := []trace.SpanStartOption{trace.WithTimestamp(r.Began), trace.WithSpanKind(kind), trace.WithAttributes(t.attributes(r.Attrs)...)}
	ctx := context.Background()
	if p.trace.IsValid() {
		ctx = context.WithValue(ctx, placed{}, p)
		about := trace.SpanContextConfig{TraceID: p.trace, SpanID: p.parent, Remote: true, TraceFlags: trace.FlagsSampled}
		about.TraceState, _ = trace.ParseTraceState(p.state) // it was read before
		switch {
		case p.linked.IsValid():
			about.TraceID = p.linked
			start = append(start, trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(about)}))
		case p.parent.IsValid():
			ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(about))
		}
	}
	_, span := t.tracer.Start(ctx, t.redact(r.Name), start...)
	within := trace.ContextWithSpan(context.Background(), span)
	for i := range r.Steps {
		s := &r.Steps[i]
		_, step := t.tracer.Start(within, s.Name, trace.WithTimestamp(s.Began), trace.WithAttributes(t.attributes(s.Attrs)...))
		end(step, s)
	}
	end(span, r)
}

func end(span trace.Span, r *Record) {
	if r.Failure != "" {
		span.SetStatus(codes.Error, r.Failure)
	}
	span.End(trace.WithTimestamp(r.Ended))
}

func (t *Tracer) attributes(list []slog.Attr) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(list))
	for _, a := range list {
		switch v := a.Value; v.Kind() {
		case slog.KindInt64:
			out = append(out, attribute.Int64(a.Key, v.Int64()))
		case slog.KindBool:
			out = append(out, attribute.Bool(a.Key, v.Bool()))
		case slog.KindDuration:
			out = append(out, attribute.Float64(a.Key, v.Duration().Seconds()))
		default:
			out = append(out, attribute.String(a.Key, strings.ToValidUTF8(t.redact(v.String()), "\ufffd"))) // protobuf takes nothing else
		}
	}
	return out
}

// placed is the key under which a context has the Place of a span that is begun.
type placed struct{}

// places gives a span the IDs of its place; to one that has none, new ones.
type places struct{}

func (places) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if p, ok := ctx.Value(placed{}).(*Place); ok {
		return p.trace, p.span
	}
	p := newPlace()
	return p.trace, p.span
}

func (places) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if p, ok := ctx.Value(placed{}).(*Place); ok {
		return p.span
	}
	p := newPlace()
	return p.span
}

// queue bounds the spans that wait, counts those that find no room or that the
// collector does not take, and says once that it is away and once that it is back.
type queue struct {
	sdk.SpanProcessor // behind it; it has as much room as is given away here, so that it drops none by itself
	collector         sdk.SpanExporter
	waiting           atomic.Int64
	away              atomic.Bool
	lost              func(int)
	log               *slog.Logger
	ctx               context.Context // of exports; ends when the end has taken long enough
	giveUp            context.CancelFunc
}

// OnEnd takes a span.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if q.waiting.Add(1) > waitingSpans {
		q.waiting.Add(-1)
		q.lost(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// exporter is the queue's other end.
type exporter struct{ q *queue }

// ExportSpans sends a batch. It returns no error: it has told of it.
func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.q.ctx, cancel)()
	err := e.q.collector.ExportSpans(ctx, spans)
	e.q.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.q.lost(len(spans))
		if !e.q.away.Swap(true) {
			e.q.log.Warn("the collector does not take traces; they are lost until it does", "error", err)
		}
	} else if e.q.away.Swap(false) {
		e.q.log.Info("the collector takes traces again")
	}
	return nil
}

// Shutdown ends the client.
func (e exporter) Shutdown(ctx context.Context) error { return e.q.collector.Shutdown(ctx) }
