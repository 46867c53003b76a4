package secret_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/secret"
)

// service is a KMS of AWS and a transit engine of Vault in one, as far as a
// keeper needs them. What it seals nobody else opens.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	sealed map[string][]byte
	how    atomic.Value // "": it works; else what goes wrong
	over   chan struct{}
	asked  atomic.Int64
}

func newService(t *testing.T) *service {
	s := &service{sealed: map[string][]byte{}, over: make(chan struct{})}
	s.how.Store("")
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { close(s.over); s.Close() })
	for name, value := range map[string]string{"VAULT_ADDR": s.URL, "VAULT_TOKEN": "t", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	aws := strings.HasPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	fail := func(status int, kind, text string) {
		w.WriteHeader(status)
		if aws {
			json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": text})
			return
		}
		json.NewEncoder(w).Encode(map[string][]string{"errors": {text}})
	}
	switch s.how.Load() {
	case "denied":
		fail(403, "AccessDeniedException", "permission denied")
		return
	case "broken":
		fail(500, "KMSInternalException", "internal")
		return
	case "odd":
		w.Write([]byte(`{"data":{}}`))
		return
	case "hangs":
		<-s.over
		return
	}
	var in struct {
		Plaintext, CiphertextBlob []byte
		Ciphertext                string
		KeyId                     string
	}
	json.NewDecoder(r.Body).Decode(&in)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := string(in.CiphertextBlob) + in.Ciphertext
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "Encrypt") || strings.Contains(r.URL.Path, "/encrypt/") {
		name = fmt.Sprintf("vault:v1:%d %v", len(s.sealed), aws)
		s.sealed[name] = in.Plaintext
		json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": []byte(name), "KeyId": "k", "data": map[string]any{"ciphertext": name}})
		return
	}
	plain, ok := s.sealed[name]
	if !ok || !strings.HasSuffix(name, fmt.Sprint(aws)) {
		fail(400, "InvalidCiphertextException", "cipher: message authentication failed")
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "KeyId": "k", "data": map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}})
}

// Every kind of keeper seals data keys, and only it opens them. These tests do
// not run in parallel: the services are told of by the environment.
func TestKeepers(t *testing.T) {
	s := newService(t)
	w := newWorld(t)
	d := w.deps["a/f"]
	file := "file:" + filepath.Join(w.dir, "secrets.key")
	urls := []string{"", file, "awskms://alias/postern?region=eu-central-1&endpoint=" + s.URL, "awskms:///arn:aws:kms:eu-central-1:111:key/1?endpoint=" + s.URL, "hashivault://postern"}
	before := "none"
	for i, url := range urls {
		v := w.vault(url, before)
		if err := v.Check(t.Context()); err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if done, err := v.Reseal(t.Context()); err != nil || done != min(i, 1) {
			t.Fatalf("%s: %d data keys sealed anew, %v", url, done, err)
		}
		if done, err := v.Reseal(t.Context()); err != nil || done != 0 {
			t.Errorf("%s: again: %d, %v", url, done, err)
		}
		w.set(v, d.FunctionID, secret.Values{"A": fmt.Sprint("value ", i), "FIRST": "stays"}, "NONE")
		again := w.vault(url, "none") // a restart
		if got := w.has(again, d, map[string]string{"A": fmt.Sprint("value ", i), "FIRST": "stays"}); got.Version == "" {
			t.Errorf("%s: no version", url)
		}
		asked := s.asked.Load()
		if w.has(again, d, map[string]string{"A": fmt.Sprint("value ", i), "FIRST": "stays"}); s.asked.Load() != asked {
			t.Errorf("%s: the keeper is asked for a data key twice", url)
		}
		if n, _, err := again.Rotate(t.Context(), d.ProjectID, time.Now()); err != nil || n != 1 {
			t.Errorf("%s: rotated %d, %v", url, n, err)
		}
		w.has(w.vault(url, "none"), d, map[string]string{"A": fmt.Sprint("value ", i), "FIRST": "stays"})
		if i > 0 && i != 3 { // of one KMS all keys open alike; the keeper before opens nothing any more, and is told so at the start
			err := w.vault(before, "none").Check(t.Context())
			wantCode(t, err, fault.Invalid, "keeper_wrong")
			_, err = w.vault(before, "none").Open(t.Context(), d)
			wantCode(t, err, fault.Unavailable, "keeper_wrong")
		}
		before = url
	}
	key, err := os.ReadFile(filepath.Join(w.dir, "secrets.key"))
	info, _ := os.Stat(filepath.Join(w.dir, "secrets.key"))
	if err != nil || len(key) != 32 || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %d bytes, %v, %v", len(key), info.Mode(), err)
	}
	if text, err := os.ReadFile(w.path); err != nil || bytes.Contains(text, []byte("value ")) || bytes.Contains(text, key) {
		t.Errorf("in the database is a value or a key (%v)", err)
	}
}

