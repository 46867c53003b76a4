package telemetry

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the server's metrics. Functions are named by their slug, of
// which an installation has a bounded number; nothing a caller sends becomes a
// label.
type Metrics struct {
	Registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	waits     *prometheus.HistogramVec
	in, out   *prometheus.CounterVec
	decisions *prometheus.CounterVec
	refused   *prometheus.CounterVec
	callbacks *prometheus.CounterVec
	starts    *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	open      *prometheus.GaugeVec
	closed    *prometheus.CounterVec
	breakers  *prometheus.GaugeVec
	starting  prometheus.Histogram
	delay     prometheus.Histogram
	InFlight  prometheus.Gauge
	Keys      prometheus.Gauge
	Stale     prometheus.Gauge
	// Crashes counts workers that ended by themselves.
	Crashes prometheus.Counter
	// AuditLost counts audit events that found no room, SpansLost spans that no
	// collector got.
	AuditLost, SpansLost prometheus.Counter
}

// quick and slow are the buckets of what takes a request's time and of what
// takes a worker's.
var (
	quick = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	slow  = []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// NewMetrics makes the metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry:  prometheus.NewRegistry(),
		requests:  counters("postern_requests_total", "Requests by function and class of status.", "function", "status"),
		seconds:   histograms("postern_request_seconds", "Time from the request's header to the end of its answer.", quick),
		waits:     histograms("postern_queue_wait_seconds", "Time that requests waited for a worker, of those that had to.", quick),
		in:        counters("postern_request_bytes_total", "Bytes of bodies that callers sent.", "function"),
		out:       counters("postern_response_bytes_total", "Bytes of bodies that callers were sent.", "function"),
		decisions: counters("postern_decisions_total", "Requests by what was decided and the step that was begun last.", "outcome", "step"),
		refused:   counters("postern_refused_total", "Requests that ran nothing, by problem code.", "code"),
		callbacks: counters("postern_callbacks_total", "Callbacks by scheme of signature: verified or refused.", "scheme", "outcome"),
		starts:    counters("postern_worker_starts_total", "Starts of workers, by outcome.", "outcome"),
		tokens:    counters("postern_token_requests_total", "Requests to the token endpoint: granted, the OAuth error, or repeated for the same mistake a moment later.", "result"),
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_connections", Help: "Open connections, by listener."}, []string{"listener"}),
		closed:    counters("postern_connections_refused_total", "Connections that were ended by the listener: as many as may be were open (full), or of one address (address); no TLS came about (handshake); what was sent can be read in two ways (framing).", "listener", "reason"),
		breakers:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_upstream_open", Help: "1 while an upstream is left alone because it did not answer."}, []string{"upstream"}),
		starting:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "postern_worker_start_seconds", Help: "Time until a worker was ready, or had failed to be.", Buckets: slow}),
		delay:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "postern_change_delay_seconds", Help: "Time from a change's writing until this gateway acted on it.", Buckets: quick}),
		InFlight:  gauge("postern_requests_in_flight", "Requests that have not ended."),
		Keys:      gauge("postern_access_keys", "Live access keys in the gateway's memory."),
		Stale:     gauge("postern_snapshot_stale", "1 while the database is away and the gateway serves from memory."),
		Crashes:   counter("postern_worker_crashes_total", "Workers that ended though nobody had asked them to."),
		AuditLost: counter("postern_audit_lost_total", "Decisions of which the audit log has only a count, because the database was away or slow."),
		SpansLost: counter("postern_trace_spans_lost_total", "Spans that no collector got, because it was away or slow."),
	}
	m.Registry.MustRegister(m.requests, m.seconds, m.waits, m.in, m.out, m.decisions, m.refused, m.callbacks, m.starts, m.tokens, m.open, m.closed, m.breakers, m.starting, m.delay,
		m.InFlight, m.Keys, m.Stale, m.Crashes, m.AuditLost, m.SpansLost,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func histograms(name, help string, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"function"})
}

// Counter counts. It is resolved once and kept.
type Counter interface{ Inc() }

// Decision resolves the counter of an outcome at a step.
func (m *Metrics) Decision(outcome, step string) Counter {
	return m.decisions.WithLabelValues(outcome, step)
}

// Refused counts a request that ran nothing.
func (m *Metrics) Refused(code string) { m.refused.WithLabelValues(code).Inc() }

// Callback counts a callback. The scheme is the name of one that we know.
func (m *Metrics) Callback(scheme string, verified bool) {
	outcome := "refused"
	if verified {
		outcome = "verified"
	}
	m.callbacks.WithLabelValues(scheme, outcome).Inc()
}

// Started counts the start of a worker.
func (m *Metrics) Started(took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.starts.WithLabelValues(outcome).Inc()
	m.starting.Observe(took.Seconds())
}

// Applied tells how old a change was when it was acted on. The clocks of two
// nodes may disagree; a change is never from the future.
func (m *Metrics) Applied(age time.Duration) { m.delay.Observe(max(age, 0).Seconds()) }

// TokenRequested counts a request to the token endpoint. The result is one of
// a few words of ours.
func (m *Metrics) TokenRequested(result string) { m.tokens.WithLabelValues(result).Inc() }

// Listener counts the connections of one listener.
type Listener struct {
	open   prometheus.Gauge
	closed *prometheus.CounterVec
}

