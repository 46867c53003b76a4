package console_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/console"
	"postern.dev/postern/internal/store"
)

func TestStrangers_AreLedToSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.client.Jar = nil
	for _, path := range []string{"", "/", "/p/x", "/p/" + s.project + "/functions", "/api/v1/whoami"} {
		p := s.get("/" + strings.TrimPrefix(path, "/"))
		switch {
		case strings.HasPrefix(path, "/api"):
			s.want(p, http.StatusUnauthorized)
		case path == "/p/"+s.project+"/functions": // until the page is there
		case p.status != http.StatusSeeOther || !strings.HasPrefix(p.header.Get("Location"), "/console/signin"):
			t.Errorf("%s: %d, Location %q", path, p.status, p.header.Get("Location"))
		}
	}
}

func TestStrayPaths_AreAPageOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/nothing", "/assets/x/nothing.js", "/p/a/b/c/d"} {
		s.want(s.get(path), http.StatusNotFound, "there is no such page", "Sign out")
	}
}

// Of an address that takes a form alone the page above is that of the same things,
// whatever they are called.
func TestStrayPaths_OfForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for path, want := range map[string]string{
		"/account/code/off":                       "/console/account/code",
		"/p/a/users/b/remove":                     "/console/p/a/users/b",
		"/p/a%3Fb/users/c%23d/remove":             "/console/p/a%3Fb/users/c%23d",
		"/p/a%0D%0AX:b/users/c/remove":            "/console/p/a%0D%0AX:b/users/c",
		"/p/a%2F..%2F..%2Faccount/users/b/remove": "/console/p/a%2F..%2F..%2Faccount/users/b",
		"/p/%3Cb%3E/users/%5Cb.example/remove":    "/console/p/%3Cb%3E/users/%5Cb.example",
	} {
		if p := s.get(path); p.status != http.StatusSeeOther || p.header.Get("Location") != want {
			t.Errorf("%s: %d, Location %q, not %q", path, p.status, p.header.Get("Location"), want)
		}
	}
	s.want(s.get("/signout"), http.StatusNotFound)
}

func TestEveryAnswer_HasItsShield(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/", "/nothing", "/assets/x/style.css", "/api/v1/whoami"} {
		h := s.get(path).header
		csp := h.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestAPI_TakesTheSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("/api/v1/whoami"), 200, s.project)
	if p := s.send("POST", "/api/v1/projects/"+s.project+"/accessKeys", nil); p.status != 403 || !strings.Contains(p.body, "signin_forged") {
		t.Errorf("without a token: %d %s", p.status, p.body)
	}
}

func TestVendored_IsWhatItWas(t *testing.T) {
	sums, err := os.ReadFile("vendored/SUMS")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(sums)); lines.Scan(); n++ {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		data, err := os.ReadFile("vendored/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s has changed", name)
		}
	}
	if n != 3 {
		t.Errorf("%d files, not 3", n)
	}
}

func TestTemplates_HaveNothingInline(t *testing.T) {
	list, err := os.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".html") {
			continue
		}
		data, err := os.ReadFile("assets/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if m := inlineStyle.Find(data); m != nil {
			t.Errorf("%s: %s, which the policy of the page forbids", e.Name(), m)
		}
	}
}

// Over HTTPS a cookie is of this host alone, and no name without the prefix counts.
func TestCookies_OverHTTPS(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := console.New(console.Options{Accounts: account.New(account.Options{Store: db}), Issuer: "https://control.example", Log: slog.New(slog.DiscardHandler)})
	ask := func(method, cookie, origin string, form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/console/signin", strings.NewReader(form.Encode()))
		r.Header = http.Header{"Cookie": {cookie}, "Content-Type": {"application/x-www-form-urlencoded"}}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		rec := httptest.NewRecorder()
		c.ServeHTTP(rec, r)
		return rec
	}
	first := ask("GET", "", "", nil)
	set := first.Header().Get("Set-Cookie")
	value, _, _ := strings.Cut(strings.TrimPrefix(set, "__Host-postern-console-form="), ";")
	if want := "__Host-postern-console-form=" + value + "; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict"; set != want {
		t.Fatalf("%q, want %q", set, want)
	}
	form := url.Values{"csrf": {csrfField.FindStringSubmatch(first.Body.String())[1]}, "username": {"ann"}, "password": {"x"}}
	for _, tc := range []struct {
		name, cookie, origin string
		want                 int
	}{
		{"its own", "__Host-postern-console-form=" + value, "https://control.example", 401},
		{"without the prefix", "postern-console-form=" + value, "https://control.example", 403},
		{"from HTTP", "__Host-postern-console-form=" + value, "http://control.example", 403},
		{"from a name below", "__Host-postern-console-form=" + value, "https://a.control.example", 403},
	} {
		if got := ask("POST", tc.cookie, tc.origin, form); got.Code != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got.Code, tc.want)
		}
	}
}