func TestKeepers_Away(t *testing.T) {
	s := newService(t)
	w := newWorld(t)
	d := w.deps["a/f"]
	for _, url := range []string{"hashivault://postern", "awskms://alias/postern?endpoint=" + s.URL} {
		s.how.Store("")
		w.set(w.vault(url, "none"), d.FunctionID, secret.Values{"A": "value"})
		for _, how := range []string{"denied", "broken", "odd"} {
			s.how.Store("")
			warm, cold := w.vault(url, "none"), w.vault(url, "none")
			w.has(warm, d, map[string]string{"A": "value"})
			s.how.Store(how)
			if err := cold.Check(t.Context()); err != nil {
				t.Errorf("%s: a keeper that is away stops the start: %v", how, err)
			}
			_, err := cold.Open(t.Context(), d)
			wantCode(t, err, fault.Unavailable, "keeper_away")
			if _, err := cold.Draft(t.Context(), w.deps["a/g"].FunctionID, secret.Values{"A": "x"}, nil, "", time.Now()); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: a first secret: %v", how, err)
			}
			if cold.Away().IsZero() || !warm.Away().IsZero() {
				t.Errorf("%s: away since %v and %v", how, cold.Away(), warm.Away())
			}
			w.has(warm, d, map[string]string{"A": "value"}) // it has been opened, and runs on
			// Callbacks wait without anybody waiting for them.
			if err := cold.Refresh(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if got, err := cold.Secret(d, "A"); got != "" || !errors.Is(err, secret.ErrNotYet) {
				t.Errorf("%s: %q, %v", how, got, err)
			}
			if err := cold.Settle(t.Context()); err == nil {
				t.Errorf("%s: settled", how)
			}
			s.how.Store("")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- cold.Run(ctx) }()
			for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				if got, err := cold.Secret(d, "A"); got == "value" && err == nil {
					break
				} else if time.Now().After(end) {
					t.Fatalf("%s: when it is back: %q, %v", how, got, err)
				}
			}
			cancel()
			if err := <-done; err != nil || !cold.Away().IsZero() {
				t.Errorf("%s: %v, away since %v", how, err, cold.Away())
			}
		}
		if _, err := w.db.ChangeSecrets(t.Context(), must(w.vault(url, "none").Draft(t.Context(), d.FunctionID, nil, []string{"A"}, "", time.Now()))); err != nil {
			t.Error(err)
		}
		if _, _, err := w.db.DeleteFunction(t.Context(), d.ProjectID, "f", time.Now()); err != nil {
			t.Fatal(err)
		}
		d = w.deploy(d.ProjectID, "f")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A keeper that hangs holds nobody for long, and not each one anew.
func TestKeepers_Hang(t *testing.T) {
	s := newService(t)
	w := newWorld(t)
	w.set(w.vault("hashivault://postern", "none"), w.deps["a/f"].FunctionID, secret.Values{"A": "value"})
	s.how.Store("hangs")
	v := w.vault("hashivault://postern", "none")
	began := time.Now()
	for range 20 {
		_, err := v.Open(t.Context(), w.deps["a/f"])
		wantCode(t, err, fault.Unavailable, "keeper_away")
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("20 in a row took %v", took)
	}
	time.Sleep(1100 * time.Millisecond) // it is asked again then
	_, err := v.Draft(t.Context(), w.deps["b/f"].FunctionID, secret.Values{"A": "value"}, nil, "", time.Now())
	wantCode(t, err, fault.Unavailable, "keeper_away")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	time.Sleep(1100 * time.Millisecond)
	if _, err := v.Open(ctx, w.deps["a/f"]); err == nil {
		t.Error("opened for a caller who went away")
	}
}

func TestOpenKeeper_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := filepath.Join(w.dir, "open.key")
	if err := os.WriteFile(open, bytes.Repeat([]byte("K"), 32), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"gcpkms://x", "hashivault://", "awskms://", "awskms:", "file:" + open, "file:" + w.dir, "nothing", "hashivault://k?engine=e&other=1", "http://x"} {
		_, err := secret.OpenKeeper(t.Context(), w.box, url)
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != fault.Invalid || e.Hint == "" || strings.Contains(err.Error(), "KKK") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
