package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// site is one data directory with the real program to serve it.
type site struct {
	*testing.T
	data string
	env  []string // of the commands: who they are and where the server is
	key  map[string]string
	*server
}

// newSite starts the real program for the first time.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, data: filepath.Join(t.TempDir(), "data")}
	s.start()
	s.key = exports(s.stdout)
	if s.key["POSTERN_KEY_SECRET"] == "" {
		t.Fatalf("no key at the first start: %q\n%s", s.stdout, s.log())
	}
	s.sign()
	return s
}

// start starts the server and fails the test if it does not come up. One worker
// serves each function, because handlers count in its memory, and nobody waits
// for a refusal, because all callers have one address.
func (s *site) start(flags ...string) {
	s.Helper()
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", s.data, "--log-format", "json", "--workers", "1", "--refusals-per-address", "0"}, flags...)
	var err error
	s.server, err = startServer(binary, "", os.Environ(), args)
	if err != nil || s.gateway == "" {
		s.Fatalf("server does not start: %v %v\n%s", err, s.server.err, s.log())
	}
	s.Cleanup(s.server.kill)
	s.sign()
}

// sign tells the commands who they are and where the server is now.
func (s *site) sign() {
	s.env = append(os.Environ(), "POSTERN_SERVER="+s.control)
	for name, value := range s.key {
		if name != "POSTERN_SERVER" {
			s.env = append(s.env, name+"="+value)
		}
	}
}

// command runs the program's command line against the site.
func (s *site) command(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) must(args ...string) string {
	s.Helper()
	out, err := s.command(args...)
	if err != nil {
		s.Fatalf("postern %v: %v\n%s\n%s", args, err, out, s.log())
	}
	return out
}

// project writes a function that tells its version.
func (s *site) project(dir, version string) {
	s.Helper()
	s.files(dir, map[string]string{
		"postern.json": `{"name": "live", "runtime": "node"}`,
		"function.ts":  fmt.Sprintf("export const auth = ['guarded'];\nexport function version() { return %q; }\nexport function guarded() { return 'in'; }\n", version),
	})
}

// deployed deploys a function that is written here, and returns what the
// command said.
func (s *site) deployed(manifest, source string) (said string) {
	s.Helper()
	dir := s.TempDir()
	s.files(dir, map[string]string{"postern.json": manifest, "function.ts": source})
	return s.must("functions", "deploy", dir)
}

// files writes files into a directory of its own.
func (s *site) files(dir string, files map[string]string) {
	s.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			s.Fatal(err)
		}
	}
}

// callers call one address again and again, and count what is no good answer.
type callers struct {
	stop          atomic.Bool
	calls, failed atomic.Int64
	first         atomic.Value // answer that was not good
	wg            sync.WaitGroup
}

func (s *site) callers(n int, path string, good func(status int, body string) bool) *callers {
	c := &callers{}
	for range n {
		c.wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for !c.stop.Load() {
				status, body := call(s.T, client, "GET", s.gateway+path, s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], "")
				if c.calls.Add(1); !good(status, body) {
					c.failed.Add(1)
					c.first.CompareAndSwap(nil, fmt.Sprintf("%d %s", status, body))
				}
			}
		})
	}
	return c
}

// end stops them: no call has failed, and there were some.
func (c *callers) end(t *testing.T, least int64) {
	t.Helper()
	c.stop.Store(true)
	c.wg.Wait()
	if c.failed.Load() > 0 || c.calls.Load() < least {
		t.Errorf("%d of %d calls failed, the first with %v", c.failed.Load(), c.calls.Load(), c.first.Load())
	}
}

// TestChaos_RedeployUnderLoad: a deploy drops nothing.
func TestChaos_RedeployUnderLoad(t *testing.T) {
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "live")
	s.project(dir, "v0")
	s.must("functions", "deploy", dir)

	load := s.callers(8, "/fn/live/guarded", func(status int, body string) bool { return status == http.StatusOK && body == "in" })
	for i := 1; i <= 5; i++ {
		s.project(dir, fmt.Sprintf("v%d", i))
		s.must("functions", "deploy", dir)
		if _, got := call(t, http.DefaultClient, "GET", s.gateway+"/fn/live/version", "", "", ""); got != fmt.Sprintf("v%d", i) {
			t.Errorf("after deploy %d: %s answers", i, got)
		}
	}
	load.end(t, 100)
}

