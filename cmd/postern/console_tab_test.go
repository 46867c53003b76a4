package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screens are what people look at the console on.
var screens = []screen{{"desk", 1440, 900, false}, {"phone", 390, 844, true}}

type screen struct {
	name          string
	width, height int64
	phone         bool // it is touched, and has no other pointer
}

// on makes a tab one of a screen.
func (b *tab) on(s screen) *tab {
	b.Helper()
	if s.phone {
		b.do(chromedp.EmulateViewport(s.width, s.height, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait))
	} else {
		b.do(chromedp.EmulateViewport(s.width, s.height))
	}
	return b
}

// scheme asks for light or dark colours.
func (b *tab) scheme(name string) {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}); err != nil {
		b.Fatal(err)
	}
}

// visited is what a tab did of which its page may not know.
type visited struct {
	mu       sync.Mutex
	faults   []string // guarded by mu: what is in its console, exceptions, and what its policy stopped
	requests []string // guarded by mu
}

// watched collects what a tab complains of, and what it asks for.
func (b *tab) watched() *visited {
	v := &visited{}
	err := chromedp.Listen(b.ctx, func(ev any) {
		v.mu.Lock()
		defer v.mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			v.faults = append(v.faults, e.ExceptionDetails.Text+" "+e.ExceptionDetails.URL)
		case *runtime.EventConsoleAPICalled:
			v.faults = append(v.faults, "console."+string(e.Type))
		case *log.EventEntryAdded:
			v.faults = append(v.faults, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
		case *network.EventRequestWillBeSent:
			v.requests = append(v.requests, e.Request.URL)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// take is all since it was called last.
func (v *visited) take() (faults, requests []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	faults, requests = v.faults, v.requests
	v.faults, v.requests = nil, nil
	return faults, requests
}

// axe is the text of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(filepath.Join(clients, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		return "", fmt.Errorf("%w: run scripts/install-test-tools, or npm ci --ignore-scripts in test/clients", err)
	}
	return string(text), nil
})

// barriers is what keeps somebody from seeing, reaching or understanding a part of the
// page: what axe-core calls serious or critical, by all of its rules, or by one.
func (b *tab) barriers(rule string) []string {
	b.Helper()
	text, err := axe()
	if err != nil {
		b.Fatal(err)
	}
	only := "rules: { 'target-size': { enabled: true } }, " // which is not among those that run by themselves
	if rule != "" {
		only = "runOnly: " + quoted(rule) + ", "
	}
	// The debugger puts it there: the policy of the page stays what it is.
	b.do(chromedp.Evaluate[chromedp.Void]("if (!window.axe) {" + text + "}; undefined"))
	var found []string
	if err := json.Unmarshal([]byte(b.eval(`axe.run({`+only+`resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
		.map(v => v.id + ' (' + v.impact + '): ' + v.help + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + n.any.map(a => a.message).join('; ')).join(' | '))))`)), &found); err != nil {
		b.Fatal(err)
	}
	return found
}

// shape is what a page must be like, whatever it shows.
type shape struct {
	Title, Lang string
	H1          int
	Wide        int    // pixels by which it is wider than the window
	Widest      string // the first thing that sticks out
	XSS         bool   // a text ran
	Made        string // the first element that a text made
	Main        int    // characters
}

const shapeScript = `(() => {
	const made = document.querySelector('img[src="x"], [onerror], [onload], [onfocus], b[hx-get], script:not([src]), a[href^="javascript:"], style');
	const over = [...document.querySelectorAll('body *')].find(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .tabs, pre, .unseen, .skip, .log, .chart') && getComputedStyle(e).position !== 'absolute');
	const root = document.scrollingElement;
	return JSON.stringify({ Title: document.title, Lang: document.documentElement.lang, H1: document.querySelectorAll('h1').length, Wide: Math.max(root.scrollWidth, document.body.scrollWidth) - innerWidth,
		Widest: over ? over.outerHTML.slice(0, 200) : '', XSS: '__xss' in window, Made: made ? made.outerHTML.slice(0, 200) : '', Main: document.querySelector('main').innerText.length });
})()`

// unsound is in what the page that the tab shows is not as every page must be.
func (b *tab) unsound(host string, v *visited) (list []string) {
	b.Helper()
	var s shape
	if err := json.Unmarshal([]byte(b.eval(shapeScript)), &s); err != nil {
		b.Fatal(err)
	}
	if s.H1 != 1 || s.Lang != "en" || s.Main == 0 || s.Title == " · Postern" || !strings.HasSuffix(s.Title, " · Postern") {
		list = append(list, fmt.Sprintf("%d headings, title %q, language %q, %d characters", s.H1, s.Title, s.Lang, s.Main))
	}
	if s.Wide > 0 {
		list = append(list, fmt.Sprintf("wider than the window by %d pixels: %s", s.Wide, s.Widest))
	}
	if s.XSS || s.Made != "" {
		list = append(list, "a text became part of the page: "+s.Made)
	}
	faults, requests := v.take()
	for _, f := range faults {
		if !strings.HasPrefix(f, "verbose: ") && !strings.HasPrefix(f, "info: ") {
			list = append(list, "its console has "+f)
		}
	}
	for _, r := range requests {
		if u, err := url.Parse(r); err != nil || u.Host != host && u.Scheme != "data" {
			list = append(list, "it asked for "+r)
		}
	}
	return list
}

// opens loads a page, which must be there.
func (b *tab) opens(at string) {
	b.Helper()
	res, err := chromedp.Run(b.ctx, chromedp.NavigateResponse(at))
	if err != nil {
		b.Fatal(err)
	}
	if (res == nil || res.Status != http.StatusOK) && os.Getenv("X") == "" {
		b.Fatalf("%s: %+v", at, res)
	}
}

// unseen goes some steps with the keyboard from the top of a page, past the link that
// skips the menu, and tells where what has the focus is not to be seen.
func (b *tab) unseen() (list []string) {
	b.Helper()
	for i := range 4 {
		b.do(chromedp.KeyEvent("\t"))
		got := b.eval(`(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
			return (e.classList.contains('skip') ? 'skip' : e.tagName) + ' ' + (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && r.width > 0 && r.left >= 0 && r.right <= innerWidth + 1 ? 'seen' : 'unseen ' + e.outerHTML.slice(0, 120)); })()`)
		if i == 0 && !strings.HasPrefix(got, "skip ") || !strings.HasSuffix(got, " seen") {
			list = append(list, fmt.Sprintf("after %d times Tab: %s", i+1, got))
		}
	}
	return list
}

// carries gives a tab the cookie of a session.
func (b *tab) carries(h *hall, cookie string) *tab {
	b.Helper()
	name, value, _ := strings.Cut(cookie, "=")
	if _, err := chromedp.Call(b.ctx, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: h.control + "/console", Path: "/console", HTTPOnly: new(true)}); err != nil {
		b.Fatal(err)
	}
	return b
}
