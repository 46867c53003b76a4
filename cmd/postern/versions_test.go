package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/rogpeppe/go-internal/testscript"

	"postern.dev/postern/internal/api"
)

// judgedCmd is `judged URL`: it calls until a function of which a version fails has
// no such version any more.
func judgedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: judged URL")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	good := 0 // in a row
	for late := time.After(time.Minute); good < 100; {
		if status, _, _ := request(ts, false, []string{"GET", args[0], "200"}); status == http.StatusOK {
			good++
		} else {
			good = 0
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("the version still fails\n%s", worldOf(ts).server.log())
		}
	}
}

// telling is a function that tells its version at once, late, or in a WebSocket.
func telling(version int, fails bool) string {
	body := fmt.Sprintf("String(%d)", version)
	if fails {
		body = "(() => { throw new Error('the moon is late'); })()"
	}
	return fmt.Sprintf(`export const auth = ['version'];
export const version = () => %[1]s;
export const late = async () => { await new Promise((done) => setTimeout(done, 1500)); return '%[2]d'; };
export function setup(runtime: any) { runtime.onWebSocket('/talk', (ws: any) => ws.on('message', () => ws.send('%[2]d'))); }
`, body, version)
}

// traffic are callers who ask for the version of a function, again and again.
type traffic struct {
	s     *site
	stop  atomic.Bool
	wg    sync.WaitGroup
	calls atomic.Int64
	late  atomic.Int64

	mu   sync.Mutex
	bad  []string // answers that are none
	good string   // the versions that may answer
}

func (s *site) traffic(fast, late int) *traffic {
	f := &traffic{s: s, good: "1"}
	for range fast {
		f.wg.Go(func() { f.ask("version", &f.calls) })
	}
	for range late {
		f.wg.Go(func() { f.ask("late", &f.late) })
	}
	return f
}

func (f *traffic) ask(handler string, n *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for !f.stop.Load() {
		status, body := call(f.s.T, client, "GET", f.s.gateway+"/fn/live/"+handler, f.s.key["POSTERN_KEY_ID"], f.s.key["POSTERN_KEY_SECRET"], "")
		n.Add(1)
		f.mu.Lock()
		if status != http.StatusOK || !strings.Contains(f.good, body) {
			f.bad = append(f.bad, fmt.Sprintf("%s: %d %.200s", handler, status, body))
		}
		f.mu.Unlock()
	}
}

// may says which versions may answer from now on.
func (f *traffic) may(versions string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.good = versions
}

// fell returns what was no good answer since the last time.
func (f *traffic) fell() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	bad := f.bad
	f.bad = nil
	return bad
}

func (f *traffic) end() { f.stop.Store(true); f.wg.Wait() }

// parts counts which versions answer so many calls.
func (s *site) parts(calls int) map[string]int {
	s.Helper()
	got := map[string]int{}
	for range calls {
		status, body := call(s.T, http.DefaultClient, "GET", s.gateway+"/fn/live/version", s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], "")
		if status != http.StatusOK {
			s.Fatalf("%d %s", status, body)
		}
		got[body]++
	}
	return got
}

// version deploys one that tells its number.
func (s *site) version(n int, fails bool, flags ...string) string {
	s.Helper()
	dir := filepath.Join(s.TempDir(), "live")
	s.files(dir, map[string]string{"postern.json": `{"name":"live","runtime":"node"}`, "function.ts": telling(n, fails)})
	return s.must(append([]string{"functions", "deploy", dir}, flags...)...)
}

// versions are those of the function, newest first.
func (s *site) versions() (list []api.Version) {
	s.Helper()
	if err := json.Unmarshal([]byte(s.must("functions", "versions", "live", "--json")), &list); err != nil {
		s.Fatal(err)
	}
	return list
}

// TestVersions_UnderLoad: no call fails while versions come, get more and go; each
// gets its part; and one whose own calls fail is taken back by itself.
func TestVersions_UnderLoad(t *testing.T) {
	s := newSite(t)
	s.version(1, false)
	f := s.traffic(4, 3)
	defer f.end()
	whole := func(step string) {
		t.Helper()
		if bad := f.fell(); len(bad) > 0 {
			t.Fatalf("%s: %d calls failed, the first with %s\n%s", step, len(bad), bad[0], s.log())
		}
	}
	f.may("12")
	s.version(2, false, "--percent", "10")
	if got := s.parts(600); got["2"] < 25 || got["2"] > 110 {
		t.Errorf("at 10 percent: %v", got)
	}
	whole("a candidate")
	sockets := s.sockets(24)
	s.must("functions", "promote", "live", "--percent", "50")
	if got := s.parts(400); got["2"] < 140 || got["2"] > 260 {
		t.Errorf("at 50 percent: %v", got)
	}
	whole("half of the calls")
	sockets = append(sockets, s.sockets(24)...)
	kept := 0
	for _, c := range sockets {
		kept += len(c.tell(t)) // each says its version still
	}
	if kept != len(sockets) {
		t.Errorf("%d of %d WebSockets talk", kept, len(sockets))
	}
	s.must("functions", "promote", "live", "--percent", "100")
	if got := s.parts(50); got["2"] != 50 {
		t.Errorf("all: %v", got)
	}
	for _, c := range sockets {
		if c.version == "1" {
			if code := ending(t, c.c); code != websocket.StatusGoingAway {
				t.Errorf("a WebSocket of the version that went ended with %d", code)
			}
		} else if got := c.tell(t); got != "2" {
			t.Errorf("a WebSocket of the version that stayed says %q", got)
		}
	}
	whole("all of the calls")
	f.may("123")
	s.version(3, false, "--percent", "30")
	s.must("functions", "rollback", "live")
	if got := s.parts(50); got["2"] != 50 {
		t.Errorf("after the end of a candidate: %v", got)
	}
	s.must("functions", "rollback", "live")
	if got := s.parts(50); got["1"] != 50 {
		t.Errorf("after a roll-back: %v", got)
	}
	whole("roll-backs")
	s.failing(f)
}

