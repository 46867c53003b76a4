package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
)

// shelf has files in a directory, and counts who asks for them.
type shelf struct {
	dir   string
	asked atomic.Int64
}

func (s *shelf) OpenFile(_ context.Context, d platform.Deployment, name string) (*os.File, error) {
	s.asked.Add(1)
	return os.Open(filepath.Join(s.dir, d.Artefact, filepath.FromSlash(name)))
}

var served = map[string]string{
	"public/index.html": "<p>hello", "public/docs/index.html": "<p>docs", "public/app.JS": "0123456789", "public/empty.txt": "", "public/secret.html": "<p>secret",
	"public/data": "bytes", "public/logo.svg": "<svg/>", "public/a b;c%.txt": "odd", "public/.well-known/x.txt": "known",
}

// newShelf is a world whose function serves files, of which secret.html is guarded.
func newShelf(t *testing.T) (*world, *shelf) {
	t.Helper()
	w, s := newWorld(t), &shelf{dir: t.TempDir()}
	w.g = gateway.New(gateway.Options{Files: s}, w.invoker)
	w.serve(t, s, "dep_1", served)
	w.load(t)
	return w, s
}

// serve makes a deployment with files the active one.
func (w *world) serve(t *testing.T, s *shelf, id string, files map[string]string) {
	t.Helper()
	d := w.src.active[fnID]
	d.ID, d.Artefact, d.Handlers = id, id, slices.Clone(handlers)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256([]byte(files[name]))
		h := platform.Handler{Name: name, Kind: platform.HandlerFile, Guard: platform.GuardOpen, File: &platform.File{Size: int64(len(files[name])), Hash: hex.EncodeToString(sum[:])}}
		if name == "public/secret.html" {
			h.Guard = platform.GuardKey
		}
		d.Handlers = append(d.Handlers, h)
		path := filepath.Join(s.dir, id, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(files[name]), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	w.src.active[fnID] = d
}

// fetch asks for a path below the function's address.
func (w *world) fetch(method, path string, header ...string) (*http.Response, string) {
	r := httptest.NewRequest(method, "/", nil)
	r.RequestURI, r.Host = path, slug+".localhost"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.g.ServeHTTP(rec, r)
	return rec.Result(), rec.Body.String()
}

func tagOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return `"` + hex.EncodeToString(sum[:])[:32] + `"`
}

// Files are sent whole, by their names' types, with how they may be kept.
func TestFile_Whole(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	for _, tc := range []struct{ path, kind, body string }{
		{"/", "text/html; charset=utf-8", "<p>hello"},
		{"/index.html", "text/html; charset=utf-8", "<p>hello"},
		{"/docs/", "text/html; charset=utf-8", "<p>docs"},
		{"/docs/index.html", "text/html; charset=utf-8", "<p>docs"},
		{"/app.JS", "text/javascript; charset=utf-8", "0123456789"},
		{"/app.JS/", "text/javascript; charset=utf-8", "0123456789"},
		{"//app.JS?v=1", "text/javascript; charset=utf-8", "0123456789"},
		{"/%61pp.JS", "text/javascript; charset=utf-8", "0123456789"},
		{"/empty.txt", "text/plain; charset=utf-8", ""},
		{"/data", "application/octet-stream", "bytes"},
		{"/logo.svg", "image/svg+xml", "<svg/>"},
		{"/a%20b;c%25.txt", "text/plain; charset=utf-8", "odd"},
		{"/.well-known/x.txt", "text/plain; charset=utf-8", "known"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			asked := s.asked.Load()
			res, body := w.fetch(method, tc.path)
			h, want := res.Header, tc.body
			if method == "HEAD" {
				want = ""
			}
			if res.StatusCode != 200 || body != want || h.Get("Content-Type") != tc.kind || h.Get("Content-Length") != fmt.Sprint(len(tc.body)) {
				t.Errorf("%s %s: %d %q %v", method, tc.path, res.StatusCode, body, h)
			}
			if h.Get("ETag") != tagOf(tc.body) || h.Get("Cache-Control") != "no-cache" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Last-Modified") != "" || h.Get("Accept-Ranges") != "bytes" || h.Get("X-Request-Id") == "" {
				t.Errorf("%s %s: %v", method, tc.path, h)
			}
			if method == "HEAD" && s.asked.Load() != asked {
				t.Errorf("HEAD %s opened the file", tc.path)
			}
		}
	}
	if n := w.invoker.acquired.Load(); n != 0 {
		t.Errorf("a worker was asked for %d times", n)
	}
}

