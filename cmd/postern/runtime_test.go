package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// everything is a function that answers with what it was given.
const everything = `
export const auth = [];
const told = (c: any, r: any) => ({ handler: r.path, method: r.method, url: r.url, query: r.query, headers: r.headers, cookies: r.cookies, body: r.body ?? null, raw: r.rawBody.length, ip: r.ip, params: r.params, route: r.route, identity: r.identity,
  same: r.requestId === c.requestId, requestId: c.requestId, timestamp: c.timestamp, contextIdentity: c.identity, functionName: c.config.functionName, projectId: c.config.projectId, environment: c.config.environment, variables: c.config.variables,
  required: c.config.requireVariable('GREETING'), env: c.env.GREETING, log: Object.keys(c.log), members: ['assets', 'functions'].filter((m) => c[m] !== undefined) });
export const show = told, users = told, smsWebhook = told;
export const form = (c: any, r: any) => Object.fromEntries(Object.entries(r.body).map(([k, v]: any) => [k, v instanceof File ? [v.name, v.type, v.size] : v]));
export const throws = () => { throw new Error('a secret reason'); };
export const rejects = async () => { throw 'a secret reason'; };
export const value = 1;
export const cookies = () => ({ statusCode: 302, headers: { location: '/fn/all/show' }, cookies: ['a=1; HttpOnly', 'b=2'] });
export const page = () => new Response('<p>', { headers: { 'content-type': 'text/html' } });
export const lines = () => ({ statusCode: 200, headers: { 'content-type': 'text/event-stream' }, body: (async function* () { yield 'data: 1\n\n'; yield 'data: 2\n\n'; })() });
export const nothing = () => {};
export default { home: (c: any, r: any) => 'home ' + r.method, ice: (c: any, data: any) => 'ice' };
`

