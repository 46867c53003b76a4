package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/store/storetest"
)

// node starts a node of an installation, and ends it with the test.
func node(t *testing.T, data, dsn string) (*app.Server, error) {
	t.Helper()
	s, err := app.New(t.Context(), load(t, data, "database", dsn, "issuer", "http://control.example", "public-url", "http://gateway.example"), "test", io.Discard)
	if err != nil {
		return nil, err
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
	return s, nil
}

// call asks a control plane for something with a key's secret or, where that
// is empty, with a token.
func call(t *testing.T, method, address, id, secret string, form url.Values) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if req.SetBasicAuth(id, secret); secret == "" {
		req.Header.Set("Authorization", "Bearer "+id)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// soon waits until whoever shows a credential at a node is answered so.
func soon(t *testing.T, s *app.Server, what, id, secret string, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		got, _ := call(t, "GET", s.ControlURL()+"/v1/whoami", id, secret, nil)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d, want %d", what, got, want)
		}
	}
}

// newDatabase is a database of a PostgreSQL that ends with the test.
func newDatabase(t *testing.T) (dsn string) {
	t.Helper()
	postgres, err := storetest.StartPostgres(t.Context(), os.Getenv("TEST_POSTGRES_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(postgres.Stop)
	if dsn, err = postgres.NewDatabase(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dsn
}

// Two nodes on one PostgreSQL take each other's keys and tokens, and an end
// that one of them is told of is an end on both.
func TestNodes(t *testing.T) {
	dsn := newDatabase(t)
	dir := t.TempDir()
	one, err := node(t, filepath.Join(dir, "one"), dsn)
	if err != nil {
		t.Fatal(err)
	}
	first := one.FirstKey()

	// A node with a sealing key of its own would take the signing keys away
	// from the others, or sign nothing: it does not start.
	_, err = node(t, filepath.Join(dir, "stranger"), dsn)
	if f, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(f.Hint, "sealing.key") {
		t.Fatalf("a node with another sealing key: %v", err)
	}
	sealing, err := os.ReadFile(filepath.Join(dir, "one", "sealing.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "two"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "two", "sealing.key"), sealing, 0o600); err != nil {
		t.Fatal(err)
	}
	two, err := node(t, filepath.Join(dir, "two"), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if two.FirstKey() != nil {
		t.Error("the second node made another first key")
	}

	tokenOf := func(s *app.Server, k *app.Key) string {
		t.Helper()
		status, body := call(t, "POST", s.ControlURL()+"/oauth2/token", k.ID, k.Secret.Reveal(), url.Values{"grant_type": {"client_credentials"}})
		var out struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal(body, &out); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		return out.Token
	}
	key, err := one.NewKey(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	soon(t, two, "the other node's key", key.ID, key.Secret.Reveal(), 200)
	oneToken, twoToken := tokenOf(one, key), tokenOf(two, key)
	soon(t, two, "a token of the other node", oneToken, "", 200)
	soon(t, one, "a token of the other node", twoToken, "", 200)

	if status, body := call(t, "POST", one.ControlURL()+"/oauth2/revoke", key.ID, key.Secret.Reveal(), url.Values{"token": {oneToken}}); status != 200 {
		t.Fatalf("end one token: %d %s", status, body)
	}
	soon(t, two, "a token that was ended on the other node", oneToken, "", 401)
	soon(t, two, "another token of the same key", twoToken, "", 200)

	if status, body := call(t, "DELETE", one.ControlURL()+"/v1/projects/"+first.ProjectID+"/accessKeys/"+key.ID, first.ID, first.Secret.Reveal(), nil); status != 200 {
		t.Fatalf("end the key: %d %s", status, body)
	}
	soon(t, two, "a key that was ended on the other node", key.ID, key.Secret.Reveal(), 401)
	soon(t, two, "its token", twoToken, "", 401)
}
