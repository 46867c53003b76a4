package main_test

import (
	"slices"
	"strings"
	"testing"
)

// state is a page that is not only what its address says: after a search, or after a
// form, whose fields by their IDs get values and whose button begins so.
type state struct {
	path   string
	fields map[string]string
	press  string // empty: the address is enough
	text   string // that the page shows
	wrong  bool   // it is said what is wrong, where the focus is
}

// states are those of pages over the crowd's data: nothing found, mistakes, questions
// and answers. That of the sign-in are in [TestConsole_FirstUser].
var states = []state{
	{path: "keys?q=nothing-like-it", text: "No key is like that"},
	{path: "keys?state=revoked", text: "key"},
	{path: "keys/pak_none", text: "That did not work", wrong: true},
	{path: "keys/new", fields: map[string]string{"displayName": "axe", "groups": "no such/group"}, press: "Confirm", text: "the list of groups", wrong: true},
	{path: "keys/new", fields: map[string]string{"displayName": "axe"}, press: "Confirm", text: "will not be shown again"},
	{path: "service-plans/new", fields: map[string]string{"displayName": "axe", "servicePlanId": "two words"}, press: "Confirm", text: "the service plan ID", wrong: true},
	{path: "functions?q=zzz", text: "No function is called that"},
	{path: "functions/none", text: "That did not work", wrong: true},
	{path: "functions/aloud/logs?search=nothing+like+it", text: "Nothing like that is in the log"},
	{path: "functions/aloud/requests?search=nothing+like+it", text: "No request like that"},
	{path: "functions/aloud/versions/change?version=2&percent=100", text: "Version 2"},
	{path: "functions/aloud/settings/secrets/remove?key=API_TOKEN", text: "gone for good"},
	{path: "functions/aloud/settings", fields: map[string]string{"key": "API_TOKEN"}, press: "Set the secret", text: "Write the value", wrong: true},
	{path: "functions/aloud/requests/new", fields: map[string]string{"path": "/open", "headers": "no field"}, press: "Send", text: "field", wrong: true},
	{path: "functions/aloud/requests/new", fields: map[string]string{"path": "/open"}, press: "Send", text: "The answer"},
	{path: "gateway?q=nothing-like-it", text: "No route is like that"},
	{path: "gateway/matrix?key=nothing-like-it", text: "No key is like that"},
	{path: "gateway/matrix?from=nowhere", text: "address", wrong: true},
	{path: "gateway/refusals?code=nothing_like_it", text: "No refusal is like that"},
	{path: "gateway/explain?request=req_none", text: "request", wrong: true},
	{path: "gateway/diff?before=x&after=1", text: "both must be numbers", wrong: true},
	{path: "gateway/policy", fields: map[string]string{"document": "version: 1\ngroups: []\n"}, press: "See what it changes", text: "groups", wrong: true},
	{path: "gateway/policy", fields: map[string]string{"document": "version: 1\nfunctions:\n  aloud:\n    routes:\n      POST /things: { auth: none }\n"}, press: "See what it changes", text: "Open to everyone from now on"},
	{path: "usage?from=2031-01-01", text: "from", wrong: true},
	{path: "usage?by=key", text: "calls"},
	{path: "audit?action=nothing", text: "No events are like that"},
	{path: "audit?since=2026-11-01T09:30&until=2026-11-01T09:29&outcome=refused", text: "Audit log"},
	{path: "users", fields: map[string]string{"username": "axe", "new-password": "four words nobody knows", "again": "five"}, press: "Add the user", text: "not alike", wrong: true},
	{path: "subprojects", fields: map[string]string{"displayName": ""}, press: "Create", text: "the name", wrong: true},
	{path: "settings?q=nothing-like-it", text: "No setting is like that"},
	{path: "api?q=nothing-like-it", text: "No operation is like that"},
	{path: "api/createSubproject", fields: map[string]string{"body": "{"}, press: "Show what would be sent", text: "the body is no JSON", wrong: true},
	{path: "api/createSubproject", fields: map[string]string{"body": "{}"}, press: "Show what would be sent", text: "Send it?"},
	{path: "api/listAccessKeys", press: "Send GET", text: "200 OK"},
}

// states brings the pages into each of the states, and looks at it once.
func (h *hall) states(t *testing.T, cookie string) {
	host := strings.TrimPrefix(h.control, "http://")
	p := h.someone(t, screens[0], cookie)
	v := p.watched()
	for _, s := range states {
		t.Run(s.path+" "+s.text, func(t *testing.T) {
			p := &hand{&tab{t, p.ctx}, h, p.s}
			p.to(s.path)
			if s.press != "" {
				p.sees(s.path)
				p.sends(s.fields, s.press)
			}
			p.sees("", s.text)
			if s.wrong {
				p.faulty("")
			}
			found := slices.DeleteFunc(p.unsound(host, v), func(fault string) bool {
				return strings.Contains(fault, "the server responded with a status of 4")
			})
			for _, fault := range append(found, p.barriers("")...) {
				t.Error(fault)
			}
		})
	}
}

// sends fills fields and presses the button of their form, past what the browser itself
// would say of a mistake.
func (p *hand) sends(fields map[string]string, button string) {
	p.Helper()
	for id, value := range fields {
		p.eval(byID(id) + ".value = " + quoted(value) + ", ''")
	}
	p.eval("document.querySelectorAll('form').forEach((f) => { f.noValidate = true; }), ''")
	p.press(button)
}

// clear looks at a state that somebody has come to, on a desk.
func (p *hand) clear() {
	p.Helper()
	if p.s.phone {
		return
	}
	for _, fault := range p.barriers("") {
		p.Errorf("%s: %s", p.eval("location.pathname"), fault)
	}
}
