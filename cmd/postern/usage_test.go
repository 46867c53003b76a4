package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// usageTotal is what `postern usage` says of everything.
type usageTotal struct {
	Invocations, Errors, BytesIn, BytesOut, Refused int64
	ComputeMs, GBSeconds                            float64
	RefusedBy                                       map[string]int64
}

func (s *site) usage() usageTotal {
	s.Helper()
	var out struct{ Total usageTotal }
	if err := json.Unmarshal([]byte(s.must("usage", "--json", "--from", "2020-01-01")), &out); err != nil {
		s.Fatal(err)
	}
	return out.Total
}

const meteredManifest = `{"name": "live", "runtime": "node", "handlers": {"echo": {"body": "stream", "bodyLimit": "1MiB"}, "small": {"bodyLimit": 10}, "hangs": {"timeout": "300ms"}}}`

const meteredFunction = `
export const auth = [];
export function ok() { return 'four'; }
export function teapot() { return { statusCode: 418, body: '' }; }
export function unwell() { return { statusCode: 503, body: 'no' }; }
export function throws() { throw new Error('as it should'); }
export function crashes() { process.exit(3); }
export function hangs() { return new Promise(() => {}); }
export async function slow() { await new Promise((done) => setTimeout(done, 400)); return ''; }
export function small() { return ''; }
export function echo(context: any, request: any) { return { statusCode: 200, headers: { 'content-type': 'application/octet-stream' }, body: request.body }; }
export function halves() {
  return new ReadableStream({ start(c) { c.enqueue(new Uint8Array(100)); setTimeout(() => c.error(new Error('cut off')), 50); } });
}
`

// Each kind of call, through the real program, is counted once and as what it was.
func TestUsage_WhatIsCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed(meteredManifest, meteredFunction)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	big := bytes.Repeat([]byte("x"), 200_000)
	chunked := func(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }
	var want usageTotal
	want.RefusedBy = map[string]int64{}
	for _, tc := range []struct {
		path, contentType string
		body              io.Reader
		status            int
		ran, failed       int64
		in, out           int64
		refused           string
	}{
		{path: "ok", status: 200, ran: 1, out: 4},
		{path: "ok", body: strings.NewReader("seven b"), status: 200, ran: 1, in: 7, out: 4},
		{path: "teapot", status: 418, ran: 1},
		{path: "unwell", status: 503, ran: 1, failed: 1, out: 2},
		{path: "throws", status: 500, ran: 1, failed: 1},
		{path: "hangs", status: 504, ran: 1, failed: 1},
		{path: "slow", status: 200, ran: 1},
		{path: "echo", body: chunked(big), status: 200, ran: 1, in: 200_000, out: 200_000},
		{path: "echo", body: bytes.NewReader(big), status: 200, ran: 1, in: 200_000, out: 200_000},
		{path: "halves", status: 200, ran: 1, failed: 1, out: 100},
		{path: "ok", contentType: "application/json", body: strings.NewReader("{"), status: 400, refused: "body_malformed"},
		{path: "ok", contentType: "application/json", body: chunked([]byte("{")), status: 400, refused: "body_malformed"},
		{path: "small", body: bytes.NewReader(big[:11]), status: 413, refused: "body_too_large"},
		{path: "small", body: chunked(big[:11]), status: 413, refused: "body_too_large"},
		{path: "none", status: 404, refused: "handler_not_found"},
		{path: "health", status: 200},
		{path: "crashes", status: 502, ran: 1, failed: 1}, // the last, because its worker is gone a moment later only
	} {
		req, err := http.NewRequest("POST", s.gateway+"/fn/live/"+tc.path, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", tc.contentType)
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", tc.path, err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", tc.path, res.StatusCode, tc.status)
		}
		want.Invocations, want.Errors, want.BytesIn, want.BytesOut = want.Invocations+tc.ran, want.Errors+tc.failed, want.BytesIn+tc.in, want.BytesOut+tc.out
		if tc.refused != "" {
			want.Refused++
			want.RefusedBy[tc.refused]++
		}
	}
	if err := s.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, s.log())
	}
	s.start()
	got := s.usage()
	// slow waits 400 ms, hangs is ended after 300.
	if seconds := got.ComputeMs / 1000; seconds < 0.7 || seconds > 20 || got.GBSeconds < seconds/8-0.001 || got.GBSeconds > seconds/8+0.001 {
		t.Errorf("%v ms and %v GB-seconds at 128 MiB", got.ComputeMs, got.GBSeconds)
	}
	got.ComputeMs, got.GBSeconds = 0, 0
	// Problems have bodies too; their length is not the point here.
	got.BytesOut, want.BytesOut = got.BytesOut/100_000, want.BytesOut/100_000
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s\n%s", d, s.log())
	}
}

// load calls the function from several callers until stopped, and tells how
// many calls were begun, and how many had been answered at a time.
type load struct {
	begun atomic.Int64
	mu    sync.Mutex
	ended []time.Time // guarded by mu
	stop  atomic.Bool
	wg    sync.WaitGroup
}

func newLoad(url string, callers int) *load {
	l := &load{}
	for range callers {
		l.wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for !l.stop.Load() {
				l.begun.Add(1)
				res, err := client.Get(url)
				if err != nil {
					return // the server is gone
				}
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err == nil && res.StatusCode == 200 {
					l.mu.Lock()
					l.ended = append(l.ended, time.Now())
					l.mu.Unlock()
				}
			}
		})
	}
	return l
}

func (l *load) end() { l.stop.Store(true); l.wg.Wait() }

func (l *load) answered(before time.Time) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.ended {
		if at.Before(before) {
			n++
		}
	}
	return n
}

// Deploys under load, where calls in flight are routed again: what was answered
// is what is counted.
func TestUsage_RedeployUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed(meteredManifest, meteredFunction)
	l := newLoad(s.gateway+"/fn/live/ok", 4)
	for i := range 4 {
		s.deployed(meteredManifest, meteredFunction+fmt.Sprintf("export const version = %d;\n", i))
	}
	l.end()
	if err := s.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, s.log())
	}
	s.start()
	answered := l.answered(time.Now())
	if got := s.usage(); answered != l.begun.Load() || got.Invocations != answered || got.Errors != 0 || got.Refused != 0 || got.BytesOut != 4*answered {
		t.Errorf("%d calls begun, %d answered, counted %+v", l.begun.Load(), answered, got)
	}
}

// Killed at random moments: never more is counted than ran, and what ended more
// than a second before, and the time that the disk takes, is counted.
func TestUsage_Killed(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const window = 4 * time.Second // one for the journal, the others for a machine that is busy
	s := newSite(t)
	s.deployed(meteredManifest, meteredFunction)
	var most, least int64
	for range 3 {
		l := newLoad(s.gateway+"/fn/live/ok", 2)
		moment := time.NewTimer(window + time.Duration(random.Int64N(int64(2*time.Second))))
		<-moment.C
		killed := time.Now()
		s.kill()
		l.end()
		most += l.begun.Load()
		answered, old := l.answered(killed.Add(time.Hour)), l.answered(killed.Add(-window))
		s.start()
		eventually(t, "the journal is in the store", func() bool {
			left, err := filepath.Glob(filepath.Join(s.data, "usage", "*.journal"))
			return err == nil && len(left) == 0
		})
		got := s.usage().Invocations
		if got > most || got < least+old {
			t.Errorf("%d calls are counted; at most %d ran, and at least %d had to be", got, most, least+old)
		}
		t.Logf("%d calls were answered; %d of the last are lost", answered, least+answered-got)
		least, most = got, got
	}
}
