package signin_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/signin"
)

const (
	user     = "ada"
	password = "correct horse"
)

var (
	key = signin.Key{7}
	now = time.Unix(1_800_000_000, 0)
)

func pairOf(t testing.TB, functionID, user, password string) *signin.Pair {
	t.Helper()
	p, err := key.Pair(functionID, user, password)
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	return p
}

func TestPair(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		user, password string
		made, err      bool
	}{
		"both":           {user, password, true, false},
		"neither":        {"", "", false, false},
		"no user":        {"", password, false, true},
		"no password":    {user, "", false, true},
		"seven bytes":    {user, "1234567", false, true},
		"eight bytes":    {user, "12345678", true, false},
		"not ASCII":      {"Åsa", "påssword", true, false},
		"a colon":        {"a:b", password, true, false},
		"as long as may": {strings.Repeat("u", 1024), strings.Repeat("p", 1024), true, false},
		"longer":         {user, strings.Repeat("p", 1025), false, true},
	} {
		p, err := key.Pair("fn-1", tc.user, tc.password)
		if (p != nil) != tc.made || (err != nil) != tc.err {
			t.Errorf("%s: %v, %v", name, p != nil, err)
		}
		if err != nil && (tc.user != "" && strings.Contains(err.Error(), tc.user) || tc.password != "" && strings.Contains(err.Error(), tc.password)) {
			t.Errorf("%s: the error tells: %v", name, err)
		}
	}
}

