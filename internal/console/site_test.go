package console_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/config"
)

// site is the console over a whole server, and somebody who is signed in to it.
type site struct {
	*testing.T
	url     string // of the console's host
	gateway string // where functions are called
	api     *api.Client
	project string
	client  *http.Client
	form    url.Values // with which they signed in; nil: with the first key
	token   string     // of the session's forms
	log     *logged
}

// logged is what the server wrote into its log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newSite starts a server on free ports with SQLite, and signs in to its console with
// the first key.
func newSite(t *testing.T, flags ...string) *site {
	t.Helper()
	in := config.Input{Flags: map[string]string{"data": filepath.Join(t.TempDir(), "data"), "listen": "127.0.0.1:0", "control-listen": "127.0.0.1:0", "drain-timeout": "2s", "basic-rate": "1000", "basic-burst": "1000"}, Apart: true}
	for i := 0; i < len(flags); i += 2 {
		in.Flags[flags[i]] = flags[i+1]
	}
	cfg, err := config.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	server, err := app.New(t.Context(), cfg, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal("the server ended before it was ready: ", err)
	}
	key := server.FirstKey()
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, log: log, url: server.ControlURL(), gateway: server.GatewayURL(), project: key.ProjectID, client: &http.Client{Transport: &http.Transport{}, Jar: cookies, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		api: &api.Client{Server: server.ControlURL(), ProjectID: key.ProjectID, KeyID: key.ID, Secret: key.Secret.Reveal()}}
	s.signIn(url.Values{"key-id": {key.ID}, "key-secret": {key.Secret.Reveal()}})
	return s
}

var csrfField = regexp.MustCompile(`name="csrf" value="([A-Za-z0-9_-]+)"`)

// csrf is the token of the forms of a page.
func (s *site) csrf(p page) string {
	s.Helper()
	m := csrfField.FindStringSubmatch(p.body)
	if m == nil {
		s.Fatalf("the page has no form: %d %s", p.status, p.text())
	}
	return m[1]
}

// signIn signs in with a form, and remembers the token of the session's forms.
func (s *site) signIn(form url.Values) {
	s.Helper()
	form.Set("csrf", s.csrf(s.get("/signin")))
	if p := s.send("POST", "/signin", form); p.status != http.StatusSeeOther {
		s.Fatalf("sign-in: %d %s", p.status, p.text())
	}
	s.token = s.csrf(s.get("/account"))
}

// deploy deploys a function of one module.
func (s *site) deploy(name, source string) {
	s.Helper()
	s.deployWith(name, source, "", api.DeployRequest{})
}

// deployWith deploys a function of one module; fields are more of its manifest,
// each with a comma before it.
func (s *site) deployWith(name, source, fields string, in api.DeployRequest) {
	s.Helper()
	if err := s.tryDeploy(name, source, fields, in); err != nil {
		s.Fatal(err)
	}
}

// tryDeploy is deployWith of a function that may not start.
func (s *site) tryDeploy(name, source, fields string, in api.DeployRequest) error {
	s.Helper()
	dir := s.TempDir()
	for file, text := range map[string]string{"postern.json": `{"name": "` + name + `", "runtime": "node"` + fields + `}`, "function.ts": source} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	artefact, err := bundle.Build(s.Context(), dir)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.api.PutArtefact(s.Context(), artefact.Hash, artefact.Archive); err != nil {
		s.Fatal(err)
	}
	in.Artefact = artefact.Hash
	_, err = s.api.Deploy(s.Context(), name, in)
	return err
}

// page is the answer to a request of the console.
type page struct {
	status int
	header http.Header
	body   string
}

// get loads a page: a path below /console, or below /console/p/<project> where it has no slash in front.
func (s *site) get(path string) page { s.Helper(); return s.send("GET", path, nil) }

// post sends a form with the token of the session's forms.
func (s *site) post(path string, form url.Values) page {
	s.Helper()
	if form == nil {
		form = url.Values{}
	}
	if !form.Has("csrf") {
		form.Set("csrf", s.token)
	}
	return s.send("POST", path, form)
}

func (s *site) send(method, path string, form url.Values) page {
	s.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/p/" + s.project + "/" + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+"/console"+path, body)
	if err != nil {
		s.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return page{res.StatusCode, res.Header, string(data)}
}

// want fails unless a page has a status and each of some texts.
func (s *site) want(p page, status int, texts ...string) {
	s.Helper()
	if p.status != status {
		s.Fatalf("status %d, not %d:\n%s", p.status, status, p.text())
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			s.Errorf("the page has no %q:\n%s", text, p.text())
		}
	}
}

// no fails if a page has one of some texts.
func (s *site) no(p page, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if strings.Contains(p.body, text) {
			s.Errorf("the page has %q", text)
		}
	}
}

var inlineStyle = regexp.MustCompile(`(?i)<[^>]*\s(style|on[a-z]+)\s*=|<style|<script>|javascript:`)

// text is a page's content for a failure.
func (p page) text() string {
	_, main, ok := strings.Cut(p.body, "<main")
	if !ok {
		main = p.body
	}
	return main[:min(len(main), 3000)]
}
