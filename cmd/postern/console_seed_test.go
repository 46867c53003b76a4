package main_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
)

// hostile are texts that people and programs write where others read them: markup for
// each place of a page, what browsers might take for a script, what turns or hides the
// text around it, and what has no place to break a line. Where one ran, it would set
// __xss in the page.
var hostile = []string{
	`<img src=x onerror=window.__xss=1>`,
	`"><script>window.__xss=1</script>`,
	`' onfocus='window.__xss=1' autofocus tabindex='0`,
	`</title></textarea></style><svg onload=window.__xss=1>`,
	`{{.Session.CSRF}}${window.__xss=1}` + "`",
	`javascript:window.__xss=1//`,
	"zero\u200bwidth\ufeff and \u00adsoft",
	"עברית and العربية and 漢字 and 👩‍👩‍👧‍👦",
	"<!-- --><b hx-get=/console/signout hx-trigger=load>bold",
	strings.Repeat("W", 96),
}

// hall is a real server for people to look at with the console.
type hall struct {
	*site
	api *api.Client
}

func newHall(t *testing.T, flags ...string) *hall {
	t.Helper()
	h := &hall{site: &site{T: t, data: filepath.Join(t.TempDir(), "data")}}
	h.start(append([]string{"--basic-rate", "10000", "--basic-burst", "10000"}, flags...)...)
	h.key = exports(h.stdout)
	h.sign()
	h.enter()
	return h
}

// enter says where the server is now, after each start.
func (h *hall) enter() {
	h.api = &api.Client{Server: h.control, ProjectID: h.key["POSTERN_PROJECT_ID"], KeyID: h.key["POSTERN_KEY_ID"], Secret: h.key["POSTERN_KEY_SECRET"]}
}

// ok fails the test unless all went well.
func (h *hall) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// function deploys one, with a manifest of more than its name where that is given.
func (h *hall) function(name, more, source string, flags ...string) {
	h.Helper()
	dir := h.TempDir()
	h.files(dir, map[string]string{"postern.json": `{"name": "` + name + `", "runtime": "node"` + more + `}`, "function.ts": source})
	h.must(append([]string{"functions", "deploy", dir, "--force"}, flags...)...)
}

// newKey makes an access key.
func (h *hall) newKey(in api.CreateKeyRequest) api.CreatedKey {
	h.Helper()
	made, err := h.api.CreateKey(h.Context(), in)
	h.ok(err)
	return made
}

// ask calls a function, with a key or without, and does not care what it answers.
func (h *hall) ask(method, path string, key *api.CreatedKey, header map[string]string, body string) {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), method, h.gateway+path, strings.NewReader(body))
	h.ok(err)
	if key != nil {
		r.SetBasicAuth(key.AccessKey.AccessKeyID, key.Secret)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	h.ok(err)
	res.Body.Close()
}

// quoted is a text as a literal of JSON and of JavaScript.
func quoted(s string) string {
	data, _ := json.Marshal(s)
	return string(data)
}

// all does things at the same time, and waits for them.
func all(steps ...func()) {
	var wg sync.WaitGroup
	for _, step := range steps {
		wg.Go(step)
	}
	wg.Wait()
}

const longName = "a-name-as-long-as-names-may-be-012345678"

// secretValue is one that no page may show.
const secretValue = "the-value-that-nobody-sees"

// crowd fills the server with more of everything than a page shows at once, and
// with hostile texts wherever one may be written.
func (h *hall) crowd() {
	h.Helper()
	var lines strings.Builder
	for _, text := range append(hostile, "\u202eturned\u202c", "\u001b[31mred\u001b[0m \u0007 \u0000", "line\nof\ttwo") {
		fmt.Fprintf(&lines, "  console.log(%s); console.error(%s);\n", quoted(text), quoted(text))
	}
	var variables []string
	for i, text := range hostile {
		variables = append(variables, fmt.Sprintf(`"TEXT_%d": %s`, i, quoted(text)))
	}
	loud := "export const auth = ['closed'];\nexport const open = (context: any, request: any) => {\n" + lines.String() + "  return { statusCode: 200, headers: { 'x-odd': '<b>' }, body: " + quoted(hostile[0]) + " };\n};\nexport const closed = () => 'in';\nexport const fails = () => { throw new Error(" + quoted(hostile[1]) + "); };\n"
	more := `, "description": ` + quoted(hostile[3]) + `, "variables": {` + strings.Join(variables, ", ") + `}, "secrets": ["API_TOKEN"], "routes": [{"path": "GET /things/{id}", "handler": "open", "group": "partner"}, {"path": "POST /things", "handler": "closed", "group": "` + longName + `"}]`
	all(
		func() {
			h.function("aloud", more, loud)
			_, err := h.api.ChangeSecrets(h.Context(), "aloud", api.ChangeSecretsRequest{Set: map[string]string{"API_TOKEN": secretValue}})
			h.ok(err)
			h.function("aloud", more, loud+"// a candidate\n", "--percent", "10")
		},
		func() { h.function(longName, "", "export const auth = [];\nexport const hello = () => 'hello';\n") },
		func() {
			h.function("fails-to-start", "", "export const hello = () => 'hello';\n")
		},
	)
	h.manyKeys()
	for i, text := range hostile {
		_, err := h.api.CreateSubproject(h.Context(), api.CreateSubprojectRequest{DisplayName: text, Labels: map[string]string{fmt.Sprintf("label-%d", i): text}})
		h.ok(err)
	}
	for _, name := range []string{"ada", strings.Repeat("w", 64)} {
		_, err := h.api.CreateUser(h.Context(), api.CreateUserRequest{Name: name, Password: "four words nobody knows"})
		h.ok(err)
	}
	h.policy()
	h.traffic()
}