// Listener resolves the counters of a listener of that name.
func (m *Metrics) Listener(name string) *Listener {
	return &Listener{m.open.WithLabelValues(name), m.closed.MustCurryWith(prometheus.Labels{"listener": name})}
}

// Connected counts a connection that came, or with -1 one that went.
func (l *Listener) Connected(change int) { l.open.Add(float64(change)) }

// Refused counts a connection that the listener ended. The reason is one of a
// few words of ours.
func (l *Listener) Refused(reason string) { l.closed.WithLabelValues(reason).Inc() }

// Built tells which version runs.
func (m *Metrics) Built(version string) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "postern_build_info", Help: "1, with what the server was built from.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}}, func() float64 { return 1 }))
}

// Function is the counters of one function, resolved once.
type Function struct {
	byClass         [6]prometheus.Counter
	in, out         prometheus.Counter
	seconds, waited prometheus.Observer
}

// Function resolves the counters of a function.
func (m *Metrics) Function(slug string) *Function {
	f := &Function{seconds: m.seconds.WithLabelValues(slug), waited: m.waits.WithLabelValues(slug), in: m.in.WithLabelValues(slug), out: m.out.WithLabelValues(slug)}
	for class := range f.byClass {
		f.byClass[class] = m.requests.WithLabelValues(slug, strconv.Itoa(class)+"xx")
	}
	return f
}

// Forget drops the counters of a function that was deleted.
func (m *Metrics) Forget(slug string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"function": slug})
	m.seconds.DeleteLabelValues(slug)
	m.waits.DeleteLabelValues(slug)
	m.in.DeleteLabelValues(slug)
	m.out.DeleteLabelValues(slug)
	m.breakers.DeleteLabelValues(slug)
}

// Breaker says whether the breaker of an upstream is open.
func (m *Metrics) Breaker(slug string, open bool) {
	state := 0.0
	if open {
		state = 1
	}
	m.breakers.WithLabelValues(slug).Set(state)
}

// Observe counts one request.
func (f *Function) Observe(status int, took time.Duration) {
	if class := status / 100; class > 0 && class < len(f.byClass) {
		f.byClass[class].Inc()
	}
	f.seconds.Observe(took.Seconds())
}

// Moved counts the bytes of a request's bodies.
func (f *Function) Moved(in, out int64) {
	if in > 0 {
		f.in.Add(float64(in))
	}
	if out > 0 {
		f.out.Add(float64(out))
	}
}

// Waited counts a request that had to wait for a worker.
func (f *Function) Waited(d time.Duration) { f.waited.Observe(d.Seconds()) }

// Levels are what is read when somebody asks for the metrics.
type Levels struct {
	Sequence     int64         // of the last change in the gateway's snapshot
	Age          time.Duration // since the change log was last read to its end
	UsagePending int           // rows of usage that the database does not have
	Tunnels      int           // that are open, or were a moment ago
	Shut         int           // functions that answer nobody, because their policy does not fit
	Functions    []FunctionLevels
}

// FunctionLevels are those of one function.
type FunctionLevels struct {
	Slug                       string
	Workers, InFlight, Waiting int
}

// Watch makes the levels part of the metrics.
func (m *Metrics) Watch(read func() Levels) { m.Registry.MustRegister(levels{read}) }

// levels collects Levels.
type levels struct{ read func() Levels }

var (
	sequenceDesc = prometheus.NewDesc("postern_snapshot_sequence", "Number of the last change in the gateway's memory.", nil, nil)
	ageDesc      = prometheus.NewDesc("postern_snapshot_age_seconds", "Time since the change log was last read to its end.", nil, nil)
	pendingDesc  = prometheus.NewDesc("postern_usage_pending_rows", "Rows of usage that are in the journal and not in the database.", nil, nil)
	tunnelsDesc  = prometheus.NewDesc("postern_tunnels", "Tunnels that are open, or down for a moment.", nil, nil)
	countDesc    = prometheus.NewDesc("postern_functions", "Functions that the gateway knows.", nil, nil)
	shutDesc     = prometheus.NewDesc("postern_functions_shut", "Functions that answer nobody, because their policy does not fit them.", nil, nil)
	workersDesc  = prometheus.NewDesc("postern_workers", "Workers that take calls, by function.", []string{"function"}, nil)
	busyDesc     = prometheus.NewDesc("postern_worker_calls_in_flight", "Calls that workers have, by function.", []string{"function"}, nil)
	queueDesc    = prometheus.NewDesc("postern_queue_length", "Requests that wait for a worker, by function.", []string{"function"}, nil)
)

// Describe tells what there is.
func (levels) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sequenceDesc, ageDesc, pendingDesc, tunnelsDesc, countDesc, shutDesc, workersDesc, busyDesc, queueDesc} {
		to <- d
	}
}

// Collect tells how much of it.
func (l levels) Collect(to chan<- prometheus.Metric) {
	now := l.read()
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	tell(sequenceDesc, float64(now.Sequence))
	tell(ageDesc, now.Age.Seconds())
	tell(pendingDesc, float64(now.UsagePending))
	tell(tunnelsDesc, float64(now.Tunnels))
	tell(countDesc, float64(len(now.Functions)))
	tell(shutDesc, float64(now.Shut))
	for _, f := range now.Functions {
		tell(workersDesc, float64(f.Workers), f.Slug)
		tell(busyDesc, float64(f.InFlight), f.Slug)
		tell(queueDesc, float64(f.Waiting), f.Slug)
	}
}
