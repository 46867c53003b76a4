// Package telemetry makes the server's log, its access log and its metrics.
//
// It measures from outside: no package below the wiring imports it to count
// for itself but the gateway, whose counters are resolved once for each
// function and not looked up on the way of a request.
package telemetry

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewLogger returns a logger that writes text or json lines from a level on.
func NewLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Buffer is a writer that gathers lines and writes them at least every 250 ms:
// an access log must not cost a system call for each request. It is safe for
// concurrent use.
type Buffer struct {
	mu   sync.Mutex
	w    *bufio.Writer // guarded by mu
	stop chan struct{}
	done chan struct{}
}

// NewBuffer returns a buffer in front of w. Close it.
func NewBuffer(w io.Writer) *Buffer {
	b := &Buffer{w: bufio.NewWriterSize(w, 64<<10), stop: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b
}

func (b *Buffer) run() {
	defer close(b.done)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			b.mu.Lock()
			b.w.Flush() // a log that cannot be written must not stop the server
			b.mu.Unlock()
		}
	}
}

// Write adds a line.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Write(p)
}

// Close writes what is gathered.
func (b *Buffer) Close() error {
	close(b.stop)
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.w.Flush(); err != nil {
		return fmt.Errorf("flush the access log: %w", err)
	}
	return nil
}

// Metrics are the server's metrics. Functions are named by their slug, of
// which an installation has a bounded number; nothing a caller sends becomes a
// label.
type Metrics struct {
	Registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	starts   *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	open     *prometheus.GaugeVec
	closed   *prometheus.CounterVec
	InFlight prometheus.Gauge
	Keys     prometheus.Gauge
	Stale    prometheus.Gauge
	// AuditLost counts audit events that found no room.
	AuditLost prometheus.Counter
}

// NewMetrics makes the metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_requests_total", Help: "Requests by function and class of status."}, []string{"function", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "postern_request_seconds", Help: "Time from the request's header to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"function"}),
		refused:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_refused_total", Help: "Requests that ran nothing, by problem code."}, []string{"code"}),
		starts:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_worker_starts_total", Help: "Starts of workers, by outcome."}, []string{"outcome"}),
		tokens:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_token_requests_total", Help: "Requests to the token endpoint: granted, the OAuth error, or repeated for the same mistake a moment later."}, []string{"result"}),
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_connections", Help: "Open connections, by listener."}, []string{"listener"}),
		closed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_connections_refused_total", Help: "Connections that were ended by the listener: as many as may be were open (full), or of one address (address); no TLS came about (handshake); what was sent can be read in two ways (framing)."}, []string{"listener", "reason"}),
		InFlight:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_requests_in_flight", Help: "Requests that have not ended."}),
		Keys:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_access_keys", Help: "Live access keys in the gateway's memory."}),
		Stale:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "postern_snapshot_stale", Help: "1 while the database is away and the gateway serves from memory."}),
		AuditLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "postern_audit_lost_total", Help: "Decisions of which the audit log has only a count, because the database was away or slow."}),
	}
	m.Registry.MustRegister(m.requests, m.seconds, m.refused, m.starts, m.tokens, m.open, m.closed, m.InFlight, m.Keys, m.Stale, m.AuditLost,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Refused counts a request that ran nothing.
func (m *Metrics) Refused(code string) { m.refused.WithLabelValues(code).Inc() }

// Started counts the start of a worker.
func (m *Metrics) Started(err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.starts.WithLabelValues(outcome).Inc()
}

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

// Function is the counters of one function, resolved once.
type Function struct {
	byClass [6]prometheus.Counter
	seconds prometheus.Observer
}

// Function resolves the counters of a function.
func (m *Metrics) Function(slug string) *Function {
	f := &Function{seconds: m.seconds.WithLabelValues(slug)}
	for class := range f.byClass {
		f.byClass[class] = m.requests.WithLabelValues(slug, fmt.Sprintf("%dxx", class))
	}
	return f
}

// Forget drops the counters of a function that was deleted.
func (m *Metrics) Forget(slug string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"function": slug})
	m.seconds.DeleteLabelValues(slug)
}

// Observe counts one request.
func (f *Function) Observe(status int, took time.Duration) {
	if class := status / 100; class > 0 && class < len(f.byClass) {
		f.byClass[class].Inc()
	}
	f.seconds.Observe(took.Seconds())
}
