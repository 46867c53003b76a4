package main_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"postern.dev/postern/internal/api"
)

// plain is somebody whose browser runs no scripts. Each page that they see has
// nothing on it that would do nothing.
type plain struct{ *hand }

// scriptless turns scripts off in a tab.
func (b *tab) scriptless() {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.Fatal(err)
	}
}

// idle are the controls of a page that are to be seen and belong to no form that can
// be sent, and what shows what only a script brings.
const idle = `[...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, [role=button], [data-copy], [data-log-controls], .live, .chart, a:not([href])')]
	.filter((e) => e.getClientRects().length && !(e.type !== 'button' && e.form?.querySelector('button:not([type=button])'))).map((e) => e.outerHTML.slice(0, 160)).join('\n')`

func (p plain) sees(path string, texts ...string) {
	p.Helper()
	p.hand.sees(path, texts...)
	if dead := p.eval(idle); dead != "" {
		p.Errorf("%s has without scripts:\n%s", p.eval("location.href"), dead)
	}
}

// fails sends a form that has a mistake: what is wrong is said where the focus is.
func (p plain) fails(button, path, text string) {
	p.Helper()
	p.press(button)
	p.sees(path, text)
	p.faulty(text)
}

// asks presses the button of a form that chooses what is listed, which is then in the address.
func (p plain) asks(button, part, path string, texts ...string) {
	p.Helper()
	p.press(button)
	p.until("the address has "+part, "location.search.includes("+quoted(part)+")")
	p.sees(path, texts...)
}

// in opens a page of another project.
func (p plain) in(project, path string) {
	p.Helper()
	p.do(chromedp.Navigate(p.h.control + "/console/p/" + project + "/" + path))
}

// plainly is all that can be done in a browser that runs no scripts.
func plainly(hand *hand) {
	hand.scriptless()
	p := plain{hand}
	p.to("keys")
	p.sees("/console/signin", "Sign in")
	p.enters()
	p.keys()
	p.users()
	p.servicePlans()
	p.function()
	p.gateway()
	p.subproject()
	p.reference()
	p.lists()
}

// enters signs in with the administrator's key, after a mistake.
func (p plain) enters() {
	p.Helper()
	p.types("key-id", p.h.api.KeyID)
	p.types("key-secret", "psk_"+strings.Repeat("x", 49))
	p.fails("Sign in with the key", "/console/signin", "wrong")
	p.types("key-secret", p.h.api.Secret)
	p.press("Sign in with the key")
	p.hand.until("somebody is signed in", "document.querySelector('.who')")
}

func (p plain) keys() {
	name := "plain <i>key</i>"
	p.to("keys/new")
	p.sees("/keys/new", "Display name")
	p.types("displayName", name)
	p.press("More options")
	p.types("groups", "no such/group")
	p.fails("Confirm", "/keys/new", "group")
	p.types("groups", "shop-desk")
	p.press("Confirm")
	p.sees("/keys/new", "will not be shown again")
	secret := p.text(".secret code")
	p.touch("the secret", "document.querySelector('.secret code')")
	if got := p.eval("getSelection().toString()"); got != secret || !strings.HasPrefix(secret, "psk_") {
		p.Errorf("who clicks the secret has %q of %q selected", got, secret)
	}
	p.press("Confirm")
	p.sees("/keys", name, "new")
	p.types("q", "PLAIN <I>")
	p.asks("Search", "PLAIN", "/keys", name, "1 key")
	p.press(name)
	p.sees("", "Last used", "shop-desk")
	p.press("Change")
	p.sees("/edit", name)
	p.types("displayName", name+" renamed")
	p.press("Save")
	p.sees("", "The key is changed", name+" renamed")
	p.press("Rotate")
	p.sees("/rotate", "good beside the new one")
	p.chooses("grace", "3600")
	p.press("Rotate")
	p.sees("/rotate", "will not be shown again", "The old secret stays good")
	p.press("Confirm")
	p.until("the key's page is there", "!location.pathname.endsWith('/rotate')")
	p.press("Revoke")
	p.sees("/revoke", "are refused at once")
	p.press("Revoke this key for ever")
	p.sees("/keys", "The key is revoked")
}

// users adds a user, who comes in and goes out, and removes them. Their second factor
// is in [TestConsole_FirstUser].
func (p plain) users() {
	const password = "four words nobody knows"
	p.to("users")
	p.sees("/users", "They sign in here")
	p.types("username", "plain")
	p.types("new-password", password)
	p.types("again", password+"?")
	p.fails("Add the user", "/users", "not alike")
	p.types("new-password", password)
	p.types("again", password)
	p.press("Add the user")
	p.sees("/users", "The user is there", "plain")
	p.press("Sign out")
	p.sees("/console/signin", "You are signed out")
	p.types("username", "plain")
	p.types("password", password)
	p.press("Sign in")
	p.sees("/functions", "plain", "shop-desk")
	p.press("plain")
	p.sees("/console/account", "Second factor")
	p.types("password", password)
	p.types("new-password", password+"!")
	p.types("again", password+"!")
	p.press("Change the password")
	p.sees("/console/account", "Your password is changed")
	p.press("Sign out")
	p.sees("/console/signin", "You are signed out")
	p.enters()
	p.to("users")
	p.press("plain")
	p.sees("", "Set another password")
	p.types("new-password", password)
	p.types("again", password)
	p.press("Set the password")
	p.sees("/users", "The password is set")
	p.press("plain")
	p.press("Remove plain")
	p.press("Remove the user")
	p.sees("/users", "The user is removed")
}

