package gateway_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/auth/authtest"
)

// ways are a wrong secret of a key that there is, and of one that there is not,
// as many of each and in the same places of memory.
type ways struct {
	ids     [2][]string
	secrets []string
	next    int
}

func newWays(known []string) *ways {
	w := &ways{}
	for _, id := range known {
		w.ids[0], w.ids[1] = append(w.ids[0], id), append(w.ids[1], accesskey.NewID(time.Now()))
	}
	for range 4096 {
		w.secrets = append(w.secrets, accesskey.NewSecret().Reveal())
	}
	return w
}

// credential is the next one of a way.
func (w *ways) credential(way int) (id, secret string) {
	w.next++
	return w.ids[way][w.next%len(w.ids[way])], w.secrets[w.next%len(w.secrets)]
}

// busy keeps all processors but one at work on other requests until the test ends.
func busy(t *testing.T, work func()) {
	t.Helper()
	var stop atomic.Bool
	var load sync.WaitGroup
	for range max(runtime.GOMAXPROCS(0)-1, 1) {
		load.Go(func() {
			for !stop.Load() {
				work()
			}
		})
	}
	t.Cleanup(func() { stop.Store(true); load.Wait() })
}

// A wrong secret and an unknown key get the same answer, byte for byte but for
// the request's ID, after the same time. That a gateway which looked for the
// key first would be found out is part of the test.
func TestUnknownKeyIsLikeWrongSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var known []string
	for range 512 {
		id, _ := w.key(nil)
		known = append(known, id)
	}
	_, right := w.key(nil)
	w.load(t)
	ws := newWays(known)
	template := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
	request := func(way int) *http.Request {
		id, secret := ws.credential(way)
		r := *template
		r.Header = http.Header{"Authorization": {basic(id, secret)}}
		return &r
	}
	for range 200 {
		var text [2]string
		for way := range text {
			rec := httptest.NewRecorder()
			w.g.ServeHTTP(rec, request(way))
			id := rec.Header().Get("X-Request-Id")
			header := maps.Clone(rec.Header())
			delete(header, "X-Request-Id")
			text[way] = fmt.Sprint(rec.Code, header, string(bytes.ReplaceAll(rec.Body.Bytes(), []byte(id), []byte("ID"))))
		}
		if text[0] != text[1] || text[0][:3] != "401" {
			t.Fatalf("%s\n%s", text[0], text[1])
		}
	}
	try := func(before func(*http.Request)) func(int) time.Duration {
		rec := &discard{header: http.Header{}}
		return func(way int) time.Duration {
			r := request(way)
			clear(rec.header)
			begun := time.Now()
			if before != nil {
				before(r)
			}
			w.g.ServeHTTP(rec, r)
			return time.Since(begun)
		}
	}
	alike := func(name string, tries int) {
		if got := authtest.Compare(tries, try(nil)); got.Apart() {
			t.Errorf("%s: %s", name, got)
		} else {
			t.Logf("%s: %s", name, got)
		}
	}
	alike("quiet", 20_000)
	// As many a server does it: find the key, and only then look at its secret.
	early := func(r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if d := w.g.Keys(); d.ByID(id) != nil {
			auth.Client(d, id, secret, time.Now())
		}
	}
	if got := authtest.Compare(10_000, try(early)); !got.Apart() {
		t.Errorf("a server that looks for the key first is not found out: %s", got)
	} else {
		t.Logf("key first: %s", got)
	}
	busy(t, func() {
		r := *template
		r.Header = http.Header{"X-Api-Key": {right}}
		w.g.ServeHTTP(&discard{header: http.Header{}}, &r)
	})
	alike("busy", 20_000)
}

// discard takes an answer and keeps nothing of it.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
