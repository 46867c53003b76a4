package console_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"postern.dev/postern/internal/httpx"
)

// stream asks for a stream of the project as a page does.
func (s *site) stream(path, last string) *http.Response {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), "GET", s.url+"/console/api/v1/projects/"+s.project+"/"+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	return res
}

// A session has fewer streams than its browser has connections; what is no stream, and
// another session, is not touched by that. One that ends makes room.
func TestWindows(t *testing.T) {
	s, _, _ := newLogs(t)
	var open []*http.Response
	for i, path := range []string{"events", "functions/loud/logs/stream", "events", "functions/loud/logs/stream?view=calls"} {
		res := s.stream(path, "")
		if res.StatusCode != 200 {
			t.Fatal(i, res.Status)
		}
		open = append(open, res)
	}
	for _, path := range []string{"events", "functions/loud/logs/stream"} {
		res := s.stream(path, "")
		var p httpx.Problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != 429 || p.Code != "windows_limited" || res.Header.Get("Retry-After") != "2" || res.Header.Get("Content-Type") != httpx.ContentType {
			t.Errorf("one more %s: %s %v %+v %v", path, res.Status, res.Header, p, err)
		}
	}
	if res := s.stream("functions/events/logs", ""); res.StatusCode != 404 {
		t.Errorf("a function of that name, which is not there: %s", res.Status)
	}
	s.want(s.get("functions/loud/logs"), 200, "data-stream")

	theirs := s.another()
	if res := theirs.stream("events", ""); res.StatusCode != 200 {
		t.Errorf("another session: %s", res.Status)
	}
	open[0].Body.Close()
	for deadline := time.Now().Add(30 * time.Second); s.stream("events", "").StatusCode != 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the place of a window that was closed is not free")
		}
	}
}

// What streams is over within seconds of signing out, and opens no more.
func TestWindows_EndWithTheSession(t *testing.T) {
	s, _, _ := newLogs(t)
	streams := []*http.Response{s.stream("events", ""), s.stream("functions/loud/logs/stream", "")}
	theirs := s.another()
	stays := theirs.stream("events", "")
	cookies := s.client.Jar.Cookies(streams[0].Request.URL)
	if p := s.post("/signout", nil); p.status != http.StatusSeeOther {
		t.Fatal(p.status)
	}
	for _, res := range streams {
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Error(err)
		}
	}
	s.client.Jar.SetCookies(streams[0].Request.URL, cookies) // who copied it has nothing
	if res := s.stream("events", ""); res.StatusCode != 401 {
		t.Errorf("after signing out: %s", res.Status)
	}
	if _, err := io.ReadFull(stays.Body, make([]byte, 5)); err != nil {
		t.Errorf("another session's stream: %v", err)
	}
}
