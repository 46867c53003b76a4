package main_test

import (
	"strings"

	"github.com/chromedp/chromedp"

	"postern.dev/postern/internal/api"
)

// stop is what has the focus: whether it is what a script wants, and whether that is
// to be seen.
const stop = `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect(); const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && r.width > 0 && r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth;
	return (e === (%s) ? 'there ' : 'on ') + (seen ? 'seen' : e.outerHTML.slice(0, 120)); })()`

// key presses a key some times.
func (p *hand) key(code string) {
	p.Helper()
	p.do(chromedp.KeyEvent(code))
}

// tabs goes on with Tab to what a script finds; each stop on the way is to be seen.
func (p *hand) tabs(what, script string) {
	p.Helper()
	p.until(what+" is there", script)
	for range 80 {
		p.key("\t")
		at, seen, _ := strings.Cut(p.eval(strings.Replace(stop, "%s", script, 1)), " ")
		if seen != "seen" && !strings.HasPrefix(seen, "<body") { // it goes round by way of the browser itself
			p.Errorf("the focus is not to be seen on %s", seen)
		}
		if at == "there" {
			return
		}
	}
	p.Fatalf("no way to %s with Tab", what)
}

// byID and saying are scripts for [hand.tabs].
func byID(id string) string { return "document.getElementById(" + quoted(id) + ")" }
func saying(text string) string {
	return "[...document.querySelectorAll('main a, main button, main summary')].find((e) => e.innerText.trim().startsWith(" + quoted(text) + ") && e.getClientRects().length)"
}

// byKeyboard is the way to a new key without a mouse, and to the list, which changes
// under who is in it.
func byKeyboard(p *hand) {
	p.to("keys")
	p.sees("/console/signin", "Sign in")
	p.tabs("the key's ID", byID("key-id"))
	p.key(p.h.api.KeyID)
	p.key("\tpsk_" + strings.Repeat("x", 49) + "\r")
	p.sees("/console/signin", "wrong")
	p.faulty("wrong")
	p.key(p.h.api.Secret + "\r")
	p.sees("/keys", "Access keys")
	p.tabs("the link past the menu", "document.querySelector('.skip')")
	p.key("\r")
	p.until("the page's content has the focus", "document.activeElement.id === 'main'")
	p.tabs("the new key", saying("New key"))
	p.key("\r")
	p.sees("/keys/new", "Display name")
	p.tabs("the name", byID("displayName"))
	p.key("by keyboard")
	p.tabs("the options", saying("More options"))
	p.key("\r")
	p.tabs("the groups", byID("groups"))
	p.key("no such/group")
	p.tabs("the button", saying("Confirm"))
	p.key("\r")
	p.until("the mistake is told", "document.querySelector('#wrong-groups')")
	p.faulty("group")
	p.eval("document.activeElement.select(), ''")
	p.key("shop-desk")
	p.tabs("the button", saying("Confirm"))
	p.key("\r")
	p.sees("/keys/new", "will not be shown again")
	p.tabs("the secret's button", "document.querySelector('.secret [data-copy]')")
	p.key("\r")
	p.until("it is said that it was copied, or that the browser does not let it", "/opied$/.test(document.querySelector('[data-said]').textContent) && document.activeElement.dataset.copy?.startsWith('psk_')")
	p.tabs("the end", saying("Confirm"))
	p.key("\r")
	p.sees("/keys", "by keyboard", "new")
	p.tabs("the search", byID("q"))
	p.key("by key")
	p.until("the list is searched", "document.querySelectorAll('#list tbody tr').length === 1")
	if got := p.eval("document.activeElement.id"); got != "q" {
		p.Errorf("after a search the focus is on %q", got)
	}
	p.tabs("the key", saying("by keyboard"))
	p.h.newKey(api.CreateKeyRequest{DisplayName: "another by keyboard"})
	p.until("the list has changed", "document.querySelectorAll('#list tbody tr').length === 2")
	p.until("the focus is where it was", "document.activeElement.innerText === 'by keyboard'")
	p.key("\r")
	p.sees("", "What it is used for")
}

// menuByKeyboard opens the menu of a phone, closes it and goes to its first page; and
// with a finger.
func menuByKeyboard(p *hand) {
	p.to("keys")
	p.sees("/keys", "Access keys")
	p.tabs("the menu", "document.querySelector('details.menu summary')")
	p.key("\r")
	p.until("the menu is open", "document.querySelector('details.menu').open")
	p.key("\t")
	p.key("\u001b")
	p.until("Escape closes it", "!document.querySelector('details.menu').open && document.activeElement.tagName === 'SUMMARY'")
	for _, open := range []string{"", "!"} {
		p.touch("the menu", "document.querySelector('details.menu summary')")
		p.until("a finger opens and closes it", open+"document.querySelector('details.menu').open")
	}
	p.tabs("the menu", "document.querySelector('details.menu summary')")
	p.key("\r")
	p.key("\t")
	if got := p.eval("document.activeElement.innerText"); got != "Functions" {
		p.Errorf("the first entry is %q", got)
	}
	p.key("\r")
	p.sees("/functions", "shop-phone")
}