// What is asked of versions and bytes (RFC 9110 §13 and §14).
func TestFile_ConditionsAndRanges(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	tag := tagOf("0123456789")
	for _, tc := range []struct {
		name, method string
		header       []string
		status       int
		body, span   string
	}{
		{"the version that is here", "GET", []string{"If-None-Match", tag}, 304, "", ""},
		{"one of several", "GET", []string{"If-None-Match", `"a", W/` + tag + `, "b"`}, 304, "", ""},
		{"on two lines", "GET", []string{"If-None-Match", `"a"`, "If-None-Match", tag}, 304, "", ""},
		{"any version", "GET", []string{"If-None-Match", "*"}, 304, "", ""},
		{"for its head", "HEAD", []string{"If-None-Match", tag}, 304, "", ""},
		{"another version", "GET", []string{"If-None-Match", `"a"`}, 200, "0123456789", ""},
		{"a part of the tag", "GET", []string{"If-None-Match", tag[:8]}, 200, "0123456789", ""},
		{"a time, of which there is none", "GET", []string{"If-Modified-Since", "Sat, 01 Jan 2050 00:00:00 GMT"}, 200, "0123456789", ""},
		{"the version that is meant", "GET", []string{"If-Match", tag}, 200, "0123456789", ""},
		{"not the version that is meant", "GET", []string{"If-Match", `"a"`}, 412, "", ""},
		{"a weak tag is not strong", "GET", []string{"If-Match", "W/" + tag}, 412, "", ""},

		{"some bytes", "GET", []string{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"from some byte on", "GET", []string{"Range", "bytes=7-"}, 206, "789", "bytes 7-9/10"},
		{"the last bytes", "GET", []string{"Range", "bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{"more than there are", "GET", []string{"Range", "bytes=8-99999999999999999999999"}, 206, "89", "bytes 8-9/10"},
		{"more last bytes than there are", "GET", []string{"Range", "bytes=-99"}, 206, "0123456789", "bytes 0-9/10"},
		{"the unit in another case", "GET", []string{"Range", "Bytes=0-0"}, 206, "0", "bytes 0-0/10"},
		{"the one that there is of two", "GET", []string{"Range", "bytes=0-0, 50-60"}, 206, "0", "bytes 0-0/10"},
		{"of the version that is here", "GET", []string{"Range", "bytes=0-0", "If-Range", tag}, 206, "0", "bytes 0-0/10"},
		{"of another version", "GET", []string{"Range", "bytes=0-0", "If-Range", `"a"`}, 200, "0123456789", ""},
		{"of a weak version", "GET", []string{"Range", "bytes=0-0", "If-Range", "W/" + tag}, 200, "0123456789", ""},
		{"of a time", "GET", []string{"Range", "bytes=0-0", "If-Range", "Sat, 01 Jan 2050 00:00:00 GMT"}, 200, "0123456789", ""},
		{"not changed goes before bytes", "GET", []string{"Range", "bytes=0-0", "If-None-Match", tag}, 304, "", ""},
		{"behind the end", "GET", []string{"Range", "bytes=10-"}, 416, "", "bytes */10"},
		{"no last bytes", "GET", []string{"Range", "bytes=-0"}, 416, "", "bytes */10"},
		{"of a head there are no parts", "HEAD", []string{"Range", "bytes=0-0"}, 200, "", ""},
		{"two Range headers", "GET", []string{"Range", "bytes=0-0", "Range", "bytes=1-1"}, 200, "0123456789", ""},
		{"another unit", "GET", []string{"Range", "lines=0-0"}, 200, "0123456789", ""},
		{"backwards", "GET", []string{"Range", "bytes=4-2"}, 200, "0123456789", ""},
		{"a sign", "GET", []string{"Range", "bytes=+1-2"}, 200, "0123456789", ""},
		{"a minus too many", "GET", []string{"Range", "bytes=--2"}, 200, "0123456789", ""},
		{"nothing", "GET", []string{"Range", "bytes="}, 200, "0123456789", ""},
		{"a dash", "GET", []string{"Range", "bytes=-"}, 200, "0123456789", ""},
		{"an empty one among others", "GET", []string{"Range", "bytes=0-0,,1-1"}, 200, "0123456789", ""},
		{"all of it twice", "GET", []string{"Range", "bytes=0-,0-"}, 200, "0123456789", ""},
		{"overlapping to more than all", "GET", []string{"Range", "bytes=0-5,1-6"}, 200, "0123456789", ""},
		{"a flood of them", "GET", []string{"Range", "bytes=" + strings.Repeat("0-0,", 2000) + "1-1"}, 200, "0123456789", ""},
		{"seventeen", "GET", []string{"Range", "bytes=" + strings.Repeat("99-,", 16) + "1-1"}, 200, "0123456789", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := s.asked.Load()
			res, body := w.fetch(tc.method, "/app.JS", tc.header...)
			if res.StatusCode >= 400 {
				if !strings.Contains(res.Header.Get("Content-Type"), "problem+json") {
					t.Errorf("refused with %q", body)
				}
				body = ""
			}
			if res.StatusCode != tc.status || body != tc.body || res.Header.Get("Content-Range") != tc.span {
				t.Errorf("%d %q %q, want %d %q %q", res.StatusCode, body, res.Header.Get("Content-Range"), tc.status, tc.body, tc.span)
			}
			if tc.status < 400 && res.Header.Get("ETag") != tag {
				t.Errorf("ETag %q", res.Header.Get("ETag"))
			}
			if opened := s.asked.Load() - asked; tc.body == "" && opened != 0 {
				t.Error("the file was opened for nothing")
			}
		})
	}
}

// Several ranges come as parts, with a length that is right.
func TestFile_SeveralRanges(t *testing.T) {
	t.Parallel()
	w, _ := newShelf(t)
	res, body := w.fetch("GET", "/app.JS", "Range", "bytes=0-1, 4-4, -2")
	kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || res.StatusCode != 206 || kind != "multipart/byteranges" || res.Header.Get("Content-Length") != fmt.Sprint(len(body)) || res.Header.Get("Content-Range") != "" {
		t.Fatalf("%d %v: %d bytes", res.StatusCode, res.Header, len(body))
	}
	var got []string
	for parts := multipart.NewReader(strings.NewReader(body), params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		text, _ := io.ReadAll(p)
		got = append(got, p.Header.Get("Content-Range")+" "+p.Header.Get("Content-Type")+" "+string(text))
	}
	const kindOf = " text/javascript; charset=utf-8 "
	if want := []string{"bytes 0-1/10" + kindOf + "01", "bytes 4-4/10" + kindOf + "4", "bytes 8-9/10" + kindOf + "89"}; !slices.Equal(got, want) {
		t.Errorf("parts %q", got)
	}
}

// An index that was asked for without its directory's slash sends there first,
// relative to what was asked, and nowhere else.
func TestFile_IndexSendsToItsDirectory(t *testing.T) {
	t.Parallel()
	w, _ := newShelf(t)
	for path, want := range map[string]string{"/docs": "./docs/", "/docs?a=b": "./docs/?a=b", "//docs": "./docs/", "/%64ocs": "./docs/", "/docs/": "", "/docs/index.html": "", "/": ""} {
		res, _ := w.fetch("GET", path)
		if got := res.Header.Get("Location"); got != want || want != "" && res.StatusCode != 307 {
			t.Errorf("%s: %d to %q, want %q", path, res.StatusCode, got, want)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RequestURI, r.Host = "/fn/"+slug, "127.0.0.1"
	rec := httptest.NewRecorder()
	w.g.ServeHTTP(rec, r)
	to, err := rec.Result().Location()
	if base, _ := url.Parse("http://127.0.0.1/fn/" + slug); err != nil || base.ResolveReference(to).String() != "http://127.0.0.1/fn/orders/" {
		t.Errorf("below /fn/: %v, %v", to, err)
	}
}

// A guarded file is a guarded handler: refused without a key, also its head, its
// parts and its version, and for its caller alone with one.
func TestFile_Guarded(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	id, secret := w.key(nil)
	foreignID, foreignSecret := w.key(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	w.load(t)
	tag := tagOf("<p>secret")
	for _, tc := range []struct {
		name, method string
		header       []string
		status       int
	}{
		{"nobody", "GET", nil, 401},
		{"nobody, for its head", "HEAD", nil, 401},
		{"nobody, with its version", "GET", []string{"If-None-Match", tag}, 401},
		{"nobody, for any version", "GET", []string{"If-None-Match", "*"}, 401},
		{"nobody, for bytes", "GET", []string{"Range", "bytes=0-0"}, 401},
		{"nobody, for bytes behind its end", "GET", []string{"Range", "bytes=999999-"}, 401},
		{"a wrong secret", "GET", []string{"Authorization", basic(id, foreignSecret)}, 401},
		{"another project's key", "GET", []string{"Authorization", basic(foreignID, foreignSecret)}, 403},
		{"a key", "GET", []string{"Authorization", basic(id, secret)}, 200},
		{"a key, in a header", "GET", []string{"X-Api-Key", secret}, 200},
		{"a key, with its version", "GET", []string{"Authorization", basic(id, secret), "If-None-Match", tag}, 304},
	} {
		asked := s.asked.Load()
		res, body := w.fetch(tc.method, "/secret.html", tc.header...)
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", tc.name, res.StatusCode, tc.status)
		}
		if tc.status >= 400 && (strings.Contains(body, "secret.html") || strings.Contains(body, "<p>") || res.Header.Get("ETag") != "" || s.asked.Load() != asked) {
			t.Errorf("%s: told of the file: %v %s", tc.name, res.Header, body)
		}
		if tc.status < 400 && res.Header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: Cache-Control %q", tc.name, res.Header.Get("Cache-Control"))
		}
	}
}

// replaced opens a file only after its deployment was replaced.
type replaced struct {
	*shelf
	while func()
}

func (r *replaced) OpenFile(ctx context.Context, d platform.Deployment, name string) (*os.File, error) {
	if r.while != nil {
		r.while()
	}
	return r.shelf.OpenFile(ctx, d, name)
}

// Who has begun to read a file reads it to its end, whatever is deployed and
// removed meanwhile; the next one gets the new file.
func TestFile_AcrossDeploys(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	r := &replaced{shelf: s}
	w.g = gateway.New(gateway.Options{Files: r}, w.invoker)
	w.load(t)
	r.while = func() {
		r.while = nil
		w.serve(t, s, "dep_2", map[string]string{"public/app.JS": "new"})
		w.src.change(platform.ChangeFunction, fnID, func() {})
		w.load(t)
	}
	if res, body := w.fetch("GET", "/app.JS"); res.StatusCode != 200 || body != "0123456789" {
		t.Errorf("in between: %d %q", res.StatusCode, body)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "dep_1")); err != nil {
		t.Fatal(err)
	}
	if res, body := w.fetch("GET", "/app.JS"); res.StatusCode != 200 || body != "new" {
		t.Errorf("afterwards: %d %q", res.StatusCode, body)
	}
	if res, _ := w.fetch("GET", "/logo.svg"); res.StatusCode != 404 {
		t.Errorf("a file that is gone: %d", res.StatusCode)
	}
	if slices.Index(w.invoker.retired, "dep_1") < 0 {
		t.Error("the old deployment was not retired")
	}
}

// A file that cannot be opened is a failure with nothing of it told.
func TestFile_ThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	w, s := newShelf(t)
	if err := os.Remove(filepath.Join(s.dir, "dep_1", "public", "app.JS")); err != nil {
		t.Fatal(err)
	}
	res, body := w.fetch("GET", "/app.JS")
	if res.StatusCode != 500 || strings.Contains(body, s.dir) || strings.Contains(body, fs.ErrNotExist.Error()) || res.Header.Get("ETag") != "" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	w.g = gateway.New(gateway.Options{}, w.invoker)
	w.load(t)
	if res, _ := w.fetch("GET", "/app.JS"); res.StatusCode != 503 {
		t.Errorf("without files: %d", res.StatusCode)
	}
}