// A session opens with the pair that made it, unaltered and in its time, and
// with nothing else.
func TestSession(t *testing.T) {
	t.Parallel()
	p := pairOf(t, "fn-1", user, password)
	s := signin.Begin(now)
	value := p.Seal(s)
	if got, ok := p.Open(value, now); !ok || got != s {
		t.Fatal("it does not open")
	}
	otherKey, _ := signin.Key{8}.Pair("fn-1", user, password)
	for name, q := range map[string]*signin.Pair{"function": pairOf(t, "fn-2", user, password), "user": pairOf(t, "fn-1", "eve", password), "password": pairOf(t, "fn-1", user, "correct horsf"),
		"cut": pairOf(t, "fn-1", user+"c", password[1:]), "installation": otherKey} {
		if _, ok := q.Open(value, now); ok {
			t.Errorf("it opens with another %s", name)
		}
	}
	for i := range value {
		for _, c := range "AB-_=. é" {
			if altered := value[:i] + string(c) + value[i+1:]; altered != value {
				if _, ok := p.Open(altered, now); ok {
					t.Errorf("it opens with %q at %d", c, i)
				}
			}
		}
		if _, ok := p.Open(value[:i], now); ok {
			t.Errorf("it opens with %d characters", i)
		}
	}
	if strings.Contains(value, base64.RawURLEncoding.EncodeToString([]byte(password))[:8]) {
		t.Error("the password is in it")
	}
	for after, want := range map[time.Duration]bool{-6 * time.Second: false, -5 * time.Second: true, 0: true, time.Hour - time.Second: true, time.Hour: false, 12 * time.Hour: false} {
		if _, ok := p.Open(value, now.Add(after)); ok != want {
			t.Errorf("after %v: %t", after, ok)
		}
	}
	// In use it lives for twelve hours, and has one ID.
	at := now
	for at.Sub(now) < 11*time.Hour+30*time.Minute {
		at = at.Add(30 * time.Minute)
		got, ok := p.Open(value, at)
		next, renewed := got.Renewed(at)
		if !ok || !renewed || next.Token() != s.Token() || next.Left(at) > time.Hour {
			t.Fatalf("after %v: %t %t %v", at.Sub(now), ok, renewed, next.Left(at))
		}
		value = p.Seal(next)
	}
	if _, ok := p.Open(value, now.Add(12*time.Hour-time.Second)); !ok {
		t.Error("it ended before its time")
	}
	if _, ok := p.Open(value, now.Add(12*time.Hour)); ok {
		t.Error("it lives for more than twelve hours")
	}
	if _, ok := s.Renewed(now.Add(4 * time.Minute)); ok {
		t.Error("it is written at each request")
	}
	if !s.Token().ExpiresAt.Equal(now.Add(12*time.Hour)) || signin.Begin(now).Token().ID == s.Token().ID {
		t.Errorf("as a token it is %v", s.Token())
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	enc := base64.StdEncoding.EncodeToString
	for value, want := range map[string]string{
		"Basic " + enc([]byte("a:b")): "a/b", "bAsIc   " + enc([]byte("a:b")): "a/b", "Basic " + enc([]byte("a:b:c")): "a/b:c", "Basic " + enc([]byte(":")): "/", "Basic " + enc([]byte("ab")): "",
		"Basic": "", "": "", "Basic !": "", "Bearer " + enc([]byte("a:b")): "", "Basic " + enc([]byte("a:bc"))[:7]: "", "Basic YTpi\n": "", "Basic YTo/": "a/?", "Basic YTo_": "", "Basic " + enc([]byte("a:"+strings.Repeat("b", 4000))): "",
		"Basic YTpiYh==": "", // bits that mean nothing
	} {
		u, p, ok := signin.Basic(value)
		if got := u + "/" + p; ok != (want != "") || ok && got != want {
			t.Errorf("%.40q: %q %t, want %q", value, got, ok, want)
		}
	}
}

func TestNavigates(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"text/html": true, "TEXT/HTML": true, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true, "application/xhtml+xml": true, "application/json;q=0.9, text/html": true,
		"": false, "*/*": false, "application/json": false, "application/json, text/html": false, "text/html;q=0": false, "text/html;q=0.1, */*": false, "text/html;q=x": false, "text/html;q=NaN": false, "text/htmlx": false, "image/avif,*/*": false,
	} {
		if got := signin.Navigates(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
	if signin.Navigates(http.Header{"Accept": {"text/html", "text/html"}}) || signin.Navigates(http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"cors"}}) || signin.Navigates(nil) {
		t.Error("in doubt it is a page")
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a=1":                                      "a=1",
		"postern-session=x":                        "",
		"a=1; postern-session=x; b=2":              "a=1; b=2",
		"a=1;__Host-postern-session=x":             "a=1",
		"__Host-postern-form=x; postern-form=y":    "",
		"postern-session=x=y; a=1=2":               "a=1=2",
		"a=postern-session=x":                      "a=postern-session=x",
		"postern-session2=x":                       "postern-session2=x",
		"postern-session =x; a=1":                  "a=1",
		"postern-session; a=1":                     "a=1",
		"a=1; postern-session=x|postern-form=y|b=": "a=1|b=",
		"|":                                      "|",
		"postern-console=x; a=1":                 "a=1",
		"a=1; __Host-postern-console=x":          "a=1",
		"postern-console-form=x; b=2":            "b=2",
		"__Host-postern-console-form=x":          "",
		"postern-console2=x; __Host-a=1":         "postern-console2=x; __Host-a=1",
		"a=postern-console=x; Postern-Console=x": "a=postern-console=x; Postern-Console=x",
	} {
		h := http.Header{"Cookie": strings.Split(in, "|"), "X": {"1"}}
		signin.Cut(h)
		if got := strings.Join(h["Cookie"], "|"); got != strings.Trim(want, "|") || h.Get("X") != "1" {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	signin.Cut(http.Header{})
	h := http.Header{"Cookie": {"postern-session=a; postern-console=b; __Host-postern-console-form=c; d=e", "postern-console=b"}}
	if signin.CutConsole(h); !cmp.Equal(h["Cookie"], []string{"postern-session=a; d=e"}) {
		t.Errorf("the console's alone: %q", h["Cookie"])
	}
}

func TestJar(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"postern-session=x": "x", "a=1; postern-session=x": "x", "postern-session=x; postern-session=x": "", "postern-session=; postern-session=x": "", "__Host-postern-session=x": "", "postern-session =x": "", "": ""} {
		if got := (signin.Jar{}).Session(http.Header{"Cookie": {line}}); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
	secure := signin.Jar{Secure: true}
	if secure.Session(http.Header{"Cookie": {"postern-session=x; __Host-postern-session=y"}}) != "y" || secure.Form(http.Header{"Cookie": {"postern-form=x"}}) != "" {
		t.Error("over HTTPS a name without the prefix counts")
	}
	both := http.Header{"Cookie": {"postern-console=x; __Host-postern-console=y; postern-console-form=f"}}
	if (signin.Jar{}).Console(both) != "x" || secure.Console(both) != "y" || (signin.Jar{}).ConsoleForm(both) != "f" || secure.ConsoleForm(both) != "" {
		t.Error("the console's cookies are mixed up")
	}
	for jar, want := range map[signin.Jar]string{{}: "postern-console=v; Path=/console; Max-Age=60; HttpOnly; SameSite=Lax", secure: "__Host-postern-console=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"} {
		h := http.Header{}
		jar.SetConsole(h, "v", time.Minute)
		if h.Get("Set-Cookie") != want {
			t.Errorf("the console's cookie is %q", h.Get("Set-Cookie"))
		}
	}
	h := http.Header{}
	secure.SetSession(h, "v", -time.Second)
	if want := []string{"__Host-postern-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"}; !cmp.Equal(h["Set-Cookie"], want) {
		t.Errorf("a session that is over: %q", h["Set-Cookie"])
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	p, cookie := pairOf(t, "fn-1", user, password), signin.NewFormCookie()
	token := p.FormToken(cookie)
	if !p.Made(cookie, token) {
		t.Error("its own form is refused")
	}
	for name, made := range map[string]bool{"another cookie": p.Made(signin.NewFormCookie(), token), "no cookie": p.Made("", p.FormToken("")), "no token": p.Made(cookie, ""), "another function": pairOf(t, "fn-2", user, password).Made(cookie, token)} {
		if made {
			t.Errorf("%s: it is taken", name)
		}
	}
	const at = "https://orders.example"
	for name, tc := range map[string]struct {
		h           http.Header
		ours, known bool
	}{
		"nothing": {http.Header{}, false, false}, "null": {http.Header{"Origin": {"null"}}, false, false}, "own": {http.Header{"Origin": {at}}, true, true}, "other": {http.Header{"Origin": {at + ".evil"}}, false, true},
		"site": {http.Header{"Sec-Fetch-Site": {"same-origin"}}, true, true}, "site before origin": {http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {at}}, false, true}, "site unknown": {http.Header{"Sec-Fetch-Site": {"x"}}, false, true},
		"empty site": {http.Header{"Sec-Fetch-Site": {""}, "Origin": {at}}, false, true}, "empty origin": {http.Header{"Origin": {""}}, false, true}, "two": {http.Header{"Origin": {at, at}}, false, true},
	} {
		if ours, known := signin.FormIsOurs(tc.h, at); ours != tc.ours || known != tc.known {
			t.Errorf("%s: %t %t", name, ours, known)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Sec-Fetch-Site"] = []string{"same-site"}
	if signin.Honours(r, at) {
		t.Error("a sibling acts with the session")
	}
}

// The waits double up to five minutes, and end.
func TestDesk_Waits(t *testing.T) {
	t.Parallel()
	d, p, at := signin.NewDesk(), pairOf(t, "fn-1", user, password), now
	var waits []time.Duration
	for i := range 16 {
		remote := fmt.Sprintf("198.51.100.%d:1", i)
		err := d.Try(p, user, "guess", remote, at)
		if locked, ok := errors.AsType[*signin.LockedError](err); ok {
			waits = append(waits, locked.RetryAfter())
			again := d.Try(p, user, password, "203.0.113.1:1", at.Add(locked.RetryAfter()-time.Nanosecond))
			if _, ok := errors.AsType[*signin.LockedError](again); !ok {
				t.Fatalf("within the wait the right password has %v", again)
			}
			at = at.Add(locked.RetryAfter())
			err = d.Try(p, user, "guess", remote, at)
		}
		if !errors.Is(err, signin.ErrWrong) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	s := time.Second
	if d := cmp.Diff([]time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 300 * s, 300 * s}, waits); d != "" {
		t.Error(d)
	}
	if err := d.Try(p, user, password, "203.0.113.1:1", at.Add(5*time.Minute)); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// Who signed in from an address before is not kept out of it by strangers, who
// wait; and has no more guesses than they.
func TestDesk_Known(t *testing.T) {
	t.Parallel()
	d, p := signin.NewDesk(), pairOf(t, "fn-1", user, password)
	const home = "203.0.113.1:1"
	try := func(word, remote string) error { return d.Try(p, user, word, remote, now) }
	if err := try(password, home); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		try("guess", fmt.Sprintf("198.51.100.%d:1", i))
	}
	if err := try(password, "198.51.100.9:1"); err == nil || errors.Is(err, signin.ErrWrong) {
		t.Errorf("elsewhere: %v", err)
	}
	if err := try(password, home); err != nil {
		t.Errorf("at home: %v", err)
	}
	if err := try(password, "198.51.100.9:1"); err == nil {
		t.Error("a sign-in at home ended the wait of the guessers")
	}
	for range 5 {
		try("guess", home)
	}
	if err := try(password, home); err == nil || errors.Is(err, signin.ErrWrong) {
		t.Errorf("after five guesses at home: %v", err)
	}
	q := pairOf(t, "fn-2", user, password)
	if err := d.Try(q, user, password, home, now); err != nil {
		t.Errorf("at another function: %v", err)
	}
}

// Addresses of one IPv6 network are one caller; an IPv4 address is the same in
// whichever form, and whatever its port.
func TestDesk_Addresses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		remote func(i int) string
		other  string
	}{
		"one network": {func(i int) string { return fmt.Sprintf("[2001:db8::%x]:%d", i, i+1) }, "[2001:db8:0:1::1]:1"},
		"one address": {func(i int) string { return []string{"192.0.2.1:", "[::ffff:192.0.2.1]:"}[i%2] + fmt.Sprint(i+1) }, "192.0.2.2:1"},
		"no address":  {func(int) string { return "@" }, "192.0.2.2:1"},
	} {
		d := signin.NewDesk()
		p := pairOf(t, "fn-1", user, password)
		for i := range 20 {
			if err := d.Try(p, fmt.Sprint(i), "guess", tc.remote(i), now); !errors.Is(err, signin.ErrWrong) {
				t.Fatalf("%s: attempt %d: %v", name, i, err)
			}
		}
		if err := d.Try(p, user, password, tc.remote(99), now); err == nil || errors.Is(err, signin.ErrWrong) {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Try(p, user, password, tc.other, now); err != nil {
			t.Errorf("%s: another: %v", name, err)
		}
		if err := d.Try(p, user, "guess", tc.remote(99), now.Add(2*time.Hour)); !errors.Is(err, signin.ErrWrong) {
			t.Errorf("%s: nothing is forgotten: %v", name, err)
		}
	}
}

// A flood of names takes no more memory, and frees nobody from their wait.
func TestDesk_IsBounded(t *testing.T) {
	t.Parallel()
	d, p := signin.NewDesk(), pairOf(t, "fn-1", user, password)
	remote := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }
	for i := range 6 {
		d.Try(p, user, "guess", remote(i), now)
	}
	wrong := 0
	for i := range 30_000 {
		if errors.Is(d.Try(p, fmt.Sprint("stranger", i), "guess", remote(100+i), now), signin.ErrWrong) {
			wrong++
		}
	}
	if n := d.Len(); n > 20_000 || wrong > 10_050 {
		t.Errorf("%d names, and %d strangers were told", n, wrong)
	}
	if err := d.Try(p, user, password, "192.0.2.1:1", now); err == nil {
		t.Error("a flood ended the wait")
	}
	if err := d.Try(p, user, password, "192.0.2.1:1", now.Add(2*time.Hour)); err != nil {
		t.Errorf("two hours after the flood: %v", err)
	}
}

// What is being judged counts as wrong meanwhile, and is forgiven if it was not.
func TestDesk_Begin(t *testing.T) {
	t.Parallel()
	d, realm := signin.NewDesk(), []byte("console")
	begin := func(who, remote string) *signin.Attempt {
		t.Helper()
		a, err := d.Begin(realm, who, remote, now)
		if err != nil {
			t.Fatalf("%s from %s: %v", who, remote, err)
		}
		return a
	}
	var open []*signin.Attempt
	for i := range 5 {
		open = append(open, begin("ann", fmt.Sprintf("198.51.100.%d:1", i)))
	}
	refused := func(who, remote string) {
		t.Helper()
		_, err := d.Begin(realm, who, remote, now)
		if locked, ok := errors.AsType[*signin.LockedError](err); !ok || locked.RetryAfter() <= 0 {
			t.Errorf("%s from %s: %v", who, remote, err)
		}
	}
	refused("ann", "198.51.100.99:1")
	begin("ben", "198.51.100.99:1").Drop()
	if _, err := d.Begin([]byte("another realm"), "ann", "198.51.100.99:1", now); err != nil {
		t.Errorf("another realm: %v", err)
	}
	open[0].Right(now)
	open[0].Wrong(now) // it is over
	open[1].Drop()
	begin("ann", "198.51.100.99:1").Drop()
	for _, a := range open[2:] {
		a.Wrong(now)
	}
	begin("ann", "198.51.100.98:1").Wrong(now)
	begin("ann", "198.51.100.97:1").Wrong(now) // the fifth
	refused("ann", "198.51.100.96:1")
	begin("ann", "198.51.100.0:1").Drop() // where she was right
	for i := range 20 {
		begin(fmt.Sprint("stranger", i), "203.0.113.1:1")
	}
	refused("stranger", "203.0.113.1:1")
}

// Of a thousand attempts at once no more are judged than of a thousand in a row.
func TestDesk_Concurrent(t *testing.T) {
	t.Parallel()
	d, p := signin.NewDesk(), pairOf(t, "fn-1", user, password)
	var judged atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				if errors.Is(d.Try(p, user, "guess", fmt.Sprintf("10.0.%d.%d:1", i, j), now), signin.ErrWrong) {
					judged.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if judged.Load() != 5 {
		t.Errorf("%d were judged", judged.Load())
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	signin.Shield(h)
	const evil = `"'><script>alert(1)</script>`
	page := signin.Page{Function: evil, User: evil, Next: evil, Token: evil}
	for name, tc := range map[string]struct {
		page signin.Page
		want string
	}{
		"plain": {page, "autofocus"}, "refused": {signin.Page{Refused: true, User: "x"}, `role="alert" id="problem">The user or the password is wrong`}, "forged": {signin.Page{Forged: true}, "did not come from this page"},
		"one second": {signin.Page{Wait: time.Millisecond}, "in 1 second."}, "waiting": {signin.Page{Wait: 61 * time.Second}, "in 61 seconds."}, "out": {signin.Page{Out: true}, `role="status">You are signed out`},
	} {
		body := string(tc.page.Login())
		if !strings.Contains(body, tc.want) || strings.Contains(body, "<script") || strings.Count(body, "autofocus") != 1 {
			t.Errorf("%s: %s", name, body)
		}
		for _, s := range []string{`<label for="username">`, `autocomplete="username"`, `<label for="password">`, `autocomplete="current-password"`, `lang="en"`, `name="viewport"`, `method="post" action="/login"`} {
			if !strings.Contains(body, s) {
				t.Errorf("%s lacks %s", name, s)
			}
		}
	}
	if body := string(page.Logout()); strings.Contains(body, "<script") || !strings.Contains(body, `method="post" action="/logout"`) {
		t.Error(body)
	}
}

// Who is wrong takes as long as who is right, whichever half is wrong.
func BenchmarkTry(b *testing.B) {
	p := pairOf(b, "fn-1", user, password)
	for name, pair := range map[string][2]string{"right": {user, password}, "password": {user, "wrong"}, "user": {"wrong", password}} {
		b.Run(name, func(b *testing.B) {
			d, at := signin.NewDesk(), now
			for b.Loop() {
				at = at.Add(6 * time.Minute)
				d.Try(p, pair[0], pair[1], "192.0.2.1:1", at)
			}
		})
	}
}

// FuzzCookies: what would be taken for a cookie of ours never reaches a handler,
// and nothing else is lost.
func FuzzCookies(f *testing.F) {
	for _, line := range []string{"postern-session=x", "a=1; __Host-postern-session=x; b=2", "postern-form=", ";;=", " postern-session = x", "postern-session=x;postern-session=y", "a=postern-session=x", "\tpostern-session=x", "postern-console=x; __Host-postern-console-form=y"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Cookie": {"kept=1", line, "also=2"}}
		signin.Cut(h)
		for _, j := range []signin.Jar{{}, {Secure: true}} {
			if left := j.Session(h) + j.Form(h) + j.Console(h) + j.ConsoleForm(h); left != "" {
				t.Errorf("%q leaves %q", line, left)
			}
		}
		if c := h["Cookie"]; len(c) < 2 || c[0] != "kept=1" || c[len(c)-1] != "also=2" {
			t.Errorf("%q: of the others %q is left", line, c)
		}
		if !strings.Contains(line, "postern-") && len(h["Cookie"]) == 3 && h["Cookie"][1] != line {
			t.Errorf("%q became %q", line, h["Cookie"][1])
		}
	})
}

// FuzzSession: nothing opens but what was sealed.
func FuzzSession(f *testing.F) {
	p := pairOf(f, "fn-1", user, password)
	sealed := p.Seal(signin.Begin(now))
	f.Add(sealed[:len(sealed)-16] + strings.Repeat("A", 16)) // too far from the right one to be guessed
	f.Add(strings.Repeat("A", len(sealed)))
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		if _, ok := p.Open(value, now); ok {
			t.Errorf("%q opens", value)
		}
	})
}