func (p plain) servicePlans() {
	p.to("service-plans")
	p.press("New API token")
	p.sees("/service-plans/new", "Service plan ID")
	p.types("servicePlanId", "plain plan")
	p.types("displayName", "plain token")
	p.fails("Confirm", "/service-plans/new", "service plan ID")
	p.types("servicePlanId", "plain-plan")
	p.press("Confirm")
	p.sees("/service-plans/new", "will not be shown again")
	p.press("Confirm")
	p.sees("/service-plans", "plain token", "new")
}

func (p plain) function() {
	source := "export const auth = [];\nexport const hello = (context: any, request: any) => { console.log('hello <i>' + request.query.who + '</i>'); return 'said'; };\n"
	p.h.function("plain", "", source)
	p.h.function("plain", "", source+"// the second\n", "--percent", "10")
	p.to("functions")
	p.types("q", "PLAI")
	p.asks("Search", "PLAI", "/functions", "1 function", "plain")
	p.press("plain")
	p.sees("/functions/plain", "What runs")
	p.asks("24 hours", "24h", "/functions/plain", "What runs")
	p.press("Versions")
	p.sees("/versions", "Version 2 is the candidate", "10 %")
	p.types("percent", "30")
	p.press("Change")
	p.sees("/change", "30 %")
	p.touch("the confirmation", "document.querySelector('main form button')")
	p.sees("/versions", "30 %")
	p.press("Make it active")
	p.sees("/change", "Version 2")
	p.touch("the confirmation", "document.querySelector('main form button')")
	p.sees("/versions", "Version 2 is active")
	p.press("Roll back")
	p.sees("/change", "Roll back?")
	p.touch("the confirmation", "document.querySelector('main form button')")
	p.sees("/versions", "version 1 again")
	p.sent()
	p.secret()
}

// sent is a request that is sent, what it wrote, and that it is sent again.
func (p plain) sent() {
	p.press("Requests")
	p.sees("/requests", "Calls are recorded while somebody looks")
	p.press("Send a request")
	p.sees("/new", "Sent as")
	p.types("path", "/hello?who=ada")
	p.types("headers", "no field")
	p.fails("Send", "/new", "field")
	p.types("headers", "X-Odd: 1")
	p.press("Nobody")
	p.press("Send")
	p.sees("/new", "The answer", "said")
	p.press("req_")
	p.sees("", "What it wrote", "Send")
	eventually(p.T, "what the call wrote is in the log", func() bool {
		p.do(chromedp.Reload())
		return strings.Contains(p.text("main"), "hello <i>ada</i>")
	})
	p.press("Nobody")
	p.types("path", "/hello?who=bob")
	p.press("Send")
	p.sees("", "The answer", "said")
	p.press("Logs")
	p.sees("/logs", "Search")
	eventually(p.T, "both calls are in the log", func() bool {
		p.do(chromedp.Reload())
		return strings.Contains(p.text(".log"), "hello <i>ada</i>") && strings.Contains(p.text(".log"), "hello <i>bob</i>")
	})
	p.types("search", "bob")
	p.chooses("level", "info")
	p.asks("Search", "bob", "/logs", "hello <i>bob</i>")
	if strings.Contains(p.text(".log"), "ada") {
		p.Error("a log that was searched for bob has ada")
	}
	p.types("search", "nobody wrote this")
	p.asks("Search", "nobody", "/logs", "Nothing like that is in the log")
}

func (p plain) secret() {
	p.press("Settings")
	p.sees("/settings", "No secrets")
	p.types("key", "PLAIN_TOKEN")
	p.fails("Set the secret", "/settings/secrets", "Write the value")
	p.do(chromedp.Navigate(p.eval("location.href"))) // as who loads it by its address
	p.sees("/settings", "No secrets")
	p.types("key", "PLAIN_TOKEN")
	p.types("value", secretValue)
	p.press("Set the secret")
	p.sees("/settings", "The secret is set", "PLAIN_TOKEN")
	p.press("Remove")
	p.sees("/remove", "gone for good")
	p.press("Remove the secret")
	p.sees("/settings", "The secret is removed", "No secrets")
}

