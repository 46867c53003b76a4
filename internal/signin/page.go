package signin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"time"
)

// Page is what a built-in page shows. Every text may be anybody's.
type Page struct {
	Function string        // its name
	User     string        // as it was typed before
	Next     string        // where to after the sign-in, checked
	Token    string        // FormToken
	Refused  bool          // the user or the password was wrong
	Forged   bool          // the form was not taken
	Wait     time.Duration // there were too many attempts
	Out      bool          // who looks at it has just signed out
}

// Seconds is the wait in whole seconds, rounded up.
func (p Page) Seconds() int { return int((p.Wait + time.Second - 1) / time.Second) }

// Login is the page with the form.
func (p Page) Login() []byte { return p.render(loginPage) }

// Logout is the page that asks whether to sign out.
func (p Page) Logout() []byte { return p.render(logoutPage) }

func (p Page) render(t *template.Template) []byte {
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		panic(err) // a template of ours and a struct of ours
	}
	return b.Bytes()
}

// style has no comment and no quote, so that a template leaves it as it is:
// the policy names it by its hash.
const style = `
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #ffffff; --line: #d5d9e0; --edge: #7d8695; --text: #1a1f29; --soft: #5a6372; --field: #ffffff; --accent: #1f5fbf; --on: #ffffff; --bad: #a32020; --badbg: #fdeeee; --good: #1d6b3a; --goodbg: #eaf6ee; }
@media (prefers-color-scheme: dark) { :root { --ground: #11141a; --card: #1a1f28; --line: #343c4a; --edge: #717d90; --text: #e8ebf1; --soft: #9aa4b5; --field: #12161d; --accent: #7fb0ff; --on: #0c1a30; --bad: #ffb1ab; --badbg: #3a1d1f; --good: #9fe0b4; --goodbg: #17301f; } }
* { box-sizing: border-box; }
html { height: 100%; }
body { margin: 0; min-height: 100%; display: flex; align-items: center; justify-content: center; padding: 1.25rem; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 23rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .9rem; box-shadow: 0 1px 2px rgb(0 0 0 / .05), 0 .6rem 2rem rgb(0 0 0 / .07); }
svg { display: block; width: 2rem; height: 2rem; margin-bottom: .9rem; color: var(--accent); }
h1 { margin: 0; font-size: 1.4rem; line-height: 1.25; }
.to { margin: .2rem 0 1.5rem; color: var(--soft); overflow-wrap: anywhere; }
label { display: block; margin: 1rem 0 .35rem; font-weight: 600; font-size: .92rem; }
input { width: 100%; padding: .65rem .75rem; font: inherit; color: inherit; background: var(--field); border: 1px solid var(--edge); border-radius: .5rem; }
button { width: 100%; margin-top: 1.5rem; padding: .7rem; font: inherit; font-weight: 600; color: var(--on); background: var(--accent); border: 1px solid transparent; border-radius: .5rem; cursor: pointer; }
button:hover { filter: brightness(1.08); }
input:focus-visible, button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.note { margin: 0 0 1rem; padding: .65rem .8rem; border-radius: .5rem; font-size: .95rem; }
.bad { color: var(--bad); background: var(--badbg); }
.good { color: var(--good); background: var(--goodbg); }
@media (max-width: 26rem) { body { align-items: flex-start; padding: .75rem; } main { padding: 1.4rem; margin-top: 6vh; } }
@media (forced-colors: active) { button { border-color: currentcolor; } }
`

const head = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{if .Refused}}Not signed in{{else if .Wait}}Please wait{{else}}` + `{{block "title" .}}{{end}}` + `{{end}} · {{.Function}}</title>
<style>` + style + `</style>
</head>
<body>
<main>
<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M4 21V4.6a1 1 0 0 1 .8-1L14 2v20l-9.2-1.6"/><path d="M14 5h4.5a1 1 0 0 1 1 1v14.5H14"/><path d="M10.6 12.2v.1"/></svg>
`

const foot = `</main>
</body>
</html>
`

var loginPage = template.Must(template.New("login").Parse(head + `<h1>Sign in</h1>
<p class="to">to {{.Function}}</p>
{{if .Wait}}<p class="note bad" role="alert" id="problem">Too many attempts have failed. Try again in {{.Seconds}} {{if eq .Seconds 1}}second{{else}}seconds{{end}}.</p>
{{else if .Refused}}<p class="note bad" role="alert" id="problem">The user or the password is wrong.</p>
{{else if .Forged}}<p class="note bad" role="alert" id="problem">The form was open for too long, or did not come from this page. Please try again.</p>
{{else if .Out}}<p class="note good" role="status">You are signed out.</p>
{{end}}<form method="post" action="/login">
<input type="hidden" name="next" value="{{.Next}}">
<input type="hidden" name="form" value="{{.Token}}">
<label for="username">User</label>
<input id="username" name="username" type="text" value="{{.User}}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="1024" required{{if not .User}} autofocus{{end}}{{if .Refused}} aria-invalid="true" aria-describedby="problem"{{end}}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" required{{if .User}} autofocus{{end}}{{if .Refused}} aria-invalid="true" aria-describedby="problem"{{end}}>
<button type="submit">Sign in</button>
</form>
` + foot + `{{define "title"}}Sign in{{end}}`))

var logoutPage = template.Must(template.New("logout").Parse(head + `<h1>Sign out</h1>
<p class="to">of {{.Function}}</p>
{{if .Forged}}<p class="note bad" role="alert">That did not come from this page. Do you want to sign out?</p>
{{end}}<form method="post" action="/logout">
<input type="hidden" name="form" value="{{.Token}}">
<button type="submit" autofocus>Sign out</button>
</form>
` + foot + `{{define "title"}}Sign out{{end}}`))

// policy lets the page have its own style and its own form, and nothing else:
// no script, no picture, no frame around it.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// Shield sets the header fields of a built-in page.
func Shield(h http.Header) {
	for name, value := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy, "X-Frame-Options": "DENY",
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
		h[name] = []string{value}
	}
}
