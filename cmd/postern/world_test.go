package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// transcript is what somebody has written so far; it is read meanwhile.
type transcript struct {
	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *transcript) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// server is a server process that a test started and that it ends.
type server struct {
	cmd              *exec.Cmd
	gateway, control string        // URLs, from the line that says "ready"
	stdout           string        // what it had written there when it was ready
	done             chan struct{} // closed when the process is gone and its output read
	err              error         // of the process; read after done
	stderr           transcript
}

// startServer runs `program args…` in dir and waits until it is ready or gone.
func startServer(program, dir string, env, args []string) (*server, error) {
	s := &server{cmd: exec.Command(program, args...), done: make(chan struct{})}
	s.cmd.Dir, s.cmd.Env = dir, env
	// A file, because it holds the key at the very moment the log says "ready".
	out, err := os.CreateTemp("", "postern-stdout")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	s.cmd.Stdout = out
	logs, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go s.follow(logs, ready)
	select {
	case <-ready:
	case <-s.done:
	case <-time.After(2 * time.Minute):
		s.kill()
	}
	text, err := os.ReadFile(out.Name())
	s.stdout = string(text)
	return s, err
}

// follow collects the log and takes the addresses from the line "ready".
func (s *server) follow(logs io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(logs)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.stderr.Write(append(lines.Bytes(), '\n'))
		var entry struct{ Msg, Gateway, Control string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "ready" && s.gateway == "" {
			s.gateway, s.control = entry.Gateway, entry.Control
			close(ready)
		}
	}
	s.err = s.cmd.Wait()
	close(s.done)
}

func (s *server) log() string { return s.stderr.text() }

// stop asks the server to end, as a service manager does, and waits for it.
func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		s.kill()
	}
	return s.err
}

// kill ends it without asking.
func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// exports reads the `export NAME=value` lines of a first start.
func exports(out string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			name, value, _ := strings.Cut(rest, "=")
			values[name] = value
		}
	}
	return values
}

// workers lists the processes that carry the mark of a worker and whose
// working directory or command lies below dir.
func workers(dir string) []int {
	var pids []int
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environ, []byte("POSTERN_INSTANCE=")) {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(path), "cwd"))
		if strings.HasPrefix(cwd, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually polls until ok, and fails the test after a generous time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// call makes one request and returns status and body; status 0 when there was
// no whole answer, which fails the test.
func call(t *testing.T, client *http.Client, method, url, id, secret, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, err.Error()
	}
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return 0, err.Error()
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
		return 0, err.Error()
	}
	return res.StatusCode, string(got)
}
