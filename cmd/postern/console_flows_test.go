package main_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	be "encoding/binary"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestConsole_Ways are the ways of people through the console, clicked and typed, on a
// desk and on a phone; each on its own function and keys, so that they run together.
func TestConsole_Ways(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	for _, s := range screens {
		h.function("shop-"+s.name, "", "export const auth = ['order'];\nexport const order = (context: any, request: any) => { console.log('an order by ' + request.headers['x-by'] + ' <b>bold</b>'); return 'ordered'; };\n")
		h.function("shop-"+s.name, "", "export const auth = ['order'];\nexport const order = () => 'the second';\n", "--percent", "10")
	}
	h.function("prices", "", "export const list = () => 'all prices';\n")
	ways := map[string]func(p *hand){"signs in and out": signsInAndOut, "a key's life": keysLife, "versions": versions, "logs": logs, "a flood of lines": flood, "gateway": gatewayWays, "without JavaScript": plainly, "menu by keyboard": menuByKeyboard, "by keyboard": byKeyboard, "many windows": manyWindows}
	for _, s := range screens {
		for name, way := range ways {
			if slices.Contains([]string{"a flood of lines", "many windows", "without JavaScript", "by keyboard"}, name) && s.phone || name == "menu by keyboard" && !s.phone { // once is enough; there is no such menu
				continue
			}
			cookie := "" // of each another, as of as many browsers
			if !slices.Contains([]string{"signs in and out", "without JavaScript", "by keyboard"}, name) {
				cookie = h.signedIn()
			}
			t.Run(s.name+", "+name, func(t *testing.T) {
				t.Parallel()
				p := h.someone(t, s, cookie)
				v := p.watched()
				way(p)
				v.quiet(t)
			})
		}
	}
}

// quiet fails the test if something else is in the console than that a form's mistake
// was answered with its status.
func (v *visited) quiet(t *testing.T) {
	t.Helper()
	faults, _ := v.take()
	for _, f := range faults {
		if !strings.Contains(f, "the server responded with a status of 4") && !strings.HasPrefix(f, "verbose: ") && !strings.HasPrefix(f, "info: ") {
			t.Errorf("the console has %q", f)
		}
	}
}

func signsInAndOut(p *hand) {
	p.to("keys")
	p.sees("/console/signin", "Sign in")
	p.types("key-id", p.h.api.KeyID)
	p.types("key-secret", "psk_"+strings.Repeat("x", 49))
	p.touch("sign in", "document.querySelector('#key-secret').form.querySelector('button')")
	p.sees("/console/signin", "wrong")
	if got := p.eval("document.querySelector('#key-id').value + ' ' + document.querySelector('#key-secret').value"); got != p.h.api.KeyID+" " {
		p.Errorf("after a wrong secret the form has %q", got)
	}
	p.types("key-secret", p.h.api.Secret)
	p.touch("sign in", "document.querySelector('#key-secret').form.querySelector('button')")
	p.sees("/keys", "Access keys", "administrator")
	if got := p.eval("document.cookie"); got != "" {
		p.Errorf("a script can read %q", got)
	}
	p.press("Sign out")
	p.sees("/console/signin", "Sign in")
	p.do(chromedp.NavigateBack())
	p.sees("/console/signin", "Sign in")
}

// keysLife is S3 from a display name on: what is shown once opens the function, the new
// key is in the list, is rotated, and ends.
func keysLife(p *hand) {
	name := "Acme <b>" + p.s.name
	p.to("keys")
	p.sees("/keys", p.h.api.ProjectID, "administrator")
	p.press("New key")
	p.sees("/keys/new", "Display name")
	p.press("More options")
	p.types("groups", "no such/group")
	p.types("displayName", name)
	p.press("Confirm")
	p.until("the mistake is told", "document.querySelector('#wrong-groups')")
	if got := p.eval("document.getElementById('displayName').value"); got != name {
		p.Errorf("after a mistake the name is %q", got)
	}
	p.types("groups", "shop-"+p.s.name)
	p.press("Confirm")
	p.sees("/keys/new", "Copy the Key Secret now: it will not be shown again")
	id, secret, curl := p.eval("document.querySelector('[data-copy^=pak_]').dataset.copy"), p.eval("document.querySelector('.secret code').innerText"), p.eval("[...document.querySelectorAll('[data-copy]')].map((e) => e.dataset.copy).find((t) => t.startsWith('curl'))")
	if got := curlWith(p, curl, secret); got != "ordered" && got != "the second" {
		p.Errorf("%s says %q", curl, got)
	}
	p.press("Confirm")
	p.sees("/keys", name, "new")
	if strings.Contains(p.eval("document.documentElement.outerHTML"), secret) {
		p.Error("the list has the secret")
	}
	p.press(name)
	p.sees("/keys/"+id, "Last used", "shop-"+p.s.name)
	p.press("Rotate")
	p.sees("/rotate", "good beside the new one")
	p.chooses("grace", "3600")
	p.press("Rotate")
	p.sees("/rotate", "will not be shown again", "The old secret stays good")
	for _, s := range []string{secret, p.eval("document.querySelector('.secret code').innerText")} {
		if status, body := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/shop-"+p.s.name+"/order", id, s, ""); status != 200 {
			p.Errorf("in the grace a secret gets %d %s", status, body)
		}
	}
	p.press("Confirm")
	p.sees("", name)
	p.to("keys/" + id)
	p.sees("/keys/"+id, name)
	p.press("Revoke")
	p.sees("/revoke", "are refused at once")
	eventually(p.T, "what it was used for is counted", func() bool {
		p.do(chromedp.Reload())
		return strings.Contains(p.text("main"), "This key is in use.") && strings.Contains(p.text("main"), "shop-"+p.s.name)
	})
	p.press("Revoke this key for ever")
	p.sees("/keys", "revoked")
	if status, _ := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/shop-"+p.s.name+"/order", id, secret, ""); status != 401 {
		p.Errorf("a revoked key gets %d", status)
	}
}

