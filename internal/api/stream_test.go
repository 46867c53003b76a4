package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/fault"
)

// Each of them is one request of the documented form.
func TestStream_Requests(t *testing.T) {
	t.Parallel()
	var got call
	s := httptest.NewServer(giving(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = call{r.Method + " " + r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(body)}
		io.WriteString(w, `{"bytes":3}`)
	}))
	defer s.Close()
	c := clientOf(s.URL)
	const bytes = "application/octet-stream"
	read := func(from io.ReadCloser, size int64, err error) error {
		if err != nil {
			return err
		}
		defer from.Close()
		text, err := io.ReadAll(from)
		if int64(len(text)) != size {
			t.Errorf("%d bytes of %d", len(text), size)
		}
		return err
	}
	for name, tc := range map[string]struct {
		do   func() error
		want call
	}{
		"database": {func() error { return read(c.DownloadDatabase(t.Context(), "f")) }, call{Line: "GET /v1/projects/prj_1/functions/f/database"}},
		"upload": {func() error {
			_, err := c.UploadDatabase(t.Context(), "f", strings.NewReader("abc"), 3)
			return err
		}, call{"PUT /v1/projects/prj_1/functions/f/database", bytes, "", "abc"}},
		"objects": {func() error { _, err := c.Objects(t.Context(), "f", "a&b/", "ü"); return err }, call{Line: "GET /v1/projects/prj_1/functions/f/storage?pageSize=1000&pageToken=%C3%BC&prefix=a%26b%2F"}},
		"object":  {func() error { return read(c.DownloadObject(t.Context(), "f", "a/../b&c")) }, call{Line: "GET /v1/projects/prj_1/functions/f/storage/object?key=a%2F..%2Fb%26c"}},
		"store": {func() error {
			_, err := c.UploadObject(t.Context(), "f", "a b", strings.NewReader(""), 0)
			return err
		}, call{"PUT /v1/projects/prj_1/functions/f/storage/object?key=a+b", bytes, "", ""}},
		"remove": {func() error { return c.DeleteObject(t.Context(), "f", "a") }, call{Line: "DELETE /v1/projects/prj_1/functions/f/storage/object?key=a"}},
	} {
		if tc.want.Authorization = "Bearer token"; tc.do() != nil || got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// Half of a file is no file, and what is refused is told as everywhere.
func TestStream_Failures(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(giving(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("key") {
		case "half":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "01234")
		case "none":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"code":"object_not_found","detail":"there is none","hint":"look"}`)
		case "redirect":
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
		case "waits":
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	c := clientOf(s.URL)
	from, size, err := c.DownloadObject(t.Context(), "f", "half")
	if err != nil || size != 10 {
		t.Fatal(size, err)
	}
	if _, err := io.ReadAll(from); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("half of it: %v", err)
	}
	from.Close()
	_, _, err = c.DownloadObject(t.Context(), "f", "none")
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.NotFound || f.Code != "object_not_found" || f.Hint != "look" {
		t.Errorf("none: %#v", err)
	}
	if _, _, err := c.DownloadObject(t.Context(), "f", "redirect"); err == nil || strings.Contains(err.Error(), testSecret) {
		t.Errorf("a redirect: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.DownloadObject(ctx, "f", "waits"); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

// With a token that has expired an upload begins again, from its beginning, once.
func TestStream_TokenRanOut(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	refusals := int64(1)
	s := httptest.NewServer(giving(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked.Add(1) <= refusals {
			w.Header()["Www-Authenticate"] = []string{`Bearer error="invalid_token", error_description="the token has expired"`}
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"bytes":`+strconv.Itoa(len(body))+`}`)
	}))
	defer s.Close()
	out, err := clientOf(s.URL).UploadObject(t.Context(), "f", "a", strings.NewReader("abc"), 3)
	if err != nil || out.Bytes != 3 || asked.Load() != 2 {
		t.Errorf("%+v, %v; asked %d times", out, err, asked.Load())
	}
	asked.Store(0)
	refusals = 9
	if _, err := clientOf(s.URL).UploadObject(t.Context(), "f", "a", strings.NewReader("abc"), 3); fault.KindOf(err) != fault.Unauthenticated || asked.Load() != 2 {
		t.Errorf("%v; asked %d times", err, asked.Load())
	}
}