// TestChaos_KillDuringDeploy kills the server at random moments of a deploy.
// Each time it comes back clean: a whole deployment answers, no worker is
// orphaned, and the key still opens what it opened.
func TestChaos_KillDuringDeploy(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "live")
	s.project(dir, "v0")
	begun := time.Now()
	s.must("functions", "deploy", dir)
	usual := time.Since(begun)

	current, finished := "v0", 0
	for i := range 20 {
		next := fmt.Sprintf("v%d", i+1)
		s.project(dir, next)
		at := hostOf(s.control)
		w := newWire(t, func() string { return at })
		cmd := exec.Command(binary, "functions", "deploy", dir, "--server", "http://"+w.ln.Addr().String())
		cmd.Env = s.env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deployed := make(chan error, 1)
		go func() { deployed <- cmd.Wait() }()
		moment := time.NewTimer(time.Duration(random.Int64N(int64(usual))))
		<-moment.C
		s.kill()
		var err error
		select {
		case err = <-deployed:
		case <-w.refused: // not done, and it would go on trying for twelve seconds
			cmd.Process.Kill()
			err = <-deployed
		}
		if err == nil {
			current = next // it said that it was done, so it must be
			finished++
			usual = usual * 3 / 4 // the first was slower, or the machine is quicker now
		} else {
			usual = usual * 9 / 8
		}
		eventually(t, "no worker outlives its server", func() bool { return len(workers(s.data)) == 0 })

		s.start()
		if strings.Contains(s.stdout, "psk_") {
			t.Fatalf("kill %d: the restart made another first key", i)
		}
		status, got := call(t, http.DefaultClient, "GET", s.gateway+"/fn/live/version", "", "", "")
		if status != http.StatusOK || got != current && got != next {
			t.Fatalf("kill %d: %d %q answers, want %q or %q\n%s", i, status, got, current, next, s.log())
		}
		current = got
		if status, _ := call(t, http.DefaultClient, "GET", s.gateway+"/fn/live/guarded", s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], ""); status != http.StatusOK {
			t.Fatalf("kill %d: the key opens nothing: %d", i, status)
		}
		if status, _ := call(t, http.DefaultClient, "GET", s.gateway+"/fn/live/guarded", "", "", ""); status != http.StatusUnauthorized {
			t.Fatalf("kill %d: the door stands open: %d", i, status)
		}
	}
	t.Logf("%d of 20 deploys were faster than the kill; a deploy takes %v", finished, usual)
	if finished > 17 {
		t.Errorf("only %d of 20 kills came during a deploy", 20-finished)
	}
	s.must("functions", "deploy", dir)
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v\n%s", err, s.log())
	}
}

// TestStop_FinishesCallsInFlight: asked to end, the server answers what it has
// begun, takes nothing new, and leaves no worker.
func TestStop_FinishesCallsInFlight(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	s.project(dir, "v0")
	slow := "export const auth = [];\nexport async function slow() { console.log('begun'); await new Promise((done) => setTimeout(done, 700)); return 'finished'; }\n"
	if err := os.WriteFile(filepath.Join(dir, "function.ts"), []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("functions", "deploy", dir)
	type answer struct {
		status int
		body   string
	}
	answers := make(chan answer, 4)
	for range cap(answers) {
		go func() {
			status, body := call(t, &http.Client{Transport: &http.Transport{}}, "GET", s.gateway+"/fn/live/slow", "", "", "")
			answers <- answer{status, body}
		}()
	}
	eventually(t, "all calls have begun", func() bool { return strings.Count(s.must("functions", "logs", "live"), "begun") == cap(answers) })
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v\n%s", err, s.log())
	}
	for range cap(answers) {
		if a := <-answers; a != (answer{http.StatusOK, "finished"}) {
			t.Errorf("a call in flight got %d %q", a.status, a.body)
		}
	}
	if left := workers(s.data); len(left) > 0 {
		t.Errorf("workers are left: %v", left)
	}
	if _, err := http.Get(s.gateway + "/fn/live/slow"); err == nil {
		t.Error("the gateway still listens")
	}
}
