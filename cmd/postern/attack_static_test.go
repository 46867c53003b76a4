package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// statics is a function with files for everybody, one for those with a key, and
// much that is for nobody. What nobody may see has a mark in it.
var statics = map[string]string{
	"postern.json":                    `{"name":"files","runtime":"node","variables":{"MARK":"MARK-manifest"}}`,
	".env":                            "SECRET=MARK-env",
	"notes.txt":                       "MARK-stray",
	"public/index.html":               "<p>open",
	"public/a/index.html":             "<p>open a",
	"public/a/b.txt":                  "open b",
	"public/.env":                     "MARK-public-env",
	"public/.git/config":              "MARK-git",
	"public/secret.html":              "MARK-guarded",
	"public/a/secret/index.html":      "MARK-guarded",
	"public/.well-known/security.txt": "open known",
	"assets/private.txt":              "MARK-assets",
	"function.ts": `
import { chmodSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
export const auth = ['public/secret.html', 'public/a/secret/index.html'];
const mark = 'MARK-code';
export const stars = () => mark.length;
export const plant = (c: any, r: any) => {
  const at = process.cwd() + '/public/a/b.txt';
  chmodSync(process.cwd() + '/public/a', 0o700);
  unlinkSync(at);
  if (r.query.kind === 'pipe') execFileSync('mkfifo', [at]);
  else if (r.query.kind === 'longer') writeFileSync(at, 'MARK-planted');
  else symlinkSync(String(r.query.kind), at);
  return 'planted';
};
`,
}

// answer sends bytes on a connection of their own and returns the whole answer.
func (g *target) answer(request string) (status int, body string, h http.Header) {
	g.Helper()
	conn := g.dial()
	defer conn.Close()
	go io.WriteString(conn, request)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return 0, "", nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<22))
	return res.StatusCode, string(text), res.Header
}

func get(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + header + "\r\n"
}

