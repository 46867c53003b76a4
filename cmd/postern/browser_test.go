package main_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// chromium is one browser for all tests: to start it takes seconds, and a tab with
// cookies of its own nothing. It ends after the last test.
var chromium struct {
	sync.Once
	ctx context.Context // of the browser, from which tabs are made
	end func()          // nil: it was not started
	err error
}

func startChromium() {
	program, err := exec.LookPath("chromium")
	if err != nil {
		chromium.err = errors.New("this test needs chromium: apt-get install chromium, or run make test as root on Debian")
		return
	}
	dir, err := os.MkdirTemp("", "postern-chromium")
	if err != nil {
		chromium.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(dir), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(60*time.Second))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	first, _ := chromedp.NewContext(allocator)
	chromium.ctx, chromium.err = first, chromedp.Do(first)
	chromium.end = func() {
		chromedp.Cancel(first) // waits until it has ended
		end()
		os.RemoveAll(dir)
	}
}

// endChromium is for after the tests.
func endChromium() {
	if chromium.end != nil {
		chromium.end()
	}
}

// tab is a tab that nobody else's cookies reach, and that ends with its test.
type tab struct {
	*testing.T
	ctx context.Context
}

func newTab(t *testing.T) *tab {
	t.Helper()
	chromium.Do(startChromium)
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	own, end := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	if err := chromedp.Do(own); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(own, 10*time.Minute)
	t.Cleanup(cancel)
	return &tab{t, ctx}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// eval is what a script says that the page itself could run.
func (b *tab) eval(script string) string {
	b.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatal(err)
	}
	return got
}

// arrives waits until the tab shows a page at an address, with a text.
func (b *tab) arrives(where, text string) {
	b.Helper()
	eventually(b.T, "the tab is at "+where+" and shows "+text, func() bool {
		got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.readyState + ' ' + location.href + ' ' + document.body.innerText"))
		return err == nil && strings.HasPrefix(got, "complete "+where+" ") && strings.Contains(got, text)
	})
}

// shots takes pictures of a page, light and dark, of a phone and of a desk, into
// the directory that TEST_SCREENSHOTS names; none without it.
func (b *tab) shots(name string) {
	b.Helper()
	dir := os.Getenv("TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			b.Fatal(err)
		}
		for size, width := range map[string]int64{"phone": 360, "desk": 1024} {
			b.do(chromedp.EmulateViewport(width, 640))
			png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+"-"+scheme+"-"+size+".png"), png, 0o644)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A person's way: a guarded page, the page to sign in on, a wrong password, the
// right one, the page, out again, and nothing on the way back.
func TestSignIn_InABrowser(t *testing.T) {
	t.Parallel()
	o, b := newOffice(t), newTab(t)
	ran := func(want int) {
		t.Helper()
		if n, _ := o.told(); n != want {
			t.Fatalf("%d ran, want %d", n, want)
		}
		if c := b.eval("document.cookie"); c != "" {
			t.Errorf("a script can read %q", c)
		}
	}
	send := func(user, password string) {
		t.Helper()
		b.do(chromedp.SetValue("#username", user), chromedp.SendKeys("#password", password+"\r"))
	}

	b.do(chromedp.Navigate(o.base + "/entries?year=2026"))
	b.arrives(o.base+"/login?next=%2Fentries%3Fyear%3D2026", "to ledger")
	ran(0)
	if b.eval("document.activeElement.id") != "username" || b.eval("getComputedStyle(document.querySelector('main')).maxWidth") != "368px" {
		t.Error("the page has no focus, or its policy stops its style")
	}
	b.shots("login")
	send(ledgerUser, "wrong horse")
	b.arrives(o.base+"/login", "The user or the password is wrong.")
	ran(0)
	if b.eval("document.activeElement.id") != "password" || b.eval("document.querySelector('#username').value") != ledgerUser {
		t.Error("after a wrong password the user has to be typed again")
	}
	b.shots("wrong")
	send(ledgerUser, ledgerPassword)
	b.arrives(o.base+"/entries?year=2026", "The entries")
	ran(1)
	b.do(chromedp.Navigate(o.base + "/"))
	b.arrives(o.base+"/", "The ledger")
	b.do(chromedp.Click("#next"))
	b.arrives(o.base+"/entries", "The entries")
	if status := b.eval("fetch('/entries', { method: 'POST', body: 'a=1' }).then(r => String(r.status))"); status != "200" {
		t.Errorf("the page's own script gets %s", status)
	}
	ran(4)

	// A page on another host of the same site makes the browser ask, with what it has.
	evil := strings.Replace(o.base, "ledger.", "evil.", 1) + "/"
	b.do(chromedp.Navigate(evil))
	b.eval(strings.ReplaceAll(`Promise.allSettled([
		fetch('BASE/entries', { credentials: 'include', mode: 'no-cors' }),
		fetch('BASE/entries', { credentials: 'include', mode: 'no-cors', method: 'POST', body: 'a=1' }),
		fetch('BASE/logout', { credentials: 'include', mode: 'no-cors', method: 'POST' }),
		fetch('BASE/login', { credentials: 'include', mode: 'no-cors', method: 'POST', body: new URLSearchParams({ username: 'ada', password: 'correct horse' }) }),
		new Promise(done => { const i = new Image(); i.onload = i.onerror = done; i.src = 'BASE/entries'; }),
		new Promise(done => { const f = document.createElement('iframe'); f.onload = f.onerror = done; f.src = 'BASE/entries'; document.body.append(f); }),
		new Promise(done => { const w = new WebSocket('BASE/entries'.replace('http', 'ws')); w.onopen = w.onerror = done; }),
	]).then(() => '')`, "BASE", o.base))
	b.eval("(() => { const f = document.createElement('form'); f.method = 'post'; f.action = '" + o.base + "/entries'; document.body.append(f); f.submit(); return ''; })()")
	b.arrives(o.base+"/entries", "unauthenticated")
	ran(4)
	b.do(chromedp.Navigate(o.base + "/entries"))
	b.arrives(o.base+"/entries", "The entries") // nobody signed it out
	ran(5)

	jar, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{o.base}})
	if err != nil || len(jar.Cookies) != 1 || jar.Cookies[0].Name != "postern-session" || !jar.Cookies[0].HTTPOnly || jar.Cookies[0].SameSite != network.CookieSameSiteLax || jar.Cookies[0].Domain != "ledger.localhost" {
		t.Fatalf("the cookies are %+v, %v", jar.Cookies, err)
	}
	copied := "Cookie: postern-session=" + jar.Cookies[0].Value
	if !o.in(copied) {
		t.Fatal("the cookie opens nothing")
	}
	b.do(chromedp.Click("#out"))
	b.arrives(o.base+"/login?out", "You are signed out.")
	b.shots("out")
	b.do(chromedp.NavigateBack())
	b.arrives(o.base+"/login?next=%2Fentries", "Sign in")
	ran(6)
	if o.in(copied) {
		t.Error("a copied cookie lives on")
	}
	b.do(chromedp.Navigate(o.base + "/logout"))
	b.arrives(o.base+"/logout", "Sign out")
	b.shots("logout")
}
