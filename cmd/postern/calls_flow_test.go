package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

// Functions that call in circles: each tells how deep it went below, and how
// that ended.
const circleSource = `
let ran = 0;
export const auth = '*';
const next = async (c: any, name: string, path: string) => {
  ran++;
  const r = await c.functions.call(name, { path });
  const text = await r.text();
  return r.ok ? { ...JSON.parse(text), depth: JSON.parse(text).depth + 1 } : { depth: 1, status: r.status, code: JSON.parse(text).code };
};
export const itself = (c: any) => next(c, c.config.functionName, '/itself');
export const other = (c: any) => next(c, c.config.functionName === 'ping' ? 'pong' : 'ping', '/other');
export const ran_ = () => ({ ran });
`

// ended is how a circle ended.
type ended struct {
	Depth, Status int
	Code          string
}

func (s *callSite) circle(handler string) (e ended) {
	s.Helper()
	status, text := s.ask("ping", handler, `{}`)
	if status != 200 || json.Unmarshal([]byte(text), &e) != nil {
		s.Fatalf("%s: %d %s", handler, status, text)
	}
	return e
}

func newCircle(t *testing.T, flags ...string) *callSite {
	t.Helper()
	s := &callSite{newSite(t)}
	if len(flags) > 0 {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		s.start(flags...)
	}
	for _, name := range []string{"ping", "pong"} {
		s.deployed(`{"name": "`+name+`", "runtime": "node"}`, circleSource)
	}
	return s
}

// A circle ends after ten calls, with an answer that says so.
func TestCalls_Circles(t *testing.T) {
	t.Parallel()
	s := newCircle(t)
	for _, handler := range []string{"itself", "other"} {
		if got, want := s.circle(handler), (ended{11, 508, "call_loop"}); got != want {
			t.Errorf("%s: %+v, want %+v", handler, got, want)
		}
	}
	if status, text := s.ask("ping", "ran_", "{}"); status != 200 || text != `{"ran":17}` {
		t.Errorf("after 11 and 6 runs: %s", text)
	}
}

// Functions that wait for one another's only place end in time.
func TestCalls_WaitingForOneAnother(t *testing.T) {
	t.Parallel()
	s := newCircle(t, "--max-in-flight", "1", "--queue-timeout", "300ms")
	for handler, depth := range map[string]int{"itself": 1, "other": 2} {
		if got, want := s.circle(handler), (ended{depth, 503, "queue_full"}); got != want {
			t.Errorf("%s: %+v, want %+v", handler, got, want)
		}
	}
}

// pid is the process of the caller's worker.
func (s *callSite) pid() int {
	s.Helper()
	var got struct{ Pid int }
	_, text := s.ask("caller", "environ", `{}`)
	if json.Unmarshal([]byte(text), &got) != nil || got.Pid == 0 {
		s.Fatal(text)
	}
	return got.Pid
}

// peak is the most memory that all workers of the site had, in MiB.
func (s *callSite) peak() (sum int) {
	s.Helper()
	for _, pid := range workers(s.data) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text); m != nil {
			kib, _ := strconv.Atoi(string(m[1]))
			sum += kib >> 10
		}
	}
	return sum
}

// What is streamed through two functions and back is whole, and in no memory.
func TestCalls_StreamedThrough(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)
	through := func(size int64) [sha256.Size]byte {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.gateway+"/fn/caller/through", io.LimitReader(&noise{}, size))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		h := sha256.New()
		if n, err := io.Copy(h, res.Body); err != nil || n != size || res.StatusCode != 200 {
			t.Fatalf("%d: %d bytes of %d: %v", res.StatusCode, n, size, err)
		}
		return [sha256.Size]byte(h.Sum(nil))
	}
	want := func(size int64) [sha256.Size]byte {
		h := sha256.New()
		io.Copy(h, io.LimitReader(&noise{}, size))
		return [sha256.Size]byte(h.Sum(nil))
	}
	for _, size := range []int64{0, 1, 65536, 300_001, 16 << 20} {
		if through(size) != want(size) {
			t.Errorf("%d bytes came back as others", size)
		}
	}
	before := s.peak()
	if through(128<<20) != want(128<<20) {
		t.Error("128 MiB came back as others")
	}
	if after := s.peak(); after > before+100 {
		t.Errorf("the workers had %d MiB before and %d MiB after 128 MiB went through both", before, after)
	}
}

// noise is bytes without end that repeat themselves late.
type noise struct{ n uint32 }

func (p *noise) Read(b []byte) (int, error) {
	for i := range b {
		p.n = p.n*1664525 + 1013904223
		b[i] = byte(p.n >> 24)
	}
	return len(b), nil
}

// Who goes away takes along what was done for them, two functions down.
func TestCalls_CallerGoesAway(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.gateway+"/fn/caller/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"])
	for range 2 {
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(err, res.StatusCode)
		}
		if _, err := io.ReadFull(res.Body, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	eventually(t, "the handler two functions down has ended", func() bool { _, ended := s.ran(); return ended == 2 })
}

// A worker that comes after another has a token of its own, and a deploy gives
// the function another identity.
func TestCalls_RestartAndRedeploy(t *testing.T) {
	t.Parallel()
	s := newCallSite(t)
	steal := func() string {
		var got struct{ Token string }
		if _, text := s.ask("caller", "steal", `{}`); json.Unmarshal([]byte(text), &got) != nil || got.Token == "" {
			t.Fatal(text)
		}
		return got.Token
	}
	who := func() string {
		var got struct {
			Identity struct{ KeyID, FunctionID string }
		}
		if r := s.relay("callee", `{"path": "/who"}`); json.Unmarshal([]byte(r.Body), &got) != nil || r.Status != 200 {
			t.Fatalf("%+v", r)
		}
		return got.Identity.KeyID
	}
	first, key := steal(), who()
	syscall.Kill(s.pid(), syscall.SIGKILL)
	eventually(t, "another worker serves", func() bool { status, _ := s.ask("caller", "environ", `{}`); return status == 200 })
	second := steal()
	if first == second || who() != key {
		t.Error("after a restart the token is the same, or the identity another")
	}
	s.deployed(callerManifest, callerSource+"\n// another version")
	if who() == key {
		t.Error("after a deploy the identity is the same")
	}
	// The callee too may be replaced between two calls.
	s.deployed(calleeManifest, calleeSource+"\n// another version")
	if r := s.relay("callee", `{"path": "/count"}`); r.Status != 200 || r.Body != `{"ran":1}` {
		t.Errorf("%+v", r)
	}

	// What was called is counted once, under who called.
	eventually(t, "usage has the four calls of the first deployment", func() bool {
		return regexp.MustCompile(key + `,[^,]*,4,0,`).MatchString(s.must("usage", "--by", "key", "--csv", "--from", "2020-01-01"))
	})
	if _, text := s.inside("GET / HTTP/1.1\r\nHost: callee.internal\r\nX-Postern-Token: " + second + "\r\nConnection: close\r\n\r\n"); !bytes.Contains([]byte(text), []byte("handler_not_found")) {
		t.Errorf("in its last minute the token of a replaced deployment: %s", text)
	}
}
