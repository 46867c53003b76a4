package main_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// Ways in that are none: keys that do not control, addresses to go on to, the page of
// the first user, again and at once.
func TestAttack_ConsoleSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.attackSetup()
	id, secret := h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"]
	invoke, invokeSecret := h.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	away, awaySecret := h.mint(func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} })
	bound, boundSecret := h.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingMTLS })
	gone, goneSecret := h.mint(nil)
	h.settle()
	if err := h.own().RevokeKey(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]url.Values{
		"a key without control": byKey(invoke.ID, invokeSecret), "a key of other networks": byKey(away.ID, awaySecret), "a key of tokens alone": byKey(bound.ID, boundSecret), "a revoked key": byKey(gone.ID, goneSecret),
		"another's secret": byKey(id, invokeSecret), "a secret as a password": byUser(id, secret), "a key's fields and a user's": {"key-id": {invoke.ID}, "key-secret": {invokeSecret}, "username": {"first"}, "password": {housePassword}},
	} {
		tried(t, name, form.Encode())
		if res, pair := h.enter(form); pair != "" || res.StatusCode < 400 {
			t.Errorf("%s: %d %q", name, res.StatusCode, pair)
		}
	}
	for _, next := range []string{"//evil.example", `/\evil.example`, `\\evil.example`, "https://evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x", "/console//evil.example", `/console/\evil.example`, "/console/../v1/whoami", "/console/%2e%2e/v1/whoami",
		"/console/%5c%5cevil.example", "/console/%2f%2fevil.example", "/console/\r\nSet-Cookie: a=b", "/console/%0d%0aSet-Cookie:%20a=b", "/console/\t//evil.example", "///evil.example/console/", "http:///evil.example", "//u@evil.example/console/", "/console.evil.example", "/consoles", "/fn/f", "?x", "#x", "/console/api/v1/whoami", strings.Repeat("/console/", 1000)} {
		tried(t, "next", next)
		form := byKey(id, secret)
		form.Set("next", next)
		res, pair := h.enter(form)
		to := res.Header.Get("Location")
		u, err := url.Parse(to)
		if res.StatusCode != 303 || pair == "" || err != nil || u.Host != "" || u.Scheme != "" || to != "/console/" && !strings.HasPrefix(to, "/console/console/") && !strings.HasPrefix(to, "/console/%2f%2f") || strings.Contains(to, `\`) || len(res.Header["Set-Cookie"]) > 3 {
			t.Errorf("%q leads to %d %q", next, res.StatusCode, to)
		}
	}
	cookie, _ := h.in(byKey(id, secret))
	for _, path := range []string{"/console/", "/console/signin", "/console/account", "/console/setup", "/console/nope", "/console/assets/x/style.css", "/console/api/v1/whoami", "/console/p/" + h.project + "/users", "/console/p/prj_none/users"} {
		for _, lines := range [][]string{{cookie}, {}} {
			tried(t, "a frame around "+path, strings.Join(lines, ""))
			res, _ := h.ask("GET", path, "", lines...)
			if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || res.Header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s: %v", path, res.Header)
			}
		}
	}
}

// attackSetup makes the first user: by who may not, again, and twenty at once.
func (h *house) attackSetup() {
	h.Helper()
	form := func(name, id, secret string) url.Values {
		return url.Values{"key-id": {id}, "key-secret": {secret}, "username": {name}, "new-password": {housePassword}, "again": {housePassword}}
	}
	setup := func(f url.Values) int {
		cookie, token := h.door("/console/setup")
		f.Set("csrf", token)
		res, _ := h.form("/console/setup", f, cookie)
		return res.StatusCode
	}
	count := func() int {
		users, err := h.db.Users(h.Context(), h.project, "", 100)
		if err != nil {
			h.Fatal(err)
		}
		return len(users)
	}
	id, secret := h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"]
	invoke, invokeSecret := h.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	small, smallSecret := h.mint(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl} })
	h.settle()
	for name, f := range map[string]url.Values{"nobody's key": form("a", "", ""), "a wrong secret": form("a", id, invokeSecret), "a key without control": form("a", invoke.ID, invokeSecret), "a key with less than a user": form("a", small.ID, smallSecret), "a name of markup": form("<b>", id, secret)} {
		tried(h.T, "the first user by "+name, f.Encode())
		if got := setup(f); got < 400 || count() != 0 {
			h.Errorf("%s: %d, %d users", name, got, count())
		}
	}
	tried(h.T, "the first user without a token", "")
	h.form("/console/setup", form("a", id, secret))
	if count() != 0 {
		h.Error("without a token: somebody was made")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	cookie, token := h.door("/console/setup")
	for i := range 12 {
		f := form(fmt.Sprint("first", i), id, secret)
		f.Set("csrf", token)
		tried(h.T, "the first user at once", strconv.Itoa(i))
		wg.Go(func() {
			res, _ := h.form("/console/setup", f, cookie)
			mu.Lock()
			defer mu.Unlock()
			statuses[res.StatusCode]++
		})
	}
	wg.Wait()
	if count() != 1 || statuses[303] != 1 {
		h.Errorf("%d users were made at once: %v", count(), statuses)
	}
	users, _ := h.db.Users(h.Context(), h.project, "", 1)
	if err := h.own().DeleteUser(h.Context(), users[0].ID); err != nil {
		h.Fatal(err)
	}
	f := form("again", id, secret)
	f.Set("csrf", token)
	for _, method := range []string{"GET", "POST"} {
		tried(h.T, "the first user again, by "+method, "")
		if res, _ := h.ask(method, "/console/setup", f.Encode(), cookie, formType); res.StatusCode != 404 || count() != 0 {
			h.Errorf("%s after the first: %d, %d users", method, res.StatusCode, count())
		}
	}
	tried(h.T, "the first user by the API", "")
	if _, err := h.own().CreateUser(h.Context(), api.CreateUserRequest{Name: "again", Password: housePassword, First: true}); err == nil || count() != 0 {
		h.Errorf("by the API: %v", err)
	}
}

// Guesses one by one and at once: the right password during a wait is refused as a
// wrong one is, and who is not there is told what who is there is.
func TestAttack_ConsoleGuesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ann := h.user("ann")
	cookie, token := h.door("/console/signin")
	send := func(form url.Values) (status int, pair, wait, body string) {
		form.Set("csrf", token)
		res, text := h.form("/console/signin", form, cookie)
		return res.StatusCode, set(res, sessionName), res.Header.Get("Retry-After"), text
	}
	tried(t, "nobody, and a wrong password", "")
	_, _, _, nobody := send(byUser("ben", "a wrong password"))
	_, _, _, wrong := send(byUser("ann", "a wrong password"))
	if strings.ReplaceAll(nobody, "ben", "ann") != wrong {
		t.Errorf("who is not there is told\n%s\nand who is\n%s", nobody, wrong)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 40 {
		form := byUser("ann", fmt.Sprint("a wrong password ", i))
		tried(t, "at once", form.Encode())
		wg.Go(func() {
			status, pair, _, _ := send(form)
			mu.Lock()
			defer mu.Unlock()
			if statuses[status]++; pair != "" {
				t.Errorf("guess %d is let in", i)
			}
		})
	}
	wg.Wait()
	if statuses[401] > 4 || statuses[401]+statuses[429]+statuses[503] != 40 {
		t.Errorf("of forty at once: %v", statuses)
	}
	for i := 0; ; i++ {
		tried(t, "one by one", strconv.Itoa(i))
		status, _, wait, _ := send(byUser("ann", "a wrong password"))
		if seconds, err := strconv.Atoi(wait); status == 429 && err == nil && seconds >= 1 {
			break
		}
		if i > 10 {
			t.Fatal("there is never a wait")
		}
	}
	for i := range 12 { // the waits double; within them the right password is none
		tried(t, "the right one during the wait", strconv.Itoa(i))
		send(byUser("ann", "a wrong password"))
		if status, pair, wait, _ := send(byUser("ann", housePassword)); status != 429 || pair != "" || wait == "" {
			t.Fatalf("during the wait: %d %q", status, pair)
		}
	}
	for i := range 25 {
		form := byKey(h.key["POSTERN_KEY_ID"], "psk_"+strings.Repeat(strconv.Itoa(i%10), 49))
		tried(t, "a key's secret", form.Encode())
		if status, pair, _, _ := send(form); status != 401 && status != 429 || pair != "" {
			t.Errorf("a guess at a key: %d %q", status, pair)
		}
	}
	if status, pair, _, _ := send(byKey(h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"])); status != 429 || pair != "" {
		t.Errorf("the right key during the wait: %d %q", status, pair)
	}
	eventually(t, "whose user and key it is can see the guesses", func() bool {
		events, err := h.db.AuditEvents(t.Context(), h.project, platform.AuditFilter{Action: "signIn", Outcome: platform.OutcomeRefused}, "", 100)
		targets := map[string]bool{}
		for _, e := range events {
			targets[e.Target] = true
		}
		return err == nil && targets[ann.UserID] && targets[h.key["POSTERN_KEY_ID"]]
	})
	if res, _ := h.ask("GET", "/v1/whoami", "", asBasic(h.key["POSTERN_KEY_ID"], h.key["POSTERN_KEY_SECRET"])); res.StatusCode != 200 {
		t.Errorf("the API is locked as well: %d", res.StatusCode)
	}
}
