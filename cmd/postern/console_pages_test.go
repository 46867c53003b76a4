package main_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages finds what the console has by following its links, as somebody may who is
// signed in: of those that differ in names and numbers alone the first few.
func (h *hall) pages(cookie string) (list []string) {
	h.Helper()
	seen := map[string]bool{}
	count := map[string]int{}
	todo := []string{"/console/"}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		r, err := http.NewRequestWithContext(h.Context(), "GET", h.control+at, nil)
		h.ok(err)
		r.Header.Set("Cookie", cookie)
		res, err := http.DefaultClient.Do(r)
		h.ok(err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		h.ok(err)
		if res.StatusCode != http.StatusOK && os.Getenv("X") == "" {
			h.Errorf("%s: %d", at, res.StatusCode)
			continue
		}
		if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			continue
		}
		if at != "/console/" {
			list = append(list, at)
		}
		for _, m := range linkPattern.FindAllStringSubmatch(string(text), -1) {
			u, err := res.Request.URL.Parse(html.UnescapeString(m[1]))
			if err != nil || u.Host != res.Request.URL.Host || !strings.HasPrefix(u.Path, "/console") || strings.HasPrefix(u.Path, "/console/api/") {
				continue
			}
			u.Fragment = ""
			most := 2
			if u.RawQuery != "" {
				most = 1
			}
			if to := u.RequestURI(); !seen[to] && count[kindOf(u)] < most {
				seen[to] = true
				count[kindOf(u)]++
				todo = append(todo, to)
			}
		}
	}
	slices.Sort(list)
	return list
}

var (
	linkPattern = regexp.MustCompile(`<a [^>]*href="([^"]+)"`)
	namePattern = regexp.MustCompile(`(/p/|/functions/|/subprojects/|/users/|/groups/|/service-plans/|/api/)[^/]+|(?:pak|req|prj|dep|usr|fn|evt)[_-][0-9a-z]{16,}|(/)[0-9]+`)
)

// kindOf is the address of a page without what is a name in it.
func kindOf(u *url.URL) string {
	path := namePattern.ReplaceAllString(u.Path, "$1$2*")
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range u.Query() {
			if !yield(name) {
				return
			}
		}
	})
	return path + "?" + strings.Join(names, "&")
}

// TestConsole_Pages looks at every page that the console has, over a server full of
// hostile texts: on a desk and on a phone, light and dark, and without JavaScript.
func TestConsole_Pages(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	h.crowd()
	cookie := h.signedIn()
	list := h.pages(cookie)
	if len(list) < 40 {
		t.Fatalf("only %q", list)
	}
	for _, path := range list {
		u, err := url.Parse(path)
		h.ok(err)
		if name := pictureOf(u); name != "" {
			if _, err := os.Stat(filepath.Join(pictures, name+".png")); err != nil {
				t.Errorf("%s has no picture: %v; make screenshots", path, err)
			}
		}
	}
	host := strings.TrimPrefix(h.control, "http://")
	t.Run("after forms", func(t *testing.T) { h.states(t, cookie) })
	for _, s := range screens {
		cookie := h.signedIn() // each is a browser of its own
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := newTab(t).on(s)
			b.carries(h, cookie)
			v := b.watched()
			for _, path := range list {
				t.Run(strings.TrimPrefix(path, "/console"), func(t *testing.T) {
					b := &tab{t, b.ctx}
					b.opens(h.control + path)
					found := append(b.unsound(host, v), b.unseen()...)
					if !strings.Contains(path, "?") { // the others differ in what they show alone
						found = append(found, b.barriers("")...)
						b.scheme("dark")
						found = append(found, b.barriers("color-contrast")...)
						b.scheme("light")
					}
					for _, fault := range found {
						t.Error(fault)
					}
				})
			}
		})
	}
}

// What the walk looks for it finds, in a page that has all of it.
func TestConsole_PagesAreLookedAt(t *testing.T) {
	t.Parallel()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'")
		io.WriteString(w, `<!doctype html><html><title> · Postern</title><main><h1>one</h1><h1>two</h1><p style="color:red">x</p><img src="x"><img src="http://other.example/y.png">
			<table width="3000"><tr><td>wide</table><input><font color="#eeeeee">pale</font><script>console.log(1)</script></main>`)
	}))
	t.Cleanup(bad.Close)
	b := newTab(t).on(screens[1])
	v := b.watched()
	b.opens(bad.URL)
	found := strings.Join(slices.Concat(b.unsound(strings.TrimPrefix(bad.URL, "http://"), v), b.unseen(), b.barriers("")), "\n")
	for _, want := range []string{"2 headings", "wider than the window", "a text became part of the page: <img", "Content Security Policy", "label (critical)", "image-alt (critical)", "html-has-lang (serious)", "color-contrast (serious)", "after 1 times Tab"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not found in:\n%s", want, found)
		}
	}
}
