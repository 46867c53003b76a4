package main_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// hand is somebody at a screen: what they see, click or touch, and type.
type hand struct {
	*tab
	h *hall
	s screen
}

// someone is a new person at the console, signed in where a cookie is given.
func (h *hall) someone(t *testing.T, s screen, cookie string) *hand {
	t.Helper()
	b := newTab(t).on(s)
	if cookie != "" {
		b.carries(h, cookie)
	}
	return &hand{b, h, s}
}

// to opens a page of the project.
func (p *hand) to(path string) {
	p.Helper()
	p.do(chromedp.Navigate(p.h.control + "/console/p/" + p.h.api.ProjectID + "/" + path))
}

// sees waits until a page is there whose address ends so, and that shows each of some texts.
func (p *hand) sees(path string, texts ...string) {
	p.Helper()
	last := ""
	defer func() {
		if p.Failed() {
			p.Logf("the tab is at %s", last)
		}
	}()
	eventually(p.T, fmt.Sprintf("the page %q with %q", path, texts), func() bool {
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.readyState + ' ' + location.pathname + ' ' + document.body.innerText + [...document.querySelectorAll('.log')].map((e) => e.textContent).join(' ')")) // of a log what is not on the screen has no inner text
		last = fmt.Sprintf("%.900s %v", strings.Join(strings.Fields(got), " "), err)
		rest, ok := strings.CutPrefix(got, "complete ")
		at, shown, _ := strings.Cut(rest, " ")
		for _, text := range texts {
			ok = ok && strings.Contains(shown, text)
		}
		return err == nil && ok && strings.HasSuffix(at, path)
	})
}

// at is where something is on the screen, after it was brought there.
const at = `(() => { const e = %s; if (!e) return ''; e.scrollIntoView({ block: 'center', behavior: 'instant' }); const r = e.getBoundingClientRect(); const x = r.left + r.width / 2, y = r.top + r.height / 2;
	const top = document.elementFromPoint(x, y); return top && (e.contains(top) || top.contains(e)) ? x + ' ' + y : ''; })()`

// touch clicks or touches what a script finds, when it is there and nothing is over it.
func (p *hand) touch(what, script string) {
	p.Helper()
	var x, y float64
	eventually(p.T, what+" can be clicked", func() bool {
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf(at, script)))
		if err != nil {
			return false
		}
		left, top, ok := strings.Cut(got, " ")
		if !ok {
			return false
		}
		x, _ = strconv.ParseFloat(left, 64)
		y, _ = strconv.ParseFloat(top, 64)
		return true
	})
	if p.s.phone {
		p.do(chromedp.TapXY(x, y))
	} else {
		p.do(chromedp.MouseClickXY(x, y))
	}
}

// follows touches a link of a list that others change, until it has led to a page: what
// was there a moment ago may be a line lower.
func (p *hand) follows(what, script, path string) {
	p.Helper()
	for range 5 {
		p.touch(what, script)
		for range 20 {
			if at, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("location.pathname")); err == nil && strings.HasSuffix(at, path) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	p.Errorf("%s does not lead to %s", what, path)
}

// press clicks the button, link or summary of the page that begins with a text.
func (p *hand) press(text string) {
	p.Helper()
	p.touch(text, `[...document.querySelectorAll('main button, main a, main summary, main label.choice, header button, header a')].find((e) => e.innerText.trim().startsWith(`+quoted(text)+`) && e.getClientRects().length)`)
}

// types clicks a field, takes out what is in it, and types.
func (p *hand) types(field, text string) {
	p.Helper()
	p.touch(field, `document.getElementById(`+quoted(field)+`)`)
	p.eval(`document.getElementById(` + quoted(field) + `).select(), ''`)
	p.do(chromedp.KeyEvent(text))
}

// chooses takes an entry of a list.
func (p *hand) chooses(field, value string) {
	p.Helper()
	p.eval(`(() => { const e = document.getElementById(` + quoted(field) + `); e.value = ` + quoted(value) + `; e.dispatchEvent(new Event('change', { bubbles: true })); return e.value; })()`)
}

// until waits until a script says true of the page.
func (p *hand) until(what, script string) {
	p.Helper()
	eventually(p.T, what, func() bool {
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("document.readyState === 'complete' && !!("+script+")"))
		return err == nil && got
	})
}

// text is what the first element of a kind shows.
func (p *hand) text(selector string) string {
	p.Helper()
	return p.eval(`document.querySelector(` + quoted(selector) + `)?.innerText ?? ''`)
}

// faulty is after a form's mistake: who uses a keyboard or hears the page is where it
// says what is wrong, or in the field that is marked with that.
func (p *hand) faulty(text string) {
	p.Helper()
	eventually(p.T, "the focus is where "+text+" is said", func() bool {
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`(() => { const e = document.activeElement; if (e.id !== 'problem' && e.ariaInvalid !== 'true') return '';
			return [e, ...(e.getAttribute('aria-describedby') ?? '').split(' ').map((id) => document.getElementById(id))].map((e) => e?.innerText ?? '').join(' '); })()`))
		return err == nil && strings.Contains(got, text)
	})
}
