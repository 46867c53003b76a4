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
