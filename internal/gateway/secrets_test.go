package gateway_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
)

// safe is what functions keep secret, and can be closed.
type safe struct {
	mu     sync.Mutex
	stored map[string]string // by owner and name; guarded by mu
	read   map[string]string // as it was read last; guarded by mu
	shut   error             // guarded by mu
	told   []string          // functions that may have other secrets; guarded by mu
}

func (s *safe) Refresh(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = map[string]string{}
	for k, v := range s.stored {
		s.read[k] = v
	}
	return nil
}

func (s *safe) Secret(d platform.Deployment, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.read[d.FunctionID+" "+name]; v != "" {
		return v, s.shut
	}
	if slices.Contains(d.SecretNames, name) {
		return s.read[d.ProjectID+" "+name], s.shut
	}
	return "", nil
}

func (s *safe) set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored[name] = value
}

func (s *safe) Changed(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, ids...)
}

func (s *safe) open(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = err
}

// Callbacks are verified with the secrets of now: the function's own, and those
// of its project that it declares. Whoever starts workers is told.
func TestSecrets_FollowsChanges(t *testing.T) {
	t.Parallel()
	encoded := func(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }
	s := &safe{stored: map[string]string{fnID + " VOICE_APPLICATION_KEY": "app", project + " VOICE_APPLICATION_SECRET": encoded("the shared one")}}
	w := newWorld(t)
	w.g = gateway.New(gateway.Options{Secrets: s, Changed: s.Changed}, w.invoker)
	w.load(t)
	w.follow(t)
	verified := func(what, key string, want int) { // 503: it was let through, and there is no worker
		t.Helper()
		if res, p := w.send(signedCallback(key, time.Now())); res.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", what, res.StatusCode, p.Code, want)
		}
	}
	verified("a shared secret that is not declared", "the shared one", 401)
	w.applied(t, w.src.change(platform.ChangeFunction, fnID, func() {
		d := w.src.active[fnID]
		d.SecretNames = []string{"VOICE_APPLICATION_SECRET"}
		w.src.active[fnID] = d
	}))
	verified("declared", "the shared one", 503)
	s.set(project+" VOICE_APPLICATION_SECRET", encoded("the next one"))
	verified("before the log tells of it", "the next one", 401)
	w.applied(t, w.src.change(platform.ChangeSecret, project, func() {}))
	verified("the next one", "the next one", 503)
	verified("the one before", "the shared one", 401)
	s.set(fnID+" VOICE_APPLICATION_SECRET", encoded("its own"))
	w.applied(t, w.src.change(platform.ChangeSecret, fnID, func() {}))
	verified("its own", "its own", 503)
	verified("the shared one", "the next one", 401)
	w.applied(t, w.src.change(platform.ChangeSecret, "fn-of-nobody", func() {}))
	s.mu.Lock()
	if !slices.Equal(s.told, []string{fnID, fnID, fnID}) {
		t.Errorf("told of %v", s.told)
	}
	s.mu.Unlock()
}

// What does not open lets nobody in, says that it passes, and is tried again.
func TestSecrets_Sealed(t *testing.T) {
	t.Parallel()
	s := &safe{stored: map[string]string{fnID + " VOICE_APPLICATION_KEY": "app", fnID + " VOICE_APPLICATION_SECRET": base64.StdEncoding.EncodeToString([]byte("its own"))}, shut: errors.New("the keeper is away")}
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Variables = map[string]string{"VOICE_APPLICATION_SECRET": base64.StdEncoding.EncodeToString([]byte("a variable"))}
	w.src.active[fnID] = d
	w.g = gateway.New(gateway.Options{Secrets: s}, w.invoker)
	w.load(t)
	w.follow(t)
	for _, key := range []string{"its own", "a variable"} {
		if res, p := w.send(signedCallback(key, time.Now())); res.StatusCode != 503 || p.Code != "unavailable" || w.invoker.acquired.Load() != 0 {
			t.Errorf("sealed: %d %s, %d ran", res.StatusCode, p.Code, w.invoker.acquired.Load())
		}
	}
	w.want(t, "/fn/orders/status", 503, "queue_full") // other handlers are not shut: it asks for a worker
	s.open(nil)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		before := w.invoker.acquired.Load()
		if w.send(signedCallback("its own", time.Now())); w.invoker.acquired.Load() > before {
			return
		}
		if time.Now().After(end) {
			t.Fatal("it is never opened")
		}
	}
}