// What a request finds, and what comes back, where nobody had said it.
func TestRuntime_Requests(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	g.deployed(`{"name":"all","runtime":"node","variables":{"GREETING":"hello"},"webhookProtection":"never"}`, everything)
	const part = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../x.txt\"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--X--\r\n"
	for _, tc := range []struct {
		name, request, kind, body string
		status                    int
		want                      string
	}{
		{"the root", "GET /", "", "", 200, "home GET"},
		{"the root, by its name", "GET /home", "", "", 200, "home GET"},
		{"the root takes every method", "POST /", "", "", 200, "home POST"},
		{"the last segment", "GET /api/v2/users", "", "", 200, `"handler":"/api/v2/users"`},
		{"a service", "POST /webhook/sms", "application/json", `{}`, 200, `"handler":"/webhook/sms"`},
		{"a service by its last segment", "POST /sms", "application/json", `{}`, 404, "handler_not_found"},
		{"every method", "DELETE /show", "", "", 200, `"method":"DELETE"`},
		{"options", "OPTIONS /show", "", "", 200, `"method":"OPTIONS"`},
		{"a head", "HEAD /show", "", "", 200, ""},
		{"an unknown method", "BREW /show", "", "", 501, "method_unknown"},
		{"nothing", "GET /nowhere", "", "", 404, `"code":"handler_not_found"`},
		{"an export that is no function", "GET /value", "", "", 404, "handler_not_found"},
		{"an inherited name", "GET /constructor", "", "", 404, "handler_not_found"},
		{"a reserved name", "GET /auth", "", "", 404, "handler_not_found"},
		{"another case", "GET /Show", "", "", 404, "handler_not_found"},
		{"a slash at the end", "GET /show/", "", "", 200, `"handler":"/show"`},
		{"two slashes", "GET //show", "", "", 200, `"handler":"/show"`},
		{"an escape", "GET /%73how", "", "", 200, `"handler":"/show"`},
		{"an escaped slash", "GET /a%2Fshow", "", "", 400, "ambiguous_path"},
		{"dots", "GET /a/../show", "", "", 400, "ambiguous_path"},
		{"health", "GET /health", "", "", 200, `"status":"ok"`},
		{"a callback by GET", "GET /ice", "", "", 400, "a callback needs a JSON object"},
		{"a callback that is not exported", "POST /ace", "application/json", `{"event":"ace"}`, 404, "handler_not_found"},
		{"it throws", "GET /throws", "", "", 500, `"code":"handler_failed"`},
		{"it rejects", "GET /rejects", "", "", 500, `"code":"handler_failed"`},
		{"it returns nothing", "GET /nothing", "", "", 204, ""},
		{"cookies", "GET /cookies", "", "", 302, ""},
		{"a Response", "GET /page", "", "", 200, "<p>"},
		{"events", "GET /lines", "", "", 200, "data: 1\n\ndata: 2\n\n"},
		{"JSON", "POST /show", "application/json", `{"a":[1]}`, 200, `"body":{"a":[1]}`},
		{"JSON that is none", "POST /show", "application/json", `{"a":`, 400, "body_malformed"},
		{"a form", "POST /show", "application/x-www-form-urlencoded", "a=1+2&b=1&b=2", 200, `"body":{"a":"1 2","b":["1","2"]}`},
		{"a form with a file", "POST /form", "multipart/form-data; boundary=X", part, 200, `{"a":"1","f":["x.txt","text/plain",3]}`},
		{"a form that is cut off", "POST /form", "multipart/form-data; boundary=X", part[:60], 400, "body_malformed"},
		{"text", "POST /show", "text/plain", "x", 200, `"body":"x"`},
		{"bytes", "POST /show", "application/octet-stream", "abc", 200, `"raw":3`},
		{"a query", "GET /show?a=1&a=2&b=%20", "", "", 200, `"query":{"a":["1","2"],"b":" "}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, path, _ := strings.Cut(tc.request, " ")
			kind := ""
			if tc.kind != "" {
				kind = "Content-Type: " + tc.kind + "\r\n"
			}
			status, body, h := g.answer(fmt.Sprintf("%s /fn/all%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: c=1\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: %d\r\n%s\r\n%s", method, path, len(tc.body), kind, tc.body))
			if status != tc.status || !strings.Contains(body, tc.want) || tc.want == "" && body != "" {
				t.Errorf("%d %q, want %d %q", status, body, tc.status, tc.want)
			}
			if strings.Contains(body, "secret reason") {
				t.Errorf("the caller was told why: %s", body)
			}
			if status >= 400 && h.Get("Content-Type") != "application/problem+json" && tc.name != "a callback by GET" {
				t.Errorf("refused as %q", h.Get("Content-Type"))
			}
			if tc.name == "cookies" && (len(h["Set-Cookie"]) != 2 || h.Get("Location") != "/fn/all/show") {
				t.Errorf("header %v", h)
			}
		})
	}
	if _, body, _ := g.answer("POST /fn/all/ice HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"event\":\"ice\"}"); body != "ice" {
		t.Errorf("a callback by POST: %q", body)
	}
}

// Each member of a request and its context.
func TestRuntime_Members(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	g.deployed(`{"name":"all","runtime":"node","variables":{"GREETING":"hello"},"routes":[{"path":"GET /of/{who}","handler":"users"}],"webhookProtection":"never"}`, everything)
	ask := func(path string) (m map[string]any, id string) {
		_, body, h := g.answer(get("/fn/all"+path, "Cookie: c=%C3%BC; d=2\r\nX-Twice: 1\r\nx-twice: 2\r\n"))
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return m, h.Get("X-Request-Id")
	}
	m, id := ask("/show?a=1")
	for name, want := range map[string]string{
		"method": "GET", "handler": "/show", "url": "/show?a=1", "query": "map[a:1]", "cookies": "map[c:ü d:2]", "body": "<nil>", "raw": "0", "ip": "127.0.0.1", "params": "map[]", "route": "", "identity": "<nil>", "contextIdentity": "<nil>",
		"same": "true", "requestId": id, "functionName": "all", "environment": "production", "variables": "map[GREETING:hello]", "required": "hello", "env": "hello", "log": "[debug info warn error]", "members": "[assets functions]",
	} {
		if got := fmt.Sprint(m[name]); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if h := m["headers"].(map[string]any); h["x-twice"] != "1, 2" || h["host"] != "h" {
		t.Errorf("headers %v", h)
	}
	if p, s := m["projectId"].(string), m["timestamp"].(string); !strings.HasPrefix(p, "prj_") || !strings.HasSuffix(s, "Z") || len(s) != 24 {
		t.Errorf("project %q, timestamp %q", p, s)
	}
	if m, _ := ask("/of/ada%20l"); fmt.Sprint(m["params"]) != "map[who:ada l]" || m["route"] != "GET /of/{who}" {
		t.Errorf("of a route: %v %v", m["params"], m["route"])
	}
}
