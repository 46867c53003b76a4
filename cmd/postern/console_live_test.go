package main_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

// window is another window of the same browser.
func (p *hand) window(path string) *hand {
	p.Helper()
	ctx, end := chromedp.NewContext(p.ctx)
	p.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		p.Fatal(err)
	}
	w := &hand{(&tab{p.T, ctx}).on(p.s), p.h, p.s}
	w.to(path)
	return w
}

// covered puts a window away, where its page is hidden as one in another tab is, or
// brings it back.
func (p *hand) covered(yes bool) {
	p.Helper()
	state, shown := browser.WindowStateNormal, "visible"
	if yes {
		state, shown = browser.WindowStateMinimized, "hidden"
	}
	own, err := chromedp.Call(p.ctx, browser.GetWindowForTarget, browser.GetWindowForTargetParams{})
	p.h.ok(err)
	_, err = chromedp.Call(p.ctx, browser.SetWindowBounds, browser.SetWindowBoundsParams{WindowID: own.WindowID, Bounds: &browser.Bounds{WindowState: state}})
	p.h.ok(err)
	p.until("the page is "+shown, "document.visibilityState === "+quoted(shown))
}

// lives is whether a window is live, and what it says of that.
func (p *hand) lives() (bool, string) {
	p.Helper()
	said := p.eval(`(document.querySelector('[data-log-state]') ?? document.querySelector('[data-live-word]')).textContent + (document.querySelector('.live:not(.on):not([hidden])') ? ', it waits' : '')`)
	return strings.EqualFold(said, "live"), said
}

// manyWindows are more than a browser has connections for: four are live, the others say
// why they are not, and clicks are answered in all. One that is put away leaves its place
// to another, and has missed nothing when it comes back.
func manyWindows(p *hand) {
	p.h.function("windows", "", "export const auth = [];\nexport const say = (context: any, request: any) => { console.log('said ' + request.query.n + '.'); return 'said'; };\n")
	const page = "functions/windows"
	var open []*hand
	for _, path := range []string{page + "/logs", page + "/logs", page, page + "/requests", "functions", "gateway", "gateway/limits", "gateway/refusals", "subprojects", "service-plans"} {
		open = append(open, p.window(path))
	}
	first, second := open[0], open[1]
	four := func(among []*hand) bool {
		live, told := 0, 0
		for _, w := range among {
			if is, said := w.lives(); is {
				live++
			} else if strings.Contains(said, "ot live: too many windows of the console are open") {
				told++
			}
		}
		return live == 4 && told == len(among)-4
	}
	eventually(p.T, "four windows are live, and six say why not", func() bool { return four(open) })
	p.to("keys")
	p.press("New key")
	p.sees("/keys/new", "Display name")
	open[9].touch("a link of a page that waits", "document.querySelector('nav.side a[href$=\"/keys\"]')")
	open[9].sees("/keys", "administrator")

	say := func(n int) { p.h.ask("GET", fmt.Sprint("/fn/windows/say?n=", n), nil, nil, "") }
	says := func(w *hand) []string {
		return strings.Fields(w.eval(`[...document.querySelectorAll('.log .said')].map((e) => e.textContent).filter((t) => t.startsWith('said ')).map((t) => t.slice(5)).join(' ')`))
	}
	shows := func(w *hand, want ...string) {
		p.Helper()
		eventually(p.T, fmt.Sprint("the log shows ", want), func() bool { return slices.Equal(says(w), want) })
	}
	say(1)
	shows(first, "1.")
	first.covered(true)
	open[8].covered(true)
	open[8].covered(false) // who looks at one makes it try at once
	eventually(p.T, "another has the place", func() bool { return four(open[1:]) })
	say(2)
	say(3)
	shows(second, "1.", "2.", "3.")
	if got := says(first); len(got) != 1 {
		p.Errorf("a page that nobody sees was told %q", got)
	}
	for _, w := range open[2:] {
		w.covered(true)
	}
	first.covered(false)
	shows(first, "1.", "2.", "3.")

	// Back brings a page as it was.
	first.eval(`dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })), ''`)
	say(4)
	shows(second, "1.", "2.", "3.", "4.")
	first.eval(`dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })), ''`)
	shows(first, "1.", "2.", "3.", "4.")
}
