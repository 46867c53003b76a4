package gateway

import (
	"strings"
	"testing"
)

func TestCanonicalPath(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/b.c": "/a/b.c", "//a": "/a", "/a//b///": "/a/b", "/a/": "/a", "/%61": "/a", "/%2561": "/%61", "/a%20b": "/a b", "/a;v=1": "/a;v=1",
		"/%C3%A4": "/ä", "/.a": "/.a", "/a..b": "/a..b", "/...": "/...", "/a?x=/b": "/a", "http://h/a": "/a", "http://h": "/", "http://h?q": "/", "/fn/x/webhook": "/fn/x/webhook",
		"/a/..b": "/a/..b", "/%2e%2e%2e": "/...", "///": "/", "/~a_b-c": "/~a_b-c", "/%EF%BC%A1": "/Ａ", "/a+b": "/a+b", "/a@b:c": "/a@b:c",
	} {
		got, _, err := canonicalPath(target)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", target, got, err, want)
		}
	}
	if _, q, _ := canonicalPath("/a?x=%2e&y=?"); q != "x=%2e&y=?" {
		t.Errorf("query %q", q)
	}
	for _, target := range []string{
		"", "*", "a", "a:80", "/.", "/..", "/a/./b", "/a/../b", "/%2e", "/%2E%2e/b", "/a/.%2e", "/..;/b", "/..;x=1/b", "/%2e%2e;x/b", "/a/..", "/a/.;/b", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", `/a\b`,
		"/a%00", "/a%0a", "/a%0d%0ax", "/a%7f", "/a\x01", "/a\x7f", "/a b", "/a\tb", "/a#b", "/a?x#b", "/%", "/%1", "/%zz", "/%g0", "/a%", "/\xc3\xa4", "/%c3", "/%c0%ae%c0%ae/b", "/%c0%af", "/%ed%a0%80", "/%f5%80%80%80",
		"http:/h/../a", "http://h/..", "/%2e./b", "//..//b",
	} {
		if got, _, err := canonicalPath(target); err == nil {
			t.Errorf("%q is taken as %q", target, got)
		}
	}
}

// What comes out is plain: begins with a slash, has no empty or dot segments,
// and, but for characters that need encoding, is its own canonical form.
func FuzzCanonicalPath(f *testing.F) {
	seeds := []string{"/", "//a/", "/%61", "/a/..", "/%2e%2e", "/..;/x", "/%C3%A4", "/a?b#c", "http://h/a", "*", "/%25", "/a\x00", "/%2525252e"}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		p, _, err := canonicalPath(target)
		if err != nil {
			return
		}
		if !strings.HasPrefix(p, "/") || strings.Contains(p, "//") || len(p) > 1 && strings.HasSuffix(p, "/") || strings.ContainsAny(p, "\\\x00\r\n") {
			t.Fatalf("%q became %q", target, p)
		}
		for s := range strings.SplitSeq(p, "/") {
			if name, _, _ := strings.Cut(s, ";"); name == "." || name == ".." {
				t.Fatalf("%q became %q, with a dot segment", target, p)
			}
		}
		if isPlain(p) {
			if again, _, err := canonicalPath(p); err != nil || again != p {
				t.Fatalf("%q became %q, then %q (%v)", target, p, again, err)
			}
		}
	})
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"a.localhost": "a", "A.LocalHost:8080": "a", "a.localhost.": "a", "a.localhost.:80": "a", "a.b.localhost": "a.b",
		"localhost": "-", ".localhost": "-", "alocalhost": "-", "localhost:80": "-", "": "-", "127.0.0.1:80": "-", "[::1]:80": "-", "[::1]": "-", "a.localhost.evil": "-", "evil-localhost": "-",
	} {
		label, ok := below(host, "localhost")
		if !ok {
			label = "-"
		}
		if label != want {
			t.Errorf("%q: %q, want %q", host, label, want)
		}
	}
}