// failing deploys a version of which each call fails, and waits for its end.
func (s *site) failing(f *traffic) {
	s.Helper()
	f.may("1234") // its other handler answers
	said := s.version(4, true, "--percent", "20")
	if !strings.Contains(said, "20% of the calls") {
		s.Errorf("deploy said %s", said)
	}
	eventually(s.T, "the failing version is ended", func() bool { return s.versions()[0].EndedBecause != "" })
	if vs := s.versions(); vs[0].State != "old" || vs[1].State != "active" || vs[1].Percent != 100 {
		s.Errorf("%+v", vs[:2])
	}
	for _, bad := range f.fell() {
		if !strings.HasPrefix(bad, "version: 500 ") || !strings.Contains(bad, "handler_failed") {
			s.Errorf("a call failed otherwise: %s", bad)
		}
	}
	if got := s.parts(200); got["1"] != 200 { // who asks while it goes may still have found it
		s.Errorf("after it was ended: %v", got)
	}
	f.end()
	if len(f.fell()) > 0 || f.late.Load() < 10 || f.calls.Load() < 100 {
		s.Errorf("%d fast calls, %d late ones", f.calls.Load(), f.late.Load())
	}
	if !strings.Contains(s.must("audit", "--limit", "100"), "rollBack functions/live by=platform") || !strings.Contains(s.log(), "a candidate was ended") {
		s.Errorf("it is neither in the audit log nor in the server's\n%s", s.log())
	}
}

// socket is a WebSocket of one version.
type socket struct {
	c       *websocket.Conn
	version string
}

func (s *site) sockets(n int) (list []socket) {
	s.Helper()
	for range n {
		c, _, err := websocket.Dial(s.Context(), s.gateway+"/fn/live/talk", &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {s.key["POSTERN_KEY_SECRET"]}}})
		if err != nil {
			s.Fatal(err)
		}
		s.Cleanup(func() { c.CloseNow() })
		list = append(list, socket{c, says(s.T, c, "?")})
	}
	return list
}

// tell is what the socket's version says of itself now.
func (c socket) tell(t *testing.T) string {
	t.Helper()
	if got := says(t, c.c, "?"); got != c.version {
		t.Errorf("a WebSocket of version %s says %s", c.version, got)
	}
	return c.version
}

// TestVersions_KillDuringShift kills the server at random moments of a promotion
// and a roll-back. Each time it comes back with what was or with what was asked
// for, and that is what answers.
func TestVersions_KillDuringShift(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	s.version(1, false)
	s.version(2, false)
	s.version(3, false, "--percent", "10")
	part, number := 10, 3 // of the candidate
	for i := range 8 {
		args := []string{"functions", "promote", "live", "--percent", fmt.Sprint(20 + i)}
		if i%2 == 1 { // an earlier version is deployed as the candidate: a worker is started first
			args = append(args, "--version", "1")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		done := make(chan error, 1)
		go func() {
			defer cancel()
			_, err := s.command(args...)
			done <- err
		}()
		select {
		case <-time.After(time.Duration(100+random.IntN(500)) * time.Millisecond):
		case <-ctx.Done():
		}
		s.kill()
		err := <-done
		s.start()
		vs := s.versions()
		at := 0
		if vs[0].State != "candidate" {
			at = 1
		}
		candidate, active := vs[at], api.Version{}
		for _, v := range vs {
			if v.State == "active" {
				active = v
			}
		}
		was, is := candidate.Percent == part && candidate.Number == number, candidate.Percent == 20+i && (i%2 == 0) == (candidate.Number == number)
		if candidate.State != "candidate" || active.Number != 2 || active.Percent+candidate.Percent != 100 || !is && (!was || err == nil) {
			t.Fatalf("kill %d, of %v (%v): before %d%% %d, now %+v", i, args, err, part, number, vs)
		}
		part, number = candidate.Percent, candidate.Number
		answers := map[string]bool{"2": true, "1": candidate.RestoredFrom == 1, "3": candidate.RestoredFrom == 0}
		for version, n := range s.parts(30) {
			if !answers[version] {
				t.Fatalf("kill %d: version %s answers %d calls, and %+v serve", i, version, n, vs)
			}
		}
	}
	s.must("functions", "rollback", "live")
	if got := s.parts(20); got["2"] != 20 {
		t.Errorf("in the end: %v", got)
	}
}
