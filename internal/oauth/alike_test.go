package oauth_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/auth/authtest"
	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/token"
)

// discard takes an answer and keeps its status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// A wrong secret and an unknown key get the same answer from each endpoint,
// byte for byte but for the request's ID, and after the same time, with other
// load and without. A server that looked for the key first would be found out.
func TestUnknownKeyIsLikeWrongSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, token.EdDSA)
	var ids [2][]string // of keys that there are, and of others
	for range 512 {
		k, _ := w.mint(nil)
		ids[0], ids[1] = append(ids[0], k.ID), append(ids[1], accesskey.NewID(time.Now()))
	}
	right, rightSecret := w.mint(nil)
	var secrets []string
	for range 4096 {
		secrets = append(secrets, accesskey.NewSecret().Reveal())
	}
	n := 0
	template := httptest.NewRequest("POST", oauth.TokenPath, nil)
	request := func(way int, path string, inForm bool) *http.Request {
		n++
		id, secret := ids[way][n%512], secrets[n%4096]
		r := *template
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.1:1", n>>8&0xff, n&0xff) // each within its limit
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		u := *r.URL
		u.Path, r.URL = path, &u
		form := grantForm + "&token=x"
		if inForm {
			form += "&client_id=" + id + "&client_secret=" + secret
		} else {
			r.Header["Authorization"] = []string{basic(id, secret)}
		}
		r.Body = io.NopCloser(strings.NewReader(form))
		return &r
	}
	for _, path := range []string{oauth.TokenPath, oauth.IntrospectPath, oauth.RevokePath} {
		for i := range 200 {
			var text [2]string
			for way := range text {
				rec := httptest.NewRecorder()
				w.ServeHTTP(rec, request(way, path, i%2 == 0))
				header := maps.Clone(rec.Header())
				delete(header, "X-Request-Id")
				text[way] = fmt.Sprint(rec.Code, header, rec.Body)
			}
			if text[0] != text[1] || text[0][:3] != "401" {
				t.Fatalf("%s: %s\n%s", path, text[0], text[1])
			}
		}
	}
	try := func(before func(*http.Request)) func(int) time.Duration {
		rec := &discard{header: http.Header{}}
		return func(way int) time.Duration {
			r := request(way, oauth.TokenPath, false)
			clear(rec.header)
			begun := time.Now()
			if before != nil {
				before(r)
			}
			w.ServeHTTP(rec, r)
			took := time.Since(begun)
			if rec.status != http.StatusUnauthorized {
				t.Fatal(rec.status)
			}
			return took
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
	early := func(r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if d := w.directory(); d.ByID(id) != nil {
			auth.Client(d, id, secret, time.Now())
		}
	}
	if got := authtest.Compare(10_000, try(early)); !got.Apart() {
		t.Errorf("a server that looks for the key first is not found out: %s", got)
	} else {
		t.Logf("key first: %s", got)
	}
	var stop atomic.Bool
	var load sync.WaitGroup
	load.Go(func() {
		for !stop.Load() {
			w.post(oauth.TokenPath, grantForm, as(right.ID, rightSecret))
		}
	})
	defer func() { stop.Store(true); load.Wait() }()
	alike("busy", 20_000)
}