func (p plain) gateway() {
	p.to("gateway")
	p.types("q", "shop-desk")
	p.chooses("only", "key")
	p.asks("Search", "only=key", "/gateway", "1 route", "shop-desk")
	p.to("gateway/explain")
	p.types("url", "/fn/shop-desk/order")
	p.types("key", "administrator")
	p.touch("explain", "document.getElementById('url').form.querySelector('button')")
	p.sees("/explain", "passed", "allowed")
	p.types("request", "req_none")
	p.fails("Explain", "/explain", "request")
	p.to("gateway/matrix")
	p.types("key", "administrator")
	p.types("q", "shop-desk")
	p.asks("Show", "shop-desk", "/matrix", "1 route", "yes")
	p.types("from", "no address")
	p.fails("Show", "/matrix", "address")
	p.h.ask("GET", "/fn/shop-desk/order", nil, nil, "")
	eventually(p.T, "the refusal is listed", func() bool {
		p.to("gateway/refusals")
		return strings.Contains(p.text("#list"), "shop-desk")
	})
	p.types("code", "nothing_like_it")
	p.press("Show")
	p.sees("/refusals", "No refusal is like that")
	for _, path := range []string{"gateway/limits", "gateway/groups", "gateway/policy", "signing-keys"} {
		p.to(path)
		p.sees("/" + path)
	}
	p.press("Rotate now")
	p.sees("/signing-keys", "The next key is published")
	p.press("Rotate now")
	p.sees("/signing-keys", "Nothing was done")
}

// subproject makes one, with keys for more than a page and a policy, and deletes it.
func (p plain) subproject() {
	p.to("subprojects")
	p.types("displayName", "plain shop")
	p.press("Create")
	p.sees("", "The subproject is there")
	at := p.eval("location.pathname")
	id := at[strings.LastIndex(at, "/")+1:]
	p.types("displayName", "plain shop, renamed")
	p.press("Save")
	p.sees("", "The subproject has its new name", "plain shop, renamed")
	p.press("Switch to it")
	p.sees(id+"/functions", "No functions yet")
	own := &api.Client{Server: p.h.api.Server, ProjectID: id, KeyID: p.h.api.KeyID, Secret: p.h.api.Secret}
	for i := range 26 {
		_, err := own.CreateKey(p.Context(), api.CreateKeyRequest{DisplayName: fmt.Sprintf("key %02d", i)})
		p.h.ok(err)
	}
	p.in(id, "keys")
	p.press("Next page")
	p.sees("/keys", "key 00")
	p.press("First page")
	p.sees("/keys", "key 25")
	for n, rate := range []string{"5/s", "6/s"} {
		p.in(id, "gateway/policy")
		p.sees("/policy", "See what it changes")
		p.eval("document.getElementById('document').value = '', ''")
		p.types("document", "version: 1\ngroups:\n  - wrong\n")
		p.fails("See what it changes", "/policy", "groups")
		p.eval("document.getElementById('document').value = '', ''")
		p.types("document", "version: 1\ngroups:\n  partner:\n    rate: "+rate+" by key\n")
		p.press("See what it changes")
		p.sees("/policy", "What it changes", rate)
		p.press("Apply as policy")
		p.sees("/policy", "The policy is in force", fmt.Sprintf("Number %d is in force", n+1))
	}
	p.press("What it changed")
	p.sees("/diff", "5/s", "6/s")
	p.types("before", "9")
	p.fails("Compare", "/diff", "policy")
	p.to("subprojects/" + id + "/delete")
	p.sees("/delete", "All of its access keys end")
	p.press("Delete this subproject")
	p.sees("/subprojects", "The subproject and its keys have ended")
}

func (p plain) reference() {
	p.to("api")
	p.types("q", "rotate")
	p.asks("Search", "rotate", "/api", "rotate")
	p.to("api/listAccessKeys")
	p.press("Send GET")
	p.sees("/listAccessKeys", "200 OK")
	p.to("api/createSubproject")
	p.eval("document.getElementById('body').value = '', ''")
	p.types("body", `{"displayName": "made by a try"}`)
	p.press("Show what would be sent")
	p.sees("/createSubproject", "Send it?", "made by a try")
	p.press("Send POST")
	p.sees("/createSubproject", "200 OK", "made by a try")
}

// lists are pages whose forms choose what is listed.
func (p plain) lists() {
	p.to("audit")
	p.press("More filters")
	p.types("action", "createSubproject")
	p.asks("Show", "createSubproject", "/audit", "createSubproject", "allowed")
	p.types("code", "nothing_like_it")
	p.press("Show")
	p.sees("/audit", "No events are like that")
	p.to("usage")
	p.chooses("by", "day")
	p.asks("Show", "by=day", "/usage", "calls")
	p.eval("document.getElementById('from').value = '2031-01-01', ''")
	p.fails("Show", "/usage", "from")
	p.to("settings")
	p.types("q", "nothing like it")
	p.asks("Show", "nothing", "/settings", "No setting is like that")
	p.asks("Show all settings", "all=1", "/settings", "default")
	if status, _ := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/plain/hello", "", "", ""); status != 200 {
		p.Errorf("after all of it the function answers %d", status)
	}
}
