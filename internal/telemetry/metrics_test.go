package telemetry_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"postern.dev/postern/internal/telemetry"
)

var update = flag.Bool("update", false, "rewrite the table of metrics in docs/observability.md")

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	f := m.Function("orders")
	f.Observe(204, time.Millisecond)
	f.Observe(200, time.Millisecond)
	f.Observe(9999, time.Millisecond) // of no class
	m.Refused("unauthenticated")
	m.TokenRequested("granted")
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

// everything has a series of every metric.
func everything() *telemetry.Metrics {
	m := telemetry.NewMetrics()
	m.Built("v1.2.3")
	m.Watch(func() telemetry.Levels {
		return telemetry.Levels{Sequence: 7, Age: time.Second, UsagePending: 3, Functions: []telemetry.FunctionLevels{{Slug: "orders", Workers: 1, InFlight: 2, Waiting: 3}}}
	})
	f := m.Function("orders")
	f.Observe(200, time.Millisecond)
	f.Moved(1, 2)
	f.Waited(time.Millisecond)
	m.Decision("allowed", "invoke").Inc()
	m.Refused("unauthenticated")
	m.Callback("numbers", true)
	m.Callback("numbers", false)
	m.Started(time.Second, nil)
	m.Started(time.Second, errors.New("no"))
	m.TokenRequested("granted")
	m.Applied(-time.Second)
	l := m.Listener("gateway")
	l.Connected(1)
	l.Refused("full")
	return m
}

// Names, units and help texts are as Prometheus wants them.
func TestMetrics_Lint(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(everything().Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A function that is deleted leaves nothing behind.
func TestMetrics_Forget(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	before, err := testutil.GatherAndCount(m.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		f := m.Function(fmt.Sprint("f", i))
		f.Observe(200, time.Second)
		f.Moved(1, 1)
		f.Waited(time.Second)
		m.Forget(fmt.Sprint("f", i))
		f.Observe(200, time.Second) // a call that was still under way
	}
	if after, _ := testutil.GatherAndCount(m.Registry); after > before+5 { // Go's own may come and go
		t.Errorf("%d series, %d before", after, before)
	}
}

// docs/observability.md lists every metric.
func TestMetrics_Documented(t *testing.T) {
	t.Parallel()
	families, err := everything().Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| metric | kind | labels | what it tells |\n|---|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "postern_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	const page, begin, end = "../../docs/observability.md", "<!-- metrics -->\n", "<!-- end of metrics -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table of metrics", page)
	}
	want := before + begin + table.String() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s lists other metrics than there are; run go test ./internal/telemetry -update", page)
	}
}

func TestListener(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
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
}
