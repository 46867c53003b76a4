package main

import (
	"strings"
	"testing"
)

const wrkText = `Running 3s test @ http://127.0.0.1:1/webhook
  1 threads and 64 connections
  300 requests in 3.00s, 40.00KB read
Requests/sec:    100.50
Transfer/sec:     13.33KB
`

// A figure that hides an error would be worse than none.
func TestParseLoad(t *testing.T) {
	t.Parallel()
	with := func(line string) string {
		return strings.Replace(wrkText, "Requests/sec", line+"\nRequests/sec", 1)
	}
	for name, c := range map[string]struct {
		text    string
		refuses bool
		want    float64 // 0: an error
	}{
		"all accepted":                  {wrkText, false, 100.5},
		"all refused, as it should be":  {with("  Non-2xx or 3xx responses: 300"), true, 100.5},
		"all refused":                   {with("  Non-2xx or 3xx responses: 300"), false, 0},
		"one refused":                   {with("  Non-2xx or 3xx responses: 1"), false, 0},
		"one accepted among refusals":   {with("  Non-2xx or 3xx responses: 299"), true, 0},
		"accepted instead of refused":   {wrkText, true, 0},
		"a socket error":                {with("  Socket errors: connect 0, read 1, write 0, timeout 0"), false, 0},
		"a socket error before refusal": {with("  Socket errors: connect 0, read 1, write 0, timeout 0\n  Non-2xx or 3xx responses: 3"), false, 0},
		"no request answered":           {strings.Replace(wrkText, "300 requests", "0 requests", 1), false, 0},
		"no rate":                       {"unable to connect", false, 0},
	} {
		got, err := parseLoad(c.text, c.refuses)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

func TestResult_Median(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rates []float64
		want  float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 2}, 2}, {[]float64{1, 2, 4, 100}, 3}} {
		if got := (result{rates: c.rates}).median(); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.rates, got, c.want)
		}
	}
}

func TestWithSection(t *testing.T) {
	t.Parallel()
	const page = "# Page\n\nfirst\n\n## One\n\nold\n\n## Two\n\nlast\n"
	for name, c := range map[string]struct{ page, heading, want string }{
		"in the middle": {page, "## One", "# Page\n\nfirst\n\n## One\n\nnew\n\n## Two\n\nlast\n"},
		"the last":      {page, "## Two", "# Page\n\nfirst\n\n## One\n\nold\n\n## Two\n\nnew\n"},
		"not there yet": {page, "## Three", page + "\n## Three\n\nnew\n"},
	} {
		if got := withSection(c.page, c.heading, c.heading+"\n\nnew\n"); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The table names servers by their place in it.
func TestCallsReport(t *testing.T) {
	t.Parallel()
	var list []*calls
	for i, name := range []string{"node", "express", "framework", "haproxy", "nginx", "postern", "two nodes", "postern, two"} {
		c := &calls{server: server{name: name}}
		for j := range c.cells {
			for k := range c.cells[j] {
				c.cells[j][k] = cell{rates: []float64{float64(i+1) * 100}, front: []float64{1}, back: []float64{2}}
			}
		}
		list = append(list, c)
	}
	page := callsReport(list, 3, 0)
	for _, want := range []string{callsHeading + "\n", "| postern | 600 · 6.00 · 1.0 + 2.0 |", "| postern, two | 800 · 1.14 ·", "| ≥ 1.1 × node:http | 6.00 |", "| ≥ 8 × Express | 3.0 |", "proxy | 1.20 |", "of node:http | 1.14 |", "worker | 2.0 |"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
}

// Each server must do what it is compared for, so the ways must be what they say.
func TestWays(t *testing.T) {
	t.Parallel()
	for i, size := range []int{0, 1 << 10, 64 << 10} {
		if w := ways()[i]; len(w.body) != size || w.contentType == "application/json" != (size == 1<<10) {
			t.Errorf("%s: %d bytes of %s", w.name, len(w.body), w.contentType)
		}
	}
}

// The acts of a soak come as often as they say, and each answer is flat or not.
func TestSoak(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for _, a := range hundred() {
		count[a.name]++
	}
	for _, a := range acts {
		if count[a.name] != a.often {
			t.Errorf("%s: %d of a hundred, not %d", a.name, count[a.name], a.often)
		}
	}
	held := func(grow func(i int) int64) (list []sample) {
		for i := range soakSamples {
			list = append(list, sample{calls: int64(i), held: [2]int64{50 << 20, 70<<20 + grow(i)}})
		}
		return list
	}
	for name, c := range map[string]struct {
		grow func(int) int64
		want bool
	}{
		"flat":           {func(int) int64 { return 0 }, true},
		"up and down":    {func(i int) int64 { return int64(i%2) * (20 << 20) }, true},
		"it had to warm": {func(i int) int64 { return int64(min(i, 5)) * (20 << 20) }, true},
		"it leaks":       {func(i int) int64 { return int64(i) * (4 << 20) }, false},
	} {
		if err := flat(held(c.grow)); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := flat(held(func(int) int64 { return 0 })[:1]); err != nil {
		t.Errorf("one sample: %v", err)
	}
}
