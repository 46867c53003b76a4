package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/bundle"
)

// ask sends bytes to a server with an administrator's key.
func ask(t *testing.T, k *app.Key, method, url string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(k.ID, k.Secret.Reveal())
	if req.Header.Set("Content-Type", "application/json"); method == "PUT" {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func running(t *testing.T, data string, flags ...string) *app.Server {
	t.Helper()
	s, err := app.New(t.Context(), load(t, data, flags...), "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	return s
}

// A secret that one node changes is had by the workers of another, without a
// call; what they do not start with leaves those that run.
func TestSecrets_OtherNodes(t *testing.T) {
	dsn := newDatabase(t)
	dir := t.TempDir()
	one := running(t, filepath.Join(dir, "one"), "database", dsn, "workers", "1")
	k := one.FirstKey()
	api := func(s *app.Server, path string) string {
		return s.ControlURL() + "/v1/projects/" + k.ProjectID + path
	}
	source := filepath.Join(dir, "f")
	for name, text := range map[string]string{"postern.json": `{"name":"f","runtime":"node","secrets":["TEAM"]}`,
		"function.ts": `export const auth = []; export const value = () => process.env.VALUE + '/' + process.env.TEAM + '/' + process.pid;`} {
		if err := os.MkdirAll(source, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := bundle.Build(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	must := func(method, url string, body string) {
		t.Helper()
		if status, text := ask(t, k, method, url, []byte(body)); status >= 300 {
			t.Fatalf("%s %s: %d %s", method, url, status, text)
		}
	}
	must("PATCH", api(one, "/secrets"), `{"set":{"TEAM":"t1"}}`)
	must("PUT", api(one, "/artefacts/"+a.Hash), string(a.Archive))
	must("POST", api(one, "/functions/f/deployments"), fmt.Sprintf(`{"artefact":%q,"secrets":{"VALUE":"v1"}}`, a.Hash))

	for _, name := range []string{"sealing.key", "artefacts"} { // what nodes have in common
		if err := os.MkdirAll(filepath.Join(dir, "two"), 0o700); err != nil {
			t.Fatal(err)
		}
		from, to := filepath.Join(dir, "one", name), filepath.Join(dir, "two", name)
		if info, err := os.Stat(from); err == nil && info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	two := running(t, filepath.Join(dir, "two"), "database", dsn, "workers", "1")
	value := func(s *app.Server) string {
		t.Helper()
		status, text := ask(t, k, "GET", s.GatewayURL()+"/fn/f/value", nil)
		if status != 200 {
			t.Errorf("a call failed: %d %s", status, text)
		}
		return text
	}
	has := func(s *app.Server, want string) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		got := ""
		for end := time.Now().Add(time.Minute); time.Now().Before(end) && !t.Failed(); <-tick.C {
			if got = value(s); strings.HasPrefix(got, want+"/") {
				return
			}
		}
		t.Fatalf("it has %q, want %q", got, want)
	}
	has(one, "v1/t1")
	has(two, "v1/t1")
	must("PATCH", api(one, "/functions/f/secrets"), `{"set":{"VALUE":"v2"}}`)
	if got := value(one); !strings.HasPrefix(got, "v2/t1/") {
		t.Errorf("where it was changed: %q", got)
	}
	has(two, "v2/t1")
	must("PATCH", api(two, "/secrets"), `{"set":{"TEAM":"t2"}}`)
	has(two, "v2/t2")
	has(one, "v2/t2")
	must("POST", api(two, "/secrets/rotateKeys"), "")
	before := value(one)
	must("PATCH", api(two, "/functions/f/secrets"), `{"set":{"TEAM":"own"}}`)
	has(one, "v2/own")
	if value(one) == before {
		t.Error("the worker is the same")
	}
	must("PATCH", api(one, "/functions/f/secrets"), `{"remove":["TEAM"]}`)
	has(two, "v2/t2")
}

// A server does not start with a key that opens nothing of what is there.
func TestSecrets_WrongKey(t *testing.T) {
	dir := t.TempDir()
	data, key := filepath.Join(dir, "data"), filepath.Join(dir, "secrets.key")
	start := func(flags ...string) error {
		t.Helper()
		s, err := app.New(t.Context(), load(t, data, flags...), "test", io.Discard)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		if k := s.FirstKey(); k != nil {
			if status, text := ask(t, k, "PATCH", s.ControlURL()+"/v1/projects/"+k.ProjectID+"/secrets", []byte(`{"set":{"A":"value"}}`)); status != 200 {
				t.Errorf("%d %s", status, text)
			}
		}
		cancel()
		return <-ended
	}
	if err := start("secrets-key", "file:"+key); err != nil {
		t.Fatal(err)
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "sealed with another key") {
		t.Errorf("with the key that is derived: %v", err)
	}
	if err := start("secrets-key", "file:"+filepath.Join(dir, "other.key")); err == nil {
		t.Error("another key is taken")
	}
	if err := start("secrets-key-before", "file:"+key); err != nil {
		t.Error(err)
	}
	if err := start("secrets-key", "file:"+key, "secrets-key-before", "derived"); err != nil { // and back
		t.Error(err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := start("secrets-key", "file:"+key); err == nil || !strings.Contains(err.Error(), "others may read") {
		t.Errorf("a key that others may read: %v", err)
	}
}