// curlWith runs the line that the page shows in a shell, which is asked for the secret.
func curlWith(p *hand, line, secret string) string {
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.Replace(line, "curl ", "curl -sS ", 1))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // curl asks the terminal, if there is one
	cmd.Stdin = strings.NewReader(secret + "\n")
	out, err := cmd.Output()
	if err != nil {
		p.Errorf("%s: %v", line, err)
	}
	return string(out)
}

func versions(p *hand) {
	at := "functions/shop-" + p.s.name + "/versions"
	p.to(at)
	p.sees("/versions", "Version 1 is active", "Version 2 is the candidate", "10 %")
	p.press("Make it active")
	p.sees("/change", "Version 2")
	p.touch("the confirmation", "document.querySelector('main form button')")
	p.sees("/versions", "Version 2 is active")
	p.press("Roll back")
	p.sees("/change", "Roll back?")
	p.touch("the confirmation", "document.querySelector('main form button')")
	p.sees("/versions", "version 1 again")
	if status, body := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/shop-"+p.s.name+"/order", p.h.api.KeyID, p.h.api.Secret, ""); body != "ordered" {
		p.Errorf("after the roll-back: %d %s", status, body)
	}
}

// logs are written while the page is open; then one of the calls is looked at, and sent again.
func logs(p *hand) {
	name := "logs-" + p.s.name
	p.h.function(name, "", "export const auth = [];\nlet n = 0;\nexport const hello = (context: any, request: any) => { console.log('hello <i>' + request.query.who + '</i>'); if (request.query.who === 'bob') console.error('bob is no friend'); return 'call ' + ++n; };\n")
	p.to("functions/" + name + "/logs")
	p.sees("/logs", "has written nothing yet", "Live")
	p.h.ask("GET", "/fn/"+name+"/hello?who=ada", nil, nil, "")
	p.sees("/logs", "hello <i>ada</i>")
	p.h.ask("GET", "/fn/"+name+"/hello?who=bob", nil, nil, "")
	p.sees("/logs", "bob is no friend")
	p.chooses("level", "error")
	eventually(p.T, "errors alone are shown", func() bool {
		got := p.text("#part")
		return strings.Contains(got, "bob is no friend") && !strings.Contains(got, "<i>ada</i>")
	})
	p.press("Requests")
	p.sees("/requests", "/hello?who=bob", "/hello?who=ada")
	p.touch("the call of ada", "[...document.querySelectorAll('main tbody a')].find((e) => e.innerText.includes('who=ada'))")
	p.sees("", "What it wrote", "hello <i>ada</i>", "Send it again")
	p.press("Nobody")
	p.touch("send", "document.querySelector('#send form button')")
	p.sees("", "The answer", "call 3")
}

// flood: more lines than anybody reads come into a page that is open, which goes on
// answering, and neither it nor the server grows by them.
func flood(p *hand) {
	p.h.function("flood", "", "export const auth = [];\nexport const talk = async () => {\n  const began = Date.now();\n  for (let n = 0; n < 20000;) {\n    for (const due = Math.min(20000, (Date.now() - began) * 5); n < due; n++) console.log('line ' + n + ' <b>of many</b>');\n    await new Promise((done) => setTimeout(done, 10));\n  }\n  return 'said';\n};\n")
	p.to("functions/flood/logs")
	p.sees("/logs", "Live")
	before := p.h.resident(p.T)
	said := make(chan string, 1)
	go func() {
		_, body := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/flood/talk", "", "", "")
		said <- body
	}()
	p.until("lines come", "document.querySelectorAll('.log li').length > 100")
	p.press("Pause")
	p.until("it answers a click meanwhile", "document.querySelector('[data-log-pause]').innerText !== 'Pause'")
	p.touch("go on", "document.querySelector('[data-log-pause]')")
	if got := <-said; got != "said" {
		p.Errorf("the function: %q", got)
	}
	p.until("the last line is there", "document.querySelector('.log').textContent.includes('line 19999')")
	if rows := p.eval("String(document.querySelectorAll('.log li').length)"); len(rows) > 4 || rows > "1100" && len(rows) == 4 {
		p.Errorf("the page has %s rows", rows)
	}
	if grown := p.h.resident(p.T) - before; grown > 96<<20 {
		p.Errorf("the server has grown by %d MiB", grown>>20)
	}
}

