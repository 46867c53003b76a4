package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/store/storetest"
)

// A callback that one node of two took the other does not take, nor both at
// once; what failed on the one may come again on the other.
func TestCallback_Nodes(t *testing.T) {
	t.Parallel()
	postgres, err := storetest.StartPostgres(t.Context(), os.Getenv("TEST_POSTGRES_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(postgres.Stop)
	dsn, err := postgres.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one := &target{site: &site{T: t, data: filepath.Join(t.TempDir(), "one")}, client: http.DefaultClient}
	one.start("--database", dsn)
	one.key = exports(one.stdout)
	one.sign()
	one.addr = strings.TrimPrefix(one.gateway, "http://")
	one.deployHooked("hooks", "ours")

	// The second node has the first one's keys and artefacts.
	two := &target{site: &site{T: t, data: filepath.Join(t.TempDir(), "two"), key: one.key}, client: http.DefaultClient}
	for _, name := range []string{"sealing.key", "artefacts"} {
		if err := copyTree(filepath.Join(two.data, name), filepath.Join(one.data, name)); err != nil {
			t.Fatal(err)
		}
	}
	two.start("--database", dsn)
	two.addr = strings.TrimPrefix(two.gateway, "http://")
	ran := func() int {
		a, _ := one.hookStatus("hooks")
		b, _ := two.hookStatus("hooks")
		return a + b
	}
	callback := func(path string, n int, sign func(*hook) []string) string {
		h := &hook{method: "POST", path: "/fn/hooks" + path, body: fmt.Sprintf(`{"id":"evt_%d"}`, n), secret: "ours", at: time.Now()}
		h.headers = sign(h)
		return h.text()
	}

	for n, sign := range []func(*hook) []string{stripeSigns, slackSigns, githubSigns, standardSigns} {
		path := []string{"/stripe", "/slack/T", "/github", "/standard"}[n]
		request := callback(path, n, sign)
		for i, g := range []*target{one, two, one, two} {
			want := 401
			if i == 0 {
				want = 200
			}
			if status, body := g.exchange(request); status != want {
				t.Errorf("%s, try %d: %d %s, want %d", path, i, status, body, want)
			}
		}
	}
	if n := ran(); n != 4 {
		t.Errorf("4 callbacks ran %d times", n)
	}

	// Each node's handler fails its first call.
	failing := callback("/failing", 10, githubSigns)
	for i, tc := range []struct {
		g      *target
		status int
	}{{one, 503}, {two, 503}, {one, 200}, {two, 401}, {one, 401}} {
		if status, body := tc.g.exchange(failing); status != tc.status {
			t.Errorf("what failed, try %d: %d %s, want %d", i, status, body, tc.status)
		}
	}
	if n := ran(); n != 5 {
		t.Errorf("5 callbacks ran %d times", n)
	}

	for n := range 5 {
		request := callback("/stripe", 100+n, stripeSigns)
		var wg sync.WaitGroup
		var taken, refused atomic.Int32
		for i := range 12 {
			wg.Go(func() {
				switch []*target{one, two}[i%2].raw(request) {
				case 200:
					taken.Add(1)
				case 401:
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 || refused.Load() != 11 {
			t.Errorf("of 12 at once %d are taken and %d refused", taken.Load(), refused.Load())
		}
	}
	if n := ran(); n != 10 {
		t.Errorf("10 callbacks ran %d times", n)
	}

	// With the database away nothing is taken; the gateway serves on otherwise.
	postgres.Stop()
	request := callback("/stripe", 200, stripeSigns)
	if status, body := two.exchange(request); status != 503 {
		t.Errorf("with the database away: %d %s", status, body)
	}
	if n := ran(); n != 10 {
		t.Errorf("with the database away a callback ran")
	}
}

func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			return os.MkdirAll(name, 0o700)
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o700)
		}
		if err == nil {
			err = os.WriteFile(name, data, 0o600)
		}
		return err
	})
}
