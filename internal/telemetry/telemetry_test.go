package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postern.dev/postern/internal/telemetry"
)

func TestBuffer_KeepsEveryLineWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := telemetry.NewBuffer(&out)
	log := telemetry.NewLogger(b, "json", slog.LevelInfo)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				log.Info("request", "x", strings.Repeat("y", 100))
			}
		})
	}
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4000 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "{") || !strings.HasSuffix(l, "}") {
			t.Fatalf("a torn line: %s", l)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	f := m.Function("orders")
	f.Observe(204, time.Millisecond)
	f.Observe(200, time.Millisecond)
	f.Observe(9999, time.Millisecond) // of no class
	m.Refused("unauthenticated")
	m.TokenRequested("granted")
	l := m.Listener("gateway")
	l.Connected(1)
	l.Connected(1)
	l.Connected(-1)
	l.Refused("full")
	open := "# HELP postern_connections Open connections, by listener.\n# TYPE postern_connections gauge\npostern_connections{listener=\"gateway\"} 1\n"
	if err := testutil.GatherAndCompare(m.Registry, strings.NewReader(open), "postern_connections"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(m.Registry, "postern_connections_refused_total"); n != 1 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
	want := "# HELP postern_refused_total Requests that ran nothing, by problem code.\n# TYPE postern_refused_total counter\npostern_refused_total{code=\"unauthenticated\"} 1\n"
	if err := testutil.GatherAndCompare(m.Registry, strings.NewReader(want), "postern_refused_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(m.Registry, "postern_requests_total"); n != 6 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
	m.Forget("orders")
	if n, _ := testutil.GatherAndCount(m.Registry, "postern_requests_total"); n != 0 {
		t.Errorf("%d series after Forget", n)
	}
}