func gatewayWays(p *hand) {
	p.to("gateway/explain")
	p.sees("/explain", "One that is not made")
	p.types("url", "/fn/shop-"+p.s.name+"/order")
	p.touch("explain", "document.getElementById('url').form.querySelector('button')")
	p.sees("/explain", "refused", "401")
	p.to("gateway/matrix")
	p.sees("/matrix", "shop-"+p.s.name)
	p.follows("a cell of the administrator's", "[...document.querySelectorAll('.matrix tbody tr')].find((r) => r.innerText.startsWith('administrator')).querySelector('td a')", "/explain")
	p.sees("/explain", "passed")
	if p.s.phone { // a project has one policy
		return
	}
	p.to("gateway/policy")
	p.sees("/policy", "No policy was applied yet")
	p.eval("document.getElementById('document').value = '', ''")
	p.types("document", "version: 1\nfunctions:\n  nosuch:\n    visibility: private\n")
	p.press("See what it changes")
	p.sees("/policy", "nosuch")
	p.eval("document.getElementById('document').value = '', ''")
	p.do(chromedp.SetValue("#document", "version: 1\nfunctions:\n  prices:\n    handlers:\n      list: { auth: none }\n"))
	p.press("See what it changes")
	p.sees("/policy", "What it changes", "Open to everyone from now on")
	if status, _ := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/prices/list", "", "", ""); status != 401 {
		p.Errorf("a preview opened it: %d", status)
	}
	p.press("Apply, and open these to everyone")
	p.sees("/policy", "Number 1 is in force")
	if status, _ := call(p.T, http.DefaultClient, "GET", p.h.gateway+"/fn/prices/list", "", "", ""); status != 200 {
		p.Errorf("the policy is not in force: %d", status)
	}
}

// TestConsole_FirstUser: the first user is made once, signs in with a password and then
// with a second factor as well.
func TestConsole_FirstUser(t *testing.T) {
	t.Parallel()
	for _, s := range screens {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h := newHall(t)
			p := h.someone(t, s, "")
			if s.phone {
				p.scriptless()
			}
			v := p.watched()
			p.do(chromedp.Navigate(h.control + "/"))
			p.sees("/console/signin", "There is no user yet")
			p.press("Make the first user")
			p.sees("/console/setup", "Make the first user")
			const password = "four words nobody knows"
			p.types("key-id", h.api.KeyID)
			p.types("key-secret", h.api.Secret)
			p.types("username", "ada")
			p.types("new-password", password)
			p.types("again", password+"?")
			p.press("Make the user and sign in")
			p.sees("/console/setup", "same")
			p.faulty("not alike")
			p.clear()
			p.types("key-secret", h.api.Secret)
			p.types("new-password", password)
			p.types("again", password)
			p.press("Make the user and sign in")
			p.sees("/console/account", "Second factor", "Off")
			p.press("Set it up")
			p.sees("/console/account/code", "Scan this")
			p.clear()
			secret := strings.ReplaceAll(p.text("main code"), " ", "")
			p.types("code", codeAt(t, secret, time.Now()))
			p.types("password", password)
			p.press("Turn it on")
			p.sees("", "Recovery codes")
			p.clear()
			p.press("I have kept them")
			p.sees("/console/account", "On")
			p.press("Sign out")
			p.sees("/console/signin", "As a user")
			p.types("username", "ada")
			p.types("password", password)
			p.touch("sign in", "document.querySelector('#password').form.querySelector('button')")
			p.sees("/console/signin/code", "Your code")
			p.types("code", "000000")
			p.press("Go on")
			p.sees("/console/signin/code", "Your code", "wrong")
			p.faulty("wrong")
			p.clear()
			p.types("code", codeAt(t, secret, time.Now().Add(30*time.Second))) // that of now was used
			p.press("Go on")
			p.sees("/functions", "ada")
			if s.phone {
				p.touch("the menu", "document.querySelector('details.menu summary')")
				p.touch("users", "[...document.querySelectorAll('details.menu a')].find((e) => e.innerText === 'Users')")
			} else {
				p.to("users")
			}
			p.sees("/users", "you")
			p.touch("the user", "document.querySelector('tbody a')")
			p.sees("", "Turn the second factor off")
			p.clear()
			p.press("Turn it off")
			p.sees("", "The second factor is off")
			v.quiet(t)
			if status, _ := call(t, http.DefaultClient, "GET", h.control+"/console/setup", "", "", ""); status != 404 {
				t.Errorf("the first user can be made twice: %d", status)
			}
		})
	}
}

// codeAt is what an app shows (RFC 6238: SHA-1, six digits, 30 s).
func codeAt(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(secret))
	if err != nil {
		t.Fatalf("the secret %q: %v", secret, err)
	}
	mac := hmac.New(sha1.New, key)
	be.Write(mac, be.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	n := be.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}
