package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tells writes what it was given to everywhere that it can reach.
const tells = `
import { writeSync } from 'node:fs';
export const auth = [];
const put = (fd: number, text: string | Buffer) => { // a pipe that is full takes a part, or none
  for (let p = Buffer.from(text); p.length > 0;) try { p = p.subarray(writeSync(fd, p)); } catch (e: any) { if (e.code !== 'EAGAIN') throw e; }
};
const basic = (s: string, user: string) => 'Basic ' + Buffer.from(user + ':' + s).toString('base64');
const tell = (s: string) => {
  console.log('raw', s, { s }, JSON.stringify({ s }), encodeURIComponent(s), new URLSearchParams({ s }).toString());
  console.warn(Buffer.from(s).toString('base64'), Buffer.from(s).toString('base64url'), Buffer.from(s).toString('hex'), Buffer.from(s).toString('hex').toUpperCase());
  for (const user of ['', 'a', 'bb', 'ccc']) console.error('headers', { authorization: basic(s, user) });
  const b = Buffer.from(s);
  for (const write of [(p: any) => process.stdout.write(p), (p: any) => put(1, p), (p: any) => put(2, p)]) {
    for (const at of [1, 7, 20, b.length - 1]) { write(b.subarray(0, at)); write(b.subarray(at)); write('\n'); }
    for (const n of [10, 30, 50]) { write('y'.repeat(65536 - n)); write(b.subarray(0, 15)); write(b.subarray(15)); write('\n'); }
  }
  for (const n of [10, 30, 50]) console.log('y'.repeat(65536 - n) + s);
};
export const webhook = () => { for (const s of SECRETS) tell(s); return 'told'; };
export const throws = () => { throw new Error('not with ' + SECRETS.join(' ') + ', nor ' + basic(SECRETS[0]!, 'user')); };
export const malformed = (c: any, r: any) => r.body;
export const exits = () => { put(2, SECRETS.map((s) => 'last words: ' + s).join('\n')); process.exit(3); };
const SECRETS = ['PROJECT_ID_API_SECRET', 'AWKWARD', 'DATABASE_URL'].map((n) => process.env[n]!);
`

// A function writes its secrets in every form to everywhere. None of them is in
// what the server says, in a file of its data directory, or in an answer of its API.
func TestRedact_FunctionsSecretsStayOut(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.deployed(`{"name":"teller","runtime":"node"}`, tells)
	secrets := map[string][]byte{"AWKWARD": []byte(`pä55 "w0rd"\of/the+house & all <of> it%20`), "DATABASE_URL": []byte("postgres://user:correct-horse@db.example.com/orders?sslmode=verify-full&application_name=teller")}
	set, err := json.Marshal(map[string]any{"set": map[string]string{"AWKWARD": string(secrets["AWKWARD"]), "DATABASE_URL": string(secrets["DATABASE_URL"])}})
	if err != nil {
		t.Fatal(err)
	}
	project := "/v1/projects/" + v.key["POSTERN_PROJECT_ID"]
	if res, body := v.send(v.control, fmt.Sprintf("PATCH %s/functions/teller/secrets HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", project, v.basic, len(set), set), nil); res == nil || res.StatusCode != 200 {
		t.Fatal(res, body)
	}
	_, d, err := v.activeFunction("teller")
	if err != nil {
		t.Fatal(err)
	}
	own, err := v.box.Open(t.Context(), d.ID, d.SealedKeySecret)
	if err != nil {
		t.Fatal(err)
	}
	secrets["its own key"] = own
	var answers bytes.Buffer
	get := func(door, path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", door+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", v.basic)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		fmt.Fprintln(&answers, res.Status, res.Header, string(body))
		return string(body)
	}
	if got := get(v.gateway, "/fn/teller/webhook"); got != "told" {
		t.Fatalf("%s\n%s", got, v.log())
	}
	for _, path := range []string{"throws", "exits", "none"} {
		get(v.gateway, "/fn/teller/"+path)
	}
	for name, value := range secrets { // callers put them into paths, which are logged
		for form, text := range forms(value) {
			get(v.gateway, "/fn/teller/none/"+url.PathEscape(string(text)))
			get(v.gateway, "/fn/teller/none/"+strings.Repeat("a", 1010)+url.PathEscape(string(text)))
			get(v.gateway, "/"+url.PathEscape(string(text))+"/"+url.PathEscape(name+form))
		}
	}
	logs := v.logs("teller")
	for _, path := range []string{"/functions", "/functions/teller", "/functions/teller/logs", "/audit?pageSize=1000"} {
		get(v.control, project+path)
	}
	for _, id := range regexp.MustCompile("req_[0-9a-z]{20}").FindAllString(answers.String(), 20) {
		get(v.control, project+"/explain/"+id)
	}

	check := func(where string, in []byte) {
		t.Helper()
		for _, found := range leaks(in, secrets) {
			t.Errorf("in %s: %s", where, found)
		}
		// Nor is the half of one, which the forms above would not show.
		for name, value := range secrets {
			for _, half := range [][]byte{value[4:20], value[len(value)-16:]} {
				if i := bytes.Index(in, half); i >= 0 {
					t.Errorf("in %s: a part of %s: …%q", where, name, in[max(0, i-80):i])
				}
			}
		}
	}
	check("answers", answers.Bytes())
	check("what the function wrote", []byte(logs))
	if err := v.stop(); err != nil {
		t.Error(err)
	}
	found := 0
	err = filepath.WalkDir(v.data, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			check(path, data)
			found += bytes.Count(data, []byte("[redacted AWKWARD]"))
			return err
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if found < 30 {
		t.Errorf("%d values were found in what the function wrote", found)
	}
	check("the log", []byte(v.log()))
	if text := v.log(); !strings.Contains(text, "/fn/teller/webhook") || !strings.Contains(text, "[redacted PROJECT_ID_API_SECRET]") {
		t.Error("the log does not say what was done")
	}
}

// A deploy that fails says why, without the value that it names.
func TestRedact_FailedDeploy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, source := range map[string]string{
		"the module": `console.error(process.env.PROJECT_ID_API_SECRET); throw new Error('cannot sign in: ' + Buffer.from('user:' + process.env.PROJECT_ID_API_SECRET).toString('base64')); export const f = () => 1;`,
		"setup":      `export const f = () => 1; export function setup() { throw new Error(process.env.PROJECT_ID_API_SECRET); }`,
		"its end":    `process.stderr.write(process.env.PROJECT_ID_API_SECRET + '\n'); process.exit(1); export const f = () => 1;`,
	} {
		dir := t.TempDir()
		s.files(dir, map[string]string{"postern.json": `{"name":"fails","runtime":"node"}`, "function.ts": source})
		out, err := s.command("functions", "deploy", dir)
		if err == nil || !strings.Contains(out, "[redacted PROJECT_ID_API_SECRET]") || regexp.MustCompile(`psk_\w{10}`).MatchString(out) || strings.Contains(out, base64.StdEncoding.EncodeToString([]byte("user:psk"))[:10]+"x") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if regexp.MustCompile(`psk_\w{10}`).MatchString(strings.ReplaceAll(s.log(), s.key["POSTERN_KEY_SECRET"], "")) {
		t.Errorf("%s", s.log())
	}
}
