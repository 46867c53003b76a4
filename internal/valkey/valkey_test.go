package valkey_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/state/statetest"
	"postern.dev/postern/internal/valkey"
)

// start starts a server on a socket of its own, and returns its URL and what
// ends it.
func start(t *testing.T, args ...string) (url string, end func()) {
	t.Helper()
	program, err := exec.LookPath("valkey-server")
	if err != nil {
		if program, err = exec.LookPath("redis-server"); err != nil {
			t.Fatal("neither Valkey nor Redis is installed; run `make test` as root, or: apt-get install redis-server")
		}
	}
	dir, err := os.MkdirTemp("", "postern-valkey-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(program, append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	end = func() { cmd.Process.Kill(); <-done }
	t.Cleanup(end)
	for until := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(socket); err == nil {
			return "unix://" + socket, end
		}
		if time.Now().After(until) {
			t.Fatal("the server does not start")
		}
		<-time.After(5 * time.Millisecond)
	}
}

func open(t *testing.T, url, installation string) *valkey.Cache {
	t.Helper()
	c, err := valkey.Open(t.Context(), url, installation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCache(t *testing.T) {
	t.Parallel()
	url, _ := start(t)
	statetest.Cache(t, open(t, url, "one"), statetest.Wall{})
}

// Two installations on one server see nothing of each other, and two nodes of
// one see the same.
func TestCache_Installations(t *testing.T) {
	t.Parallel()
	url, _ := start(t)
	var calls []statetest.Func
	for _, name := range []string{"one", "one", "two"} {
		s := state.New(state.Options{Cache: open(t, url, name), CacheEntries: 10, CacheBytes: 1000})
		calls = append(calls, s.For("fn-a"))
	}
	if _, err := calls[0](t.Context(), "cache.set", [][]byte{[]byte("k"), []byte("1"), []byte("60000")}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"1", "1", ""} {
		if out, err := calls[i](t.Context(), "cache.get", [][]byte{[]byte("k")}); err != nil || string(out[0]) != want {
			t.Errorf("node %d: %q, %v", i, out, err)
		}
	}
	if owners, err := open(t, url, "two").Owners(t.Context()); err != nil || len(owners) != 0 {
		t.Errorf("the other installation has %q, %v", owners, err)
	}
}

// A server that is gone is told as such, with no word of its address.
func TestCache_Away(t *testing.T) {
	t.Parallel()
	url, end := start(t, "--requirepass", "hunter2")
	if _, err := valkey.Open(t.Context(), url, "one"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without the password: %v", err)
	}
	url = strings.Replace(url, "unix://", "unix://:hunter2@", 1)
	c := open(t, url, "one")
	s := state.New(state.Options{Cache: c, CacheEntries: 10, CacheBytes: 1000})
	end()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for op, fields := range map[string][][]byte{"cache.get": {[]byte("k")}, "cache.keys": {nil, nil}, "cache.delete": {[]byte("k")}} {
		if out, err := s.For("fn-a")(ctx, op, fields); err == nil || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %q, %v", op, out, err)
		}
	}
	if _, err := valkey.Open(t.Context(), "redis://:hunter2@127.0.0.1:1/0", "one"); fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := valkey.Open(t.Context(), "redis://:hunter2@[::1", "one"); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("an address that does not parse: %v", err)
	}
}