// manyKeys makes keys in all states.
func (h *hall) manyKeys() {
	h.Helper()
	for i := range slices.Backward(make([]int, 65)) { // the newest stand first in lists
		in := api.CreateKeyRequest{DisplayName: fmt.Sprintf("key %02d", i)}
		switch {
		case i < len(hostile):
			in.DisplayName, in.Metadata = hostile[i], map[string]string{"team": hostile[i], "owner": hostile[(i+1)%len(hostile)]}
		case i%5 == 0:
			in.Groups, in.RatePerSecond, in.Quota = []string{"partner", longName, "aloud"}, 50, &api.Quota{Limit: 1000, Per: "day"}
		case i%7 == 0:
			in.ExpireTime = time.Now().Add(3 * time.Second).Format(time.RFC3339)
		case i%11 == 0:
			in.AllowedCIDRs, in.Binding = []string{"192.0.2.0/24", "2001:db8::/32"}, "dpop"
		case i == 13:
			in.ServicePlanID = "c3po"
		}
		made := h.newKey(in)
		switch {
		case i%9 == 8:
			h.ok(h.api.RevokeKey(h.Context(), made.AccessKey.AccessKeyID))
		case i%13 == 12:
			_, err := h.api.RotateKey(h.Context(), made.AccessKey.AccessKeyID, api.RotateKeyRequest{GracePeriod: 86400})
			h.ok(err)
		}
	}
}

// policy applies two documents, so that there is a history.
func (h *hall) policy() {
	h.Helper()
	for i, rate := range []int{100, 200} {
		_, err := h.api.ApplyPolicy(h.Context(), api.ApplyPolicyRequest{Document: fmt.Sprintf(`# %s
version: 1
groups:
  partner:
    rate: %d/s by key
functions:
  aloud:
    handlers:
      fails: { auth: none }
upstreams:
  legacy:
    url: http://127.0.0.1:9/base
    routes:
      GET /v%d/{path...}: { group: partner, timeout: 5s }
`, hostile[1], rate, i)}, false)
		h.ok(err)
	}
}

// traffic makes calls that are answered, that fail and that are refused.
func (h *hall) traffic() {
	h.Helper()
	guest := h.newKey(api.CreateKeyRequest{DisplayName: "a guest of one group", Groups: []string{"partner"}})
	odd := map[string]string{"User-Agent": hostile[0], "X-Odd": hostile[2], "Referer": "http://x/?" + hostile[5]}
	for i := range 12 {
		h.ask("GET", "/fn/aloud/open?q=%3Cscript%3Ewindow.__xss=1%3C/script%3E&i="+fmt.Sprint(i), nil, odd, "")
		h.ask("GET", "/fn/aloud/things/%3Cimg%20src=x%20onerror=window.__xss=1%3E", &guest, odd, "")
		h.ask("POST", "/fn/aloud/fails", nil, odd, hostile[1])
		h.ask("POST", "/fn/aloud/closed", nil, odd, "")
		h.ask("POST", "/fn/aloud/closed", &guest, odd, "")
		h.ask("GET", "/fn/aloud/"+strings.Repeat("long", 60), nil, odd, "")
	}
}

var formToken = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// signedIn is the cookie of a new session of the administrator's key.
func (h *hall) signedIn() string {
	h.Helper()
	jar, err := cookiejar.New(nil)
	h.ok(err)
	client := &http.Client{Jar: jar}
	res, err := client.Get(h.control + "/console/signin")
	h.ok(err)
	text, err := io.ReadAll(res.Body)
	res.Body.Close()
	h.ok(err)
	token := formToken.FindStringSubmatch(string(text))
	if token == nil {
		h.Fatalf("no form to sign in: %d %s", res.StatusCode, text)
	}
	res, err = client.PostForm(h.control+"/console/signin", url.Values{"csrf": {html.UnescapeString(token[1])}, "key-id": {h.api.KeyID}, "key-secret": {h.api.Secret}})
	h.ok(err)
	res.Body.Close()
	for _, c := range jar.Cookies(res.Request.URL) {
		if c.Name == "postern-console" {
			return c.Name + "=" + c.Value
		}
	}
	h.Fatalf("not signed in: %d at %s", res.StatusCode, res.Request.URL)
	return ""
}

// resident is the memory of the server in bytes.
func (h *hall) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", h.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var all, resident int64
	if _, err := fmt.Sscan(string(text), &all, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
