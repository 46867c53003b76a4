package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/feed"
)

// telling is a world with a feed, and a real listener.
func telling(t *testing.T, change ...func(*admin.Options)) (*world, *feed.Feed, *httptest.Server) {
	t.Helper()
	f := feed.New()
	w, _, _, server := logged(t, append([]func(*admin.Options){func(o *admin.Options) { o.Feed = f }}, change...)...)
	return w, f, server
}

// events opens the stream of events, and reads its first line.
func (w *world) events(t *testing.T, server, key, last string) (*http.Response, *bufio.Reader) {
	t.Helper()
	res := w.follow(t, server, "../events", key, last)
	r := bufio.NewReader(res.Body)
	if line, err := r.ReadString('\n'); res.StatusCode == 200 && !strings.HasPrefix(line, ":") {
		t.Fatalf("it begins with %q, %v", line, err)
	}
	return res, r
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w, f, server := telling(t)
	res, r := w.events(t, server.URL, w.key["control"], "")
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Error(res.Header)
	}
	f.Tell(w.elsewhere, feed.Functions, "theirs")
	f.Tell(w.project, feed.Functions, "orders\n\nevent: resync\ndata: {}")
	f.Tell(w.project, feed.Policy)
	var got []string
	var ids []string
	for len(got) < 2 {
		one, id := sse(t, r, 1)
		got, ids = append(got, one...), append(ids, id...)
	}
	want := []string{`changed {"kind":"functions","names":["orders\n\nevent: resync\ndata: {}"]}`, `changed {"kind":"policy"}`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	res.Body.Close()
	f.Tell(w.project, feed.Keys, "pak_1")
	_, r = w.events(t, server.URL, w.key["control"], ids[1])
	if got, _ := sse(t, r, 2); got[0] != `changed {"kind":"keys","names":["pak_1"]}` || got[1] != `changed {"kind":"traffic"}` {
		t.Errorf("after the place: %q", got)
	}
	for _, last := range []string{"x", "1.2", strings.Repeat("9", 60), ids[1] + "0"} {
		_, r = w.events(t, server.URL, w.key["control"], last)
		if got, ids := sse(t, r, 1); !strings.HasPrefix(got[0], "resync ") || ids[0] == "" {
			t.Errorf("after %q: %q %q", last, got, ids)
		}
	}
}

// Who read everything at a time is told what changed since.
func TestEvents_Since(t *testing.T) {
	t.Parallel()
	w, f, server := telling(t)
	at := time.Now().UTC().Format(time.RFC3339Nano)
	f.Tell(w.project, feed.Keys, "pak_1")
	f.Tell(w.elsewhere, feed.Keys, "theirs")
	for query, want := range map[string]string{"since=" + at: `changed {"kind":"keys","names":["pak_1"]}`, "since=2026-01-01T00:00:00Z": "resync "} {
		res := w.follow(t, server.URL, "../events?"+query, w.key["control"], "")
		if got, _ := sse(t, bufio.NewReader(res.Body), 1); !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q", query, got)
		}
	}
	if res := w.follow(t, server.URL, "../events?since=yesterday", w.key["control"], ""); res.StatusCode != 422 {
		t.Errorf("a time that is none: %s", res.Status)
	}
}

func TestEvents_Refused(t *testing.T) {
	t.Parallel()
	w, _, server := telling(t)
	for name, tc := range map[string]struct {
		key, last string
		want      int
	}{
		"a key of another project": {w.key["elsewhere"], "", 403},
		"a key for calls":          {w.key["invoke"], "", 403},
		"an expired key":           {w.key["expired"], "", 401},
		"nobody":                   {"", "", 401},
		"a place too long":         {w.key["control"], strings.Repeat("9", 65), 422},
	} {
		if res, _ := w.events(t, server.URL, tc.key, tc.last); res.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d", name, res.Status, tc.want)
		}
	}
}

