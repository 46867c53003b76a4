package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

// teller answers with a secret that it has, and does not start with the value
// "refuse". It writes all that it knows.
const teller = `
if (process.env.SECRET_VALUE === 'refuse') throw new Error('no such value');
export const auth = ['tell'];
export const tell = () => process.env.SECRET_VALUE ?? 'none';
export const all = () => process.env;
export const say = () => { console.log('it is ' + process.env.SECRET_VALUE); console.error(JSON.stringify(process.env)); throw new Error('with ' + process.env.SECRET_VALUE); };
`

// client is the control plane's, for a project.
func (s *site) client(projectID, keyID, secret string) *api.Client {
	return &api.Client{Server: s.control, ProjectID: projectID, KeyID: keyID, Secret: secret}
}

// own is that of the first project.
func (s *site) own() *api.Client {
	return s.client(s.key["POSTERN_PROJECT_ID"], s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"])
}

// upload bundles a function and uploads it.
func (s *site) upload(c *api.Client, manifest, source string) (hash string) {
	s.Helper()
	dir := s.TempDir()
	s.files(dir, map[string]string{"postern.json": manifest, "function.ts": source})
	a, err := bundle.Build(s.Context(), dir)
	if err == nil {
		err = c.PutArtefact(s.Context(), a.Hash, a.Archive)
	}
	if err != nil {
		s.Fatal(err)
	}
	return a.Hash
}

// told is what a function answers at a handler of it.
func (s *site) told(slug, handler string) (int, string) {
	return call(s.T, http.DefaultClient, "GET", s.gateway+"/fn/"+slug+"/"+handler, s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"], "")
}

func (s *site) refused(what string, err error, code string) {
	s.Helper()
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != code {
		s.Errorf("%s: %v, want %s", what, err, code)
	}
}

// TestSecretStore_Push: a new value is there without a deploy, no call fails for
// it, and one with which the function does not start changes nothing.
func TestSecretStore_Push(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.own()
	hash := s.upload(c, `{"name":"tell","runtime":"node","variables":{"PLAIN":"x"},"secrets":["SECRET_VALUE"]}`, teller)
	_, err := c.Deploy(t.Context(), "tell", api.DeployRequest{Artefact: hash})
	s.refused("a deploy without a value", err, "secret_missing")
	_, err = c.Deploy(t.Context(), "tell", api.DeployRequest{Artefact: hash, Secrets: map[string]string{"SECRET_VALUE": "v0", "PLAIN": "secret"}})
	s.refused("a name with two meanings", err, "secret_is_variable")
	_, err = c.ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Set: map[string]string{"SECRET_VALUE": "v0"}})
	s.refused("a function that is not there", err, "function_not_found")
	if _, err := c.Deploy(t.Context(), "tell", api.DeployRequest{Artefact: hash, Secrets: map[string]string{"SECRET_VALUE": "v0"}}); err != nil {
		t.Fatal(err)
	}
	load := s.callers(4, "/fn/tell/tell", func(status int, body string) bool { return status == http.StatusOK && strings.HasPrefix(body, "v") })
	for i := 1; i <= 4; i++ {
		value := fmt.Sprintf("v%d", i)
		out, err := c.ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Set: map[string]string{"SECRET_VALUE": value}})
		if err != nil || len(out.Restarted) != 1 || len(out.Secrets) != 1 || out.Secrets[0].Version != i+1 {
			t.Fatalf("push %d: %+v, %v", i, out, err)
		}
		if _, got := s.told("tell", "tell"); got != value {
			t.Errorf("after push %d it has %q", i, got)
		}
		_, err = c.ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Set: map[string]string{"SECRET_VALUE": "refuse", "OTHER": "o"}})
		s.refused("a value with which it does not start", err, "module_failed")
		if _, got := s.told("tell", "tell"); got != value {
			t.Errorf("after a refused push it has %q", got)
		}
	}
	load.end(t, 20)
	if list, err := c.Secrets(t.Context(), "tell"); err != nil || len(list.Secrets) != 1 {
		t.Errorf("what a refused push leaves: %+v, %v", list, err)
	}
	if out, err := c.ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Remove: []string{"SECRET_VALUE"}}); err != nil || len(out.Warnings) != 1 {
		t.Errorf("removed: %+v, %v", out, err)
	}
	if _, got := s.told("tell", "tell"); got != "none" {
		t.Errorf("after it was removed it has %q", got)
	}
}

