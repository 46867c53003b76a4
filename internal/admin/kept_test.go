package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/blob"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/state"
)

// Still implements admin.Deployer.
func (w *world) Still(_ context.Context, f platform.Function, do func() error) error {
	w.mu.Lock()
	w.acts = append(w.acts, "still "+f.Name)
	w.mu.Unlock()
	return do()
}

// shelf is one database for each function, of any bytes.
type shelf map[string]string

func (s shelf) Snapshot(_ context.Context, id string) (io.ReadCloser, int64, error) {
	text, ok := s[id]
	if !ok {
		return nil, 0, fault.New(fault.NotFound, "none").WithCode("database_missing")
	}
	return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
}

func (s shelf) Replace(_ context.Context, id string, from io.Reader, quietly func(func() error) error) (int64, error) {
	data, err := io.ReadAll(from)
	if err == nil && bytes.Contains(data, []byte("unsound")) {
		err = fault.New(fault.Invalid, "it is none").WithCode("database_invalid")
	}
	if err != nil {
		return 0, err
	}
	return int64(len(data)), quietly(func() error { s[id] = string(data); return nil })
}

// keeping is a world in which functions keep something.
func keeping(t *testing.T) (*world, shelf) {
	t.Helper()
	blobs, err := blob.OpenDirectory(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	s := shelf{}
	w := newWorld(t, func(o *admin.Options) {
		db := o.Store.(state.Index)
		o.Databases = s
		o.Storage = state.New(state.Options{Cache: &state.Memory{}, Index: db, Blobs: blobs, Registry: o.Store.(state.Registry), ObjectBytes: 1000, StorageObjects: 3, StorageBytes: 2000, Log: slog.New(slog.DiscardHandler)})
	})
	return w, s
}

// put uploads bytes, or what a reader gives.
func (w *world) put(path, key string, from io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPut, path, from)
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("X-API-Key", w.key[key])
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

func TestDatabase_Exchanged(t *testing.T) {
	t.Parallel()
	w, s := keeping(t)
	w.versions(t, "f", 1, 0)
	path := "/v1/projects/" + w.project + "/functions/f/database"
	if rec, p := w.do("GET", path, w.key["control"], ""); rec.Code != 404 || p.Code != "database_missing" {
		t.Errorf("none yet: %d %s", rec.Code, rec.Body)
	}
	if rec := w.put(path, "control", strings.NewReader("first")); rec.Code != 200 || rec.Body.String() != "{\"bytes\":5}\n" {
		t.Errorf("upload: %d %s", rec.Code, rec.Body)
	}
	rec, _ := w.do("GET", path, w.key["control"], "")
	if rec.Code != 200 || rec.Body.String() != "first" || rec.Header().Get("Content-Length") != "5" || rec.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("download: %d %q %v", rec.Code, rec.Body, rec.Header())
	}
	if diff := cmp.Diff([]string{"still f"}, w.acts); diff != "" {
		t.Error(diff)
	}
	for name, tc := range map[string]struct {
		path, key string
		from      io.Reader
		status    int
		code      string
	}{
		"no database":              {path, "control", strings.NewReader("unsound"), 400, "database_invalid"},
		"cut off":                  {path, "control", io.MultiReader(strings.NewReader("seco"), failing{}), 400, "body_malformed"},
		"a key for invoking":       {path, "invoke", strings.NewReader("second"), 403, "not_allowed"},
		"another project's key":    {path, "elsewhere", strings.NewReader("second"), 403, "not_allowed"},
		"no such function":         {strings.Replace(path, "/f/", "/none/", 1), "control", strings.NewReader("second"), 404, "function_not_found"},
		"one of another project's": {strings.Replace(path, w.project, w.elsewhere, 1), "elsewhere", strings.NewReader("second"), 404, "function_not_found"},
	} {
		rec := w.put(tc.path, tc.key, tc.from)
		if p := told(rec); rec.Code != tc.status || p.Code != tc.code || len(w.acts) != 1 || len(s) != 1 {
			t.Errorf("%s: %d %s; did %v", name, rec.Code, rec.Body, w.acts)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestStorage_Exchanged(t *testing.T) {
	t.Parallel()
	w, _ := keeping(t)
	w.versions(t, "f", 1, 0)
	path := "/v1/projects/" + w.project + "/functions/f/storage"
	object := func(key string) string { return path + "/object?key=" + url.QueryEscape(key) }
	for _, key := range []string{"a/1", "a/2", "ü b"} {
		if rec := w.put(object(key), "control", strings.NewReader("of "+key)); rec.Code != 200 {
			t.Fatalf("%s: %d %s", key, rec.Code, rec.Body)
		}
	}
	list := func(query string) (keys []string, next string) {
		t.Helper()
		rec, _ := w.do("GET", path+query, w.key["control"], "")
		var out api.Objects
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != 200 {
			t.Fatal(rec.Code, rec.Body, err)
		}
		for _, o := range out.Objects {
			keys = append(keys, fmt.Sprint(o.Key, " ", o.Bytes))
		}
		return keys, out.NextPageToken
	}
	first, next := list("?pageSize=2")
	rest, end := list("?pageSize=2&pageToken=" + url.QueryEscape(next))
	if diff := cmp.Diff([]string{"a/1 6", "a/2 6", "ü b 7"}, append(first, rest...)); diff != "" || end != "" {
		t.Errorf("%s, then %q", diff, end)
	}
	if below, _ := list("?prefix=a/"); len(below) != 2 {
		t.Errorf("below a/: %v", below)
	}
	if rec, _ := w.do("GET", object("ü b"), w.key["control"], ""); rec.Code != 200 || rec.Body.String() != "of ü b" || rec.Header().Get("Content-Length") != "7" {
		t.Errorf("download: %d %s", rec.Code, rec.Body)
	}
	for name, tc := range map[string]struct {
		method, path, key, body string
		status                  int
		code                    string
	}{
		"not there":                   {"GET", object("a/3"), "control", "", 404, "object_not_found"},
		"a path that leads up":        {"GET", object("../a"), "control", "", 400, "storage_key_invalid"},
		"an absolute path":            {"PUT", object("/a"), "control", "x", 400, "storage_key_invalid"},
		"a control character":         {"PUT", object("a\x00b"), "control", "x", 400, "storage_key_invalid"},
		"no key":                      {"GET", path + "/object", "control", "", 422, "invalid_request"},
		"an empty key":                {"DELETE", object(""), "control", "", 422, "invalid_request"},
		"too large":                   {"PUT", object("a/1"), "control", strings.Repeat("x", 1001), 413, "storage_object_too_large"},
		"one object too many":         {"PUT", object("b"), "control", "x", 409, "storage_full"},
		"nothing to delete":           {"DELETE", object("a/3"), "control", "", 404, "object_not_found"},
		"of no function":              {"GET", strings.Replace(object("a/1"), "/f/", "/none/", 1), "control", "", 404, "function_not_found"},
		"a key for invoking":          {"GET", object("a/1"), "invoke", "", 403, "not_allowed"},
		"another project's key":       {"DELETE", object("a/1"), "elsewhere", "", 403, "not_allowed"},
		"its own of that name":        {"GET", strings.Replace(object("a/1"), w.project, w.elsewhere, 1), "elsewhere", "", 404, "function_not_found"},
		"the list, of another":        {"GET", path, "elsewhere", "", 403, "not_allowed"},
		"more than a page":            {"GET", path + "?pageSize=1001", "control", "", 422, "invalid_request"},
		"a page token that is no key": {"GET", path + "?pageToken=%ff", "control", "", 400, "storage_key_invalid"},
	} {
		var rec *httptest.ResponseRecorder
		if tc.method == "PUT" {
			rec = w.put(tc.path, tc.key, strings.NewReader(tc.body))
		} else {
			rec, _ = w.do(tc.method, tc.path, w.key[tc.key], tc.body)
		}
		if p := told(rec); rec.Code != tc.status || p.Code != tc.code {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if rec := w.put(object("a/1"), "control", io.MultiReader(strings.NewReader("new"), failing{})); rec.Code != 400 || told(rec).Code != "body_malformed" {
		t.Errorf("cut off: %d %s", rec.Code, rec.Body)
	}
	if rec, _ := w.do("GET", object("a/1"), w.key["control"], ""); rec.Body.String() != "of a/1" {
		t.Errorf("what was refused has changed it: %s", rec.Body)
	}
	if rec, _ := w.do("DELETE", object("a/1"), w.key["control"], ""); rec.Code != 204 {
		t.Errorf("delete: %d %s", rec.Code, rec.Body)
	}
	if keys, _ := list(""); len(keys) != 2 {
		t.Errorf("left: %v", keys)
	}
}
