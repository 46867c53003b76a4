package console_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestStrangers_AreLedToSignIn(t *testing.T) {
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
	s := newSite(t)
	for _, path := range []string{"/nothing", "/assets/x/nothing.js", "/p/a/b/c/d"} {
		s.want(s.get(path), http.StatusNotFound, "there is no such page", "Sign out")
	}
}

func TestEveryAnswer_HasItsShield(t *testing.T) {
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