// TestSecretStore_Apart: two functions of one project, and two of one name in
// two projects, never see each other's values: not in their environment, with
// keys of each other, in a log, or in any byte of any file.
func TestSecretStore_Apart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.own()
	sub, err := a.CreateSubproject(t.Context(), api.CreateSubprojectRequest{DisplayName: "b"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.client(sub.SubprojectID, a.KeyID, a.Secret).CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "b", Scopes: []string{"control", "invoke"}})
	if err != nil {
		t.Fatal(err)
	}
	b := s.client(sub.SubprojectID, made.AccessKey.AccessKeyID, made.Secret)
	values := map[string][]byte{}
	slugs := map[string]string{}
	for _, x := range []struct {
		c          *api.Client
		name, what string
	}{{a, "f", "a/f"}, {a, "g", "a/g"}, {b, "f", "b/f"}} {
		value := fmt.Sprintf("value-of-%s-%x", strings.Replace(x.what, "/", "-", 1), rand.Uint64())
		values[x.what] = []byte(value)
		hash := s.upload(x.c, fmt.Sprintf(`{"name":%q,"runtime":"node","secrets":["SECRET_VALUE"]}`, x.name), teller)
		out, err := x.c.Deploy(t.Context(), x.name, api.DeployRequest{Artefact: hash, Secrets: map[string]string{"SECRET_VALUE": value}})
		if err != nil {
			t.Fatal(err)
		}
		slugs[x.what] = out.Function.Slug
	}
	for c, owner := range map[*api.Client]string{a: "a", b: "b"} {
		values["shared in "+owner] = fmt.Appendf(nil, "shared-in-%s-%x", owner, rand.Uint64())
		if _, err := c.ChangeSecrets(t.Context(), "", api.ChangeSecretsRequest{Set: map[string]string{"TEAM": string(values["shared in "+owner])}}); err != nil {
			t.Fatal(err)
		}
	}
	for what, slug := range slugs { // the environment of each has its own value and no other
		client := http.DefaultClient
		_, env := call(t, client, "GET", s.gateway+"/fn/"+slug+"/all", "", "", "")
		for other, value := range values {
			if has := strings.Contains(env, string(value)); has != (other == what) {
				t.Errorf("%s and the value of %s: %v", what, other, has)
			}
		}
		call(t, client, "GET", s.gateway+"/fn/"+slug+"/say", "", "", "")
	}
	// With the keys of b nothing of a is shown or changed, whether it is there or
	// not; and nobody is shown a value at all.
	thief := s.client(a.ProjectID, b.KeyID, b.Secret)
	for _, name := range []string{"f", "g", "none", ""} {
		_, err := thief.Secrets(t.Context(), name)
		s.refused("to list with another's key", err, "not_allowed")
		_, err = thief.ChangeSecrets(t.Context(), name, api.ChangeSecretsRequest{Set: map[string]string{"SECRET_VALUE": "mine"}})
		s.refused("to set with another's key", err, "not_allowed")
	}
	_, err = thief.RotateKeys(t.Context())
	s.refused("to rotate with another's key", err, "not_allowed")
	var seen bytes.Buffer
	for _, c := range []*api.Client{a, b} {
		for _, path := range []string{"/functions", "/functions/f", "/functions/f/secrets", "/secrets", "/functions/f/logs", "/audit", "/functions/f/deployments"} {
			_, body := call(t, http.DefaultClient, "GET", s.control+"/v1/projects/"+c.ProjectID+path, c.KeyID, c.Secret, "")
			seen.WriteString(body)
		}
		for _, body := range []string{`{"set":{"SECRET_VALUE":5}}`, `{"set":{"SECRET_VALUE":"%s"}`, `{"set":{"%s":"x"}}`, `{"remove":"%s"}`, `{"set":{"PATH":"%s"}}`, `{"set":{"SECRET_VALUE":"%s","X":""}}`, `{"%s":1}`} {
			if strings.Contains(body, "%s") {
				body = fmt.Sprintf(body, values["a/f"])
			}
			r, _ := http.NewRequest("PATCH", s.control+"/v1/projects/"+c.ProjectID+"/functions/f/secrets", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.SetBasicAuth(c.KeyID, c.Secret)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode < 400 {
				t.Errorf("%s: %d", body, res.StatusCode)
			}
			seen.ReadFrom(res.Body)
			res.Body.Close()
		}
	}
	if !strings.Contains(seen.String(), "it is [redacted SECRET_VALUE]") {
		t.Error("the functions' logs do not have what was redacted")
	}
	if _, err := a.RotateKeys(t.Context()); err != nil {
		t.Error(err)
	}
	for _, found := range leaks(seen.Bytes(), values) {
		t.Errorf("in an answer: %s", found)
	}
	s.onDisk(values) // with the write-ahead log, as a crash would leave it
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	s.onDisk(values)
	for _, found := range leaks([]byte(s.log()), values) {
		t.Errorf("in the server's log: %s", found)
	}
}