func TestEvents_End(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	w, f, server := telling(t, func(o *admin.Options) { o.Stopping = stopping })
	ends := func(name, key string, end func()) {
		t.Helper()
		_, r := w.events(t, server.URL, key, "")
		end()
		f.Tell(w.project, feed.Functions, "too late")
		if rest, err := io.ReadAll(r); err != nil || strings.Contains(string(rest), "too late") {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
	}
	ends("the key is revoked", w.key["admin"], func() {
		if rec, _ := w.do("DELETE", w.keys()+"/"+w.id["admin"], w.key["control"], ""); rec.Code >= 300 {
			t.Fatal(rec.Code, rec.Body)
		}
	})
	ends("the server stops", w.key["control"], func() { close(stopping) })
}

// A session's stream is over when somebody has signed out.
func TestEvents_EndWithTheSession(t *testing.T) {
	t.Parallel()
	w, _, _ := telling(t)
	url, signOut := w.signedIn(t)
	_, r := w.events(t, url, "", "")
	signOut()
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
}

// Streams of events and of logs are counted together.
func TestEvents_Bounds(t *testing.T) {
	t.Parallel()
	w, _, server := telling(t, func(o *admin.Options) { o.BasicRate, o.BasicBurst = 1000, 1000 })
	for i := range 100 {
		if i%2 == 0 {
			w.events(t, server.URL, w.key["control"], "")
		} else if res := w.follow(t, server.URL, "f/logs/stream", w.key["control"], ""); res.StatusCode != 200 {
			t.Fatal(i, res.Status)
		}
	}
	res, _ := w.events(t, server.URL, w.key["control"], "")
	if res.StatusCode != 429 {
		t.Errorf("one more: %s", res.Status)
	}
}

// One that reads nothing is sent what fits into its connection, and then holds a set.
func TestEvents_SlowReader(t *testing.T) {
	t.Parallel()
	w, f, server := telling(t)
	_, r := w.events(t, server.URL, w.key["control"], "")
	const n = 50_000
	for i := range n {
		f.Tell(w.project, feed.Functions, fmt.Sprint("function-", i, strings.Repeat("x", 50)))
	}
	f.Tell(w.project, feed.Keys, "last")
	for read := 0; ; read++ {
		events, _ := sse(t, r, 1)
		if strings.Contains(events[0], "last") {
			return
		}
		var e api.ChangedEvent
		if err := json.Unmarshal([]byte(strings.TrimPrefix(events[0], "changed ")), &e); err != nil || len(e.Names) > 200 || read > n/10 {
			t.Fatalf("after %d events: %.200q, %v", read, events[0], err)
		}
	}
}

// The client goes on behind what it was told.
func TestFollowEvents_OverCuts(t *testing.T) {
	t.Parallel()
	w, f, server := telling(t)
	c := &api.Client{Server: cutter(t, server.Listener.Addr().String(), 4000), ProjectID: w.project, KeyID: w.id["control"], Secret: w.key["control"]}
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const n = 300
	go func() {
		for !f.Followed() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		for i := range n {
			f.Tell(w.project, feed.Functions, fmt.Sprint(i))
			time.Sleep(time.Millisecond)
		}
	}()
	told, lost := map[string]bool{}, 0
	err := c.FollowEvents(ctx, func(error) { lost++ }, func(e api.ProjectEvent) error {
		if e.Resync != nil {
			t.Error(e.Resync.Text)
			return enough
		}
		for _, name := range e.Changed.Names {
			told[name] = true
		}
		if told[fmt.Sprint(n-1)] {
			return enough
		}
		return nil
	})
	if err != enough || len(told) != n || lost < 2 {
		t.Errorf("%v: told of %d, lost the connection %d times", err, len(told), lost)
	}
	c = &api.Client{Server: server.URL, ProjectID: w.elsewhere, KeyID: w.id["control"], Secret: w.key["control"]}
	if err := c.FollowEvents(t.Context(), nil, nil); fault.KindOf(err) != fault.Denied {
		t.Errorf("another project: %v", err)
	}
}
