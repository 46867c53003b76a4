package gateway_test

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/supervisor"
)

// vault is what a function keeps secret.
type vault map[string]string

func (v vault) Refresh(context.Context, string) error { return nil }

func (v vault) Secret(d platform.Deployment, name string) (string, error) {
	return v[d.FunctionID+" "+name], nil
}

const (
	voiceBody = `{"event":"ice"}`
	icePath   = "/fn/orders/ice"
)

// signedCallback is a voice callback by the application "app" with that key.
func signedCallback(key string, at time.Time) *http.Request {
	digest := md5.Sum([]byte(voiceBody))
	stamp := at.UTC().Format(time.RFC3339Nano)
	m := hmac.New(sha256.New, []byte(key))
	io.WriteString(m, "POST\n"+base64.StdEncoding.EncodeToString(digest[:])+"\napplication/json\nx-timestamp:"+stamp+"\n"+icePath)
	r := httptest.NewRequest("POST", icePath, strings.NewReader(voiceBody))
	r.Header = http.Header{"Content-Type": {"application/json"}, "X-Timestamp": {stamp},
		"Authorization": {"application app:" + base64.StdEncoding.EncodeToString(m.Sum(nil))}}
	return r
}

func TestCallback(t *testing.T) {
	t.Parallel()
	good, spare := base64.StdEncoding.EncodeToString([]byte("a secret of ours")), base64.StdEncoding.EncodeToString([]byte("one of the files"))
	for name, tc := range map[string]struct {
		vault, variables map[string]string
		key              string
		after            time.Duration
		memory           signature.Memory
		status           int
		reason           string
	}{
		"from the vault":              {vault: vault{fnID + " VOICE_APPLICATION_KEY": "app", fnID + " VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", status: 503},
		"from the variables":          {variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", status: 503},
		"the vault before a variable": {vault: vault{fnID + " VOICE_APPLICATION_SECRET": good}, variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": spare}, key: "one of the files", status: 401, reason: signature.ErrSignature.Error()},
		"another function's vault":    {vault: vault{"fn-x VOICE_APPLICATION_KEY": "app", "fn-x VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", status: 401, reason: signature.ErrNoSecret.Error()},
		"no secret":                   {key: "a secret of ours", status: 401, reason: signature.ErrNoSecret.Error()},
		"a secret that is none":       {variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": "!"}, key: "a secret of ours", status: 401, reason: signature.ErrNoSecret.Error()},
		"another application":         {variables: vault{"VOICE_APPLICATION_KEY": "app2", "VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", status: 401, reason: signature.ErrUnknownKey.Error()},
		"another secret":              {variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": good}, key: "x", status: 401, reason: signature.ErrSignature.Error()},
		"stale":                       {variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", after: -6 * time.Minute, status: 401, reason: signature.ErrStale.Error()},
		"of the future":               {variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", after: 6 * time.Minute, status: 401, reason: signature.ErrFuture.Error()},
		"nothing can be remembered":   {variables: vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": good}, key: "a secret of ours", memory: signature.NewReplays(0), status: 503, reason: signature.ErrMemory.Error()},
	} {
		w := newWorld(t)
		d := w.src.active[fnID]
		d.Variables = tc.variables
		w.src.active[fnID] = d
		w.g = gateway.New(gateway.Options{Access: slog.New(slog.NewJSONHandler(w.access, nil)), Secrets: vault(tc.vault), Callbacks: tc.memory}, w.invoker)
		w.load(t)
		res, p := w.send(signedCallback(tc.key, time.Now().Add(tc.after)))
		ran := w.invoker.acquired.Load()
		if res.StatusCode != tc.status || (ran == 1) != (tc.status == 503 && tc.reason == "") {
			t.Errorf("%s: %d %s, ran %d times", name, res.StatusCode, p.Code, ran)
		}
		if log := w.access.String(); tc.reason != "" != strings.Contains(log, `"reason":"`+tc.reason) || strings.Contains(log, good) {
			t.Errorf("%s: the access log says %s", name, log)
		}
		if tc.status == 401 && (p.Code != "signature_required" || strings.Contains(p.Detail, tc.reason)) {
			t.Errorf("%s: the sender is told %+v", name, p)
		}
		if tc.reason == "" { // no worker took it, so it may come again
			if res, _ := w.send(signedCallback(tc.key, time.Now())); res.StatusCode != 503 {
				t.Errorf("%s, again: %d", name, res.StatusCode)
			}
		}
	}
}

// A signature is for the handlers that are guarded by one, and opens no other.
func TestCallback_OpensNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Variables = vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": "AAAA"}
	d.Handlers = append([]platform.Handler{{Name: "stripeWebhook", Kind: platform.HandlerService, Guard: platform.GuardSignature}}, d.Handlers...)
	w.src.active[fnID] = d
	w.load(t)
	for path, want := range map[string]string{"/fn/orders/webhook": "unauthenticated", "/fn/orders/odd": "signature_required", "/fn/orders/webhook/stripe": "signature_required", "/fn/orders/x/ice": "signature_required"} {
		r := signedCallback("\x00\x00\x00", time.Now())
		r.RequestURI = path
		if res, p := w.send(r); res.StatusCode != 401 || p.Code != want {
			t.Errorf("%s: %d %s, want %s", path, res.StatusCode, p.Code, want)
		}
	}
	if n := w.invoker.acquired.Load(); n != 0 {
		t.Errorf("%d ran", n)
	}
	if e, err := w.g.Explain(audit.Question{ProjectID: project, Method: "POST", URL: icePath}); err != nil || e.Status != 401 || e.Steps[2].Why != signature.ErrMissing.Error() {
		t.Errorf("a question is told %+v, %v", e, err)
	}
}

// mover retires each deployment that it is asked for, and calls back.
type mover struct {
	asked []string
	then  func()
}

func (m *mover) Acquire(_ context.Context, id string) (supervisor.Lease, error) {
	m.asked = append(m.asked, id)
	m.then()
	return supervisor.Lease{}, supervisor.ErrRetired
}

func (m *mover) AcquireSocket(ctx context.Context, id string) (supervisor.Lease, error) {
	return m.Acquire(ctx, id)
}

func (*mover) Retire(string) {}

// When the steps are taken again, a callback is no replay of itself; but it is
// good for what it was verified for, not for whatever answers there by then.
func TestCallback_Moved(t *testing.T) {
	t.Parallel()
	const key = "\x00\x00\x00"
	for name, tc := range map[string]struct {
		change func(*source)
		status int
		asked  int
	}{
		"a new deployment": {func(s *source) {
			d := s.active[fnID]
			d.ID += "x"
			s.active[fnID] = d
		}, 503, 4},
		"a new deployment with another secret": {func(s *source) {
			d := s.active[fnID]
			d.Variables = nil
			s.active[fnID] = d
		}, 503, 4},
		"another function at the address": {func(s *source) {
			f, d := s.functions[fnID], s.active[fnID]
			f.ID, f.ProjectID, d.ID = "fn-other", "prj_b", "dep_other"
			delete(s.functions, fnID)
			s.functions[f.ID], s.active[f.ID] = f, d
		}, 401, 1},
		"no callback any more": {func(s *source) {
			d := s.active[fnID]
			d.Handlers = handlers[1:]
			s.active[fnID] = d
		}, 404, 1},
	} {
		w := newWorld(t)
		d := w.src.active[fnID]
		d.Variables = vault{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": "AAAA"}
		w.src.active[fnID] = d
		m := &mover{}
		w.g = gateway.New(gateway.Options{}, m)
		m.then = func() {
			tc.change(w.src)
			m.then = func() {}
			w.load(t)
		}
		w.load(t)
		if res, p := w.send(signedCallback(key, time.Now())); res.StatusCode != tc.status || len(m.asked) != tc.asked {
			t.Errorf("%s: %d %s, asked for %v", name, res.StatusCode, p.Code, m.asked)
		}
	}
}

// hub is a callback as GitHub signs it.
func hub(path, secret, body string) *http.Request {
	m := hmac.New(sha256.New, []byte(secret))
	io.WriteString(m, body)
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header = http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(m.Sum(nil))}}
	return r
}

// Each door has a verifier of its own: what opens the one opens no other, of the
// same handler either.
func TestCallback_ByDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Variables = vault{"OLD": "old", "NEW": "new", "OTHER": "other"}
	signed := func(pattern string, s *platform.Signature) platform.Route {
		return platform.Route{Pattern: pattern, Guard: platform.GuardSignature, Rule: platform.Rule{Signature: s}}
	}
	d.Handlers = []platform.Handler{{Name: "hook", Routes: []platform.Route{
		signed("POST /rotating", &platform.Signature{Scheme: "github", Secrets: []string{"NEW", "OLD"}}),
		signed("POST /other", &platform.Signature{Scheme: "github", Secrets: []string{"OTHER"}}),
		signed("POST /slack", &platform.Signature{Scheme: "slack", Secrets: []string{"NEW"}}),
		signed("POST /unset", &platform.Signature{Scheme: "github", Secrets: []string{"NONE"}}),
		signed("POST /undescribed", nil),
		signed("POST /unknown", &platform.Signature{Scheme: "none", Secrets: []string{"NEW"}}),
	}}, {Name: "named", Guard: platform.GuardSignature, Rule: platform.Rule{Signature: &platform.Signature{Scheme: "github", Secrets: []string{"NEW"}}}}}
	w.src.active[fnID] = d
	w.load(t)
	for _, tc := range []struct {
		name, path, secret, body string
		runs                     bool
	}{
		{"the new secret", "rotating", "new", "1", true},
		{"the old secret", "rotating", "old", "2", true},
		{"another door's secret", "rotating", "other", "3", false},
		{"an empty secret", "rotating", "", "4", false},
		{"the other door", "other", "other", "5", true},
		{"the other door with this one's secret", "other", "new", "6", false},
		{"another scheme", "slack", "new", "7", false},
		{"a variable that is not set", "unset", "", "8", false},
		{"nothing says how", "undescribed", "new", "9", false},
		{"a scheme that nobody knows", "unknown", "new", "10", false},
		{"found by its name", "named", "new", "11", true},
		{"found by its name below a segment", "a/named", "new", "12", true},
		{"by the name of a handler with routes", "hook", "new", "13", false},
	} {
		before := w.invoker.acquired.Load()
		res, p := w.send(hub("/fn/orders/"+tc.path, tc.secret, tc.body))
		if ran := w.invoker.acquired.Load() - before; (ran == 1) != tc.runs || !tc.runs && res.StatusCode != 401 && p.Code != "handler_not_found" {
			t.Errorf("%s: %d %s, ran %d times", tc.name, res.StatusCode, p.Code, ran)
		}
	}
}