// onDisk looks for values in every file of the data directory.
func (s *site) onDisk(values map[string][]byte) {
	s.Helper()
	files := 0
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil // gone meanwhile
		}
		files++
		for _, found := range leaks(text, values) {
			s.Errorf("%s: %s", path, found)
		}
		return nil
	})
	if err != nil || files < 5 {
		s.Errorf("looked at %d files: %v", files, err)
	}
}

// TestSecretStore_Killed kills the server at random moments of pushes and of
// rotations. It comes back with the old value or the new one, whole; everything
// opens, and the next command works.
func TestSecretStore_Killed(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	c := s.own()
	hash := s.upload(c, `{"name":"tell","runtime":"node","secrets":["SECRET_VALUE","PAIR"]}`, strings.ReplaceAll(teller, "?? 'none'", "+ '/' + process.env.PAIR"))
	pair := func(n int) map[string]string {
		return map[string]string{"SECRET_VALUE": fmt.Sprint("v", n), "PAIR": fmt.Sprint("p", n)}
	}
	if _, err := c.Deploy(t.Context(), "tell", api.DeployRequest{Artefact: hash, Secrets: pair(0)}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Set: pair(1)}); err != nil {
		t.Fatal(err)
	}
	usual := map[bool]time.Duration{true: time.Since(began)}
	began = time.Now()
	if _, err := c.RotateKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	usual[false] = time.Since(began)
	current, cut := 1, 0
	for i := range 12 {
		push := i%3 < 2
		next := current
		done := make(chan error, 1)
		if push {
			next = i + 2
		}
		go func() {
			var err error
			if c := s.own(); push {
				c.HTTP = &http.Client{Timeout: 20 * time.Second}
				_, err = c.ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Set: pair(next)})
			} else {
				_, err = c.RotateKeys(t.Context())
			}
			done <- err
		}()
		timer := time.NewTimer(time.Duration(random.Int64N(int64(usual[push]))))
		<-timer.C
		s.kill()
		err := <-done
		if err != nil {
			cut++
		} else if usual[push] /= 2; usual[push] == 0 { // it was quicker than the kill
			usual[push] = 1
		}
		s.start()
		status, got := s.told("tell", "tell")
		if status != http.StatusOK || got != fmt.Sprintf("v%d/p%d", next, next) && (err == nil || got != fmt.Sprintf("v%d/p%d", current, current)) {
			t.Fatalf("kill %d: %d %q, before it was %d, and %d was pushed (%v)\n%s", i, status, got, current, next, err, s.log())
		}
		fmt.Sscanf(got, "v%d/", &current)
		if list, err := s.own().Secrets(t.Context(), "tell"); err != nil || len(list.Secrets) != 2 || list.Secrets[0].Version != list.Secrets[1].Version {
			t.Fatalf("kill %d: %+v, %v", i, list, err)
		}
	}
	if _, err := s.own().RotateKeys(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.own().ChangeSecrets(t.Context(), "tell", api.ChangeSecretsRequest{Set: pair(99)}); err != nil {
		t.Error(err)
	}
	if _, got := s.told("tell", "tell"); got != "v99/p99" {
		t.Errorf("the next command: %s", got)
	}
	if t.Logf("%d of 12 kills cut something off", cut); cut == 0 {
		t.Error("no kill came in time")
	}
}