// Nothing of a function but the files of public/ is ever sent, however it is
// asked for; what is guarded there is sent to who has a key.
func TestAttack_Static(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	dir := g.TempDir()
	g.files(dir, statics)
	if said := g.must("functions", "deploy", dir); !strings.Contains(said, "2 files, public/") || !strings.Contains(said, "left out") {
		t.Errorf("the deploy said:\n%s", said)
	}
	for path, want := range map[string]string{"/": "<p>open", "/a/": "<p>open a", "/a/b.txt": "open b", "/.well-known/security.txt": "open known"} {
		if status, body, _ := g.answer(get("/fn/files"+path, "")); status != 200 || body != want {
			t.Fatalf("%s: %d %q", path, status, body)
		}
	}
	for _, path := range []string{"/secret.html", "/a/secret/"} {
		if status, body, _ := g.answer(get("/fn/files"+path, "Authorization: "+g.basic+"\r\n")); status != 200 || body != "MARK-guarded" {
			t.Fatalf("%s with a key: %d %q", path, status, body)
		}
	}
	refused := func(name, request string, may ...int) {
		t.Helper()
		tried(t, name, request)
		status, body, _ := g.answer(request)
		if strings.Contains(body, "MARK") || status != 0 && !slices.Contains(append(may, 400, 401, 404, 405), status) {
			t.Errorf("%s: %.200q: %d %.200q", name, request, status, body)
		}
	}
	ups := []string{"..", "%2e%2e", ".%2e", "%2E.", "%252e%252e", "..;", "..;/..", "...", "..%00", "%00..", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%u002e%u002e", "%ef%bc%8e%ef%bc%8e", ". .", "..%20", "..%0a", "a/.."}
	separators := []string{"/", "//", "%2f", "%2F", "%252f", `\`, "%5c", "%255c", "/./", "%c0%af", "%ef%bc%8f", ";/"}
	things := []string{"assets/private.txt", "manifest.json", "worker.mjs", "worker.mjs.map", "function.ts", "postern.json", ".env", "notes.txt", "public/secret.html", "etc/passwd"}
	for i, up := range ups {
		for j, separator := range separators {
			for k, thing := range things {
				if (i+j+k)%3 != 0 { // each with each, a third of all three
					continue
				}
				for _, depth := range []int{1, 4} {
					climb := strings.Repeat(up+separator, depth)
					for _, base := range []string{"/", "/a/", "/public/"} {
						refused("traversal", get("/fn/files"+base+climb+strings.ReplaceAll(thing, "/", separator), ""))
					}
				}
			}
		}
	}
	for _, path := range []string{
		"/public/secret.html", "/public/a/b.txt", "/public", "/assets/private.txt", "/assets", "/assets/", "/private.txt", "/worker.mjs", "/worker.mjs.map", "/manifest.json", "/postern.json", "/sinch.json", "/package.json", "/function.ts",
		"/.env", "/.git/config", "/.git", "/%2eenv", "/.%65nv", "/.env/", "/a/.env", "/.ENV", "/notes.txt", "/.well-known", "/.well-known/", "/.well-known/../secret.html",
		"/a/b.txt/", "/a/b.txt/x", "/a/b.txt%00.html", "/a/b.txt%0a", "/a%0ab.txt", "/a/b.txt%20", "/a/b.txt.", "/a/B.TXT", "/A/b.txt", "/a/b.txt;x=1", "/a/b.txt::$DATA", "/a/b.txt~", "/a/b.txt.bak", "/a/b.txt.gz",
		"/C:/Windows/win.ini", "/file:///etc/passwd", "/~root/.ssh/id_rsa", "/proc/self/environ", "/dev/fd/3", "/index.html/../secret.html", "/" + strings.Repeat("a/", 8000) + "b.txt", "/" + strings.Repeat("A", 60000),
	} {
		refused("names", get("/fn/files"+path, ""), 200, 414, 431)
	}
	// Every spelling of a guarded file, without a key and with a wrong one.
	for _, path := range []string{
		"/secret.html", "//secret.html", "/secret.html/", "/%73ecret.html", "/secret%2ehtml", "/secret.html?x=1", "/secret.html?/index.html", "/./secret.html", "/a/../secret.html", "/secret.html;x", "/secret.html%00", "/SECRET.html",
		"/a/secret", "/a/secret/", "/a/secret//", "/a//secret/index.html", "/a/secret/index.html", "/a/secret/index.html/", "/a/%73ecret/", "/a/secret/./", "/a/secret/b/..", "/health/../secret.html", "/secret.html#",
	} {
		for _, header := range []string{
			"", "Authorization: Basic YTpi\r\n", "X-API-Key: psk_x\r\n", "Range: bytes=0-0\r\n", "Range: bytes=99999-\r\n", "If-None-Match: *\r\n", "If-Match: \"x\"\r\n", "If-Range: \"x\"\r\nRange: bytes=0-\r\n", "X-Original-URL: /index.html\r\n", "X-Rewrite-URL: /secret.html\r\n", "X-HTTP-Method-Override: GET\r\n", "Cookie: session=x\r\n",
		} {
			request := get("/fn/files"+path, header)
			refused("guarded", request)
			refused("guarded, its head", strings.Replace(request, "GET", "HEAD", 1))
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
		for _, path := range []string{"/", "/a/b.txt", "/secret.html"} {
			refused("methods", fmt.Sprintf("%s /fn/files%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path), 501)
		}
	}
	if status, _, h := g.answer("POST /fn/files/a/b.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"); status != 405 || h.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", status, h.Get("Allow"))
	}
	// A small request never makes a large answer.
	for name, ranges := range map[string]string{"overlapping": strings.Repeat("0-,", 5000) + "0-", "small": strings.Repeat("0-0,", 5000) + "0-0", "suffixes": strings.Repeat("-6,", 3000) + "-6", "empty": strings.Repeat(",", 9000), "huge": "0-" + strings.Repeat("9", 9000), "backwards": strings.Repeat("5-1,", 900) + "1-5"} {
		request := get("/fn/files/a/b.txt", "Range: bytes="+ranges+"\r\n")
		tried(t, "ranges "+name, request)
		if status, body, _ := g.answer(request); status != 200 && status != 206 || len(body) > len("open b") {
			t.Errorf("ranges %s: %d, %d bytes", name, status, len(body))
		}
	}
	// A function that replaces its own file where it lies harms itself alone.
	for _, kind := range []string{"/etc/passwd", "../../worker.mjs", "../../assets/private.txt", "../secret.html", "b.txt", "pipe", "longer"} {
		if status, body, _ := g.answer(get("/fn/files/plant?kind="+kind, "")); status != 200 && kind != "/etc/passwd" || strings.Contains(body, "root:") {
			t.Fatalf("plant %s: %d %s", kind, status, body)
		}
		request := get("/fn/files/a/b.txt", "X-Planted: "+kind+"\r\n")
		tried(t, "planted "+kind, request)
		if status, body, _ := g.answer(request); status != 500 || strings.Contains(body, "MARK") || strings.Contains(body, "root:") {
			t.Errorf("with %s in its place: %d %.100q", kind, status, body)
		}
	}
	if status, body, _ := g.answer(get("/fn/files/", "")); status != 200 || body != "<p>open" {
		t.Errorf("afterwards: %d %q", status, body)
	}
}

// A file needs no worker, not even for a start.
func TestStatic_NeedsNoWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := s.TempDir()
	s.files(dir, statics)
	s.must("functions", "deploy", dir)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.start()
	g := s.target()
	for range 3 {
		if status, body, _ := g.answer(get("/fn/files/a/b.txt", "")); status != 200 || body != "open b" {
			t.Errorf("%d %q", status, body)
		}
	}
	if pids := workers(s.data); len(pids) != 0 {
		t.Errorf("workers run: %v", pids)
	}
	if status, body, _ := g.answer(get("/fn/files/stars", "")); status != 200 || body != "9" || len(workers(s.data)) != 1 {
		t.Errorf("a handler: %d %q, and %d workers", status, body, len(workers(s.data)))
	}
}

// A guarded page sends a browser to sign in, and is sent to who has.
func TestStatic_SignIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	dir := o.TempDir()
	o.files(dir, map[string]string{
		"postern.json":      fmt.Sprintf(`{"name":"ledger","runtime":"node","variables":{"ADMIN_USER":%q,"ADMIN_PASSWORD":%q}}`, ledgerUser, ledgerPassword),
		"function.ts":       "export const auth = ['public/books.html'];\nexport const seen = () => 1;\n",
		"public/books.html": "<h1>The books",
		"public/open.html":  "<h1>The door",
	})
	o.must("functions", "deploy", dir)
	if res, body := o.ask("GET", "/open.html", "", "Sec-Fetch-Mode: navigate"); res.StatusCode != 200 || body != "<h1>The door" {
		t.Errorf("the open page: %d %q", res.StatusCode, body)
	}
	res, body := o.ask("GET", "/books.html", "", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html")
	if res.StatusCode != 303 || res.Header.Get("Location") != "/login?next=%2Fbooks.html" || strings.Contains(body, "books</") {
		t.Errorf("a browser: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if res, body := o.ask("GET", "/books.html", ""); res.StatusCode != 401 || strings.Contains(body, "<h1>") {
		t.Errorf("nobody: %d %q", res.StatusCode, body)
	}
	cookie := o.logIn(ledgerUser, ledgerPassword)
	if res, body := o.ask("GET", "/books.html", "", cookie, "Sec-Fetch-Site: same-origin"); res.StatusCode != 200 || body != "<h1>The books" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Vary") != "Cookie" {
		t.Errorf("who signed in: %d %q %v", res.StatusCode, body, res.Header)
	}
	if res, body := o.ask("GET", "/books.html", "", cookie, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"); res.StatusCode != 401 || strings.Contains(body, "<h1>") {
		t.Errorf("another site's page: %d %q", res.StatusCode, body)
	}
}

// A function reads its own assets, by their names and nothing else by any.
func TestStatic_Assets(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	dir := g.TempDir()
	g.files(dir, map[string]string{
		"postern.json": `{"name":"own","runtime":"node"}`,
		"function.ts": `
export const auth = [];
export const asset = async (c: any, r: any) => {
  if (r.query.move) process.chdir('/');
  try {
    const got = await c.assets(r.query.name, r.query.as);
    return typeof got === 'string' ? 'text ' + got : 'bytes ' + got.length;
  } catch (err: any) { return { statusCode: 404, body: err.message }; }
};
`,
		"assets/menu.json": `{"a":"ü"}`, "assets/menus/main.json": "main", "public/open.txt": "open", ".env": "NOTE=MARK\n",
	})
	g.must("functions", "deploy", dir)
	for _, tc := range []struct {
		query, want string
		status      int
	}{
		{"name=menu.json", `text {"a":"ü"}`, 200},
		{"name=menu.json&as=text", `text {"a":"ü"}`, 200},
		{"name=menu.json&as=buffer", `bytes 10`, 200},
		{"name=menus/main.json&move=1", "text main", 200},
		{"name=menus/main.json", "text main", 200},
		{"name=menu.jsn", "there is no file assets/menu.jsn; there is assets/menu.json", 404},
		{"name=main.json", "there is assets/menus/main.json", 404},
		{"name=something/else/entirely.png", "there are 2 others", 404},
		{"name=menus", "there is no file assets/menus", 404},
		{"name=menu.json&as=yaml", "not \"yaml\"", 404},
		{"", "is no name of a file", 404},
		{"name=", "is no name of a file", 404},
		{"name=../worker.mjs", "is no name of a file", 404},
		{"name=../public/open.txt", "is no name of a file", 404},
		{"name=./menu.json", "is no name of a file", 404},
		{"name=menus/../menu.json", "is no name of a file", 404},
		{"name=/etc/passwd", "is no name of a file", 404},
		{"name=..%5cworker.mjs", "is no name of a file", 404},
		{"name=menu.json%00", "is no name of a file", 404},
		{"name=menus//main.json", "is no name of a file", 404},
		{"name=.env", "is no name of a file", 404},
		{"name=menu.json&name=menu.json", "is no name of a file", 404},
	} {
		if status, body, _ := g.answer(get("/fn/own/asset?"+tc.query, "")); status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %q, want %d %q", tc.query, status, body, tc.status, tc.want)
		}
	}
}
