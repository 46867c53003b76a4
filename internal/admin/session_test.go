package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// during makes a call within a session.
func (w *world) during(session func(time.Time) (auth.Principal, error), method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r.WithContext(auth.WithSession(r.Context(), session)))
	return rec
}

func userOf(project string) func(time.Time) (auth.Principal, error) {
	return func(time.Time) (auth.Principal, error) {
		return auth.Principal{Method: auth.MethodSession, User: &auth.User{ID: "usr_ann", ProjectID: project}}, nil
	}
}

// signedIn serves the control plane to a user's session, until they have signed out.
func (w *world) signedIn(t *testing.T) (url string, signOut func()) {
	t.Helper()
	var over atomic.Bool
	session := func(now time.Time) (auth.Principal, error) {
		if over.Load() {
			return auth.Principal{}, fault.New(fault.Unauthenticated, "signed out")
		}
		return userOf(w.project)(now)
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.handler.ServeHTTP(rw, r.WithContext(auth.WithSession(r.Context(), session)))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() { over.Store(true) }
}

func (w *world) keyOf(name string, generation int) func(time.Time) (auth.Principal, error) {
	return func(now time.Time) (auth.Principal, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return auth.OfKey(w.dir, w.id[name], generation, now)
	}
}

// A session is let in where its key or its user may act, and nowhere else; a
// refusal has no challenge, to which a browser would ask for a password.
func TestSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub, own := w.subproject(t, w.project), "/v1/projects/"+w.project
	ended := func(time.Time) (auth.Principal, error) { return auth.Principal{}, auth.ErrSession }
	header := func(time.Time) (auth.Principal, error) {
		return auth.Principal{Method: auth.MethodBasic, User: &auth.User{ID: "usr_ann", ProjectID: w.project}}, nil
	}
	for name, tc := range map[string]struct {
		session func(time.Time) (auth.Principal, error)
		path    string
		header  []string
		want    int
	}{
		"ended":                       {ended, own + "/functions", nil, 401},
		"no reader":                   {nil, own + "/functions", nil, 401},
		"no session's principal":      {header, own + "/functions", nil, 401},
		"a key without control":       {w.keyOf("invoke", 1), own + "/functions", nil, 403},
		"an expired key":              {w.keyOf("expired", 1), own + "/functions", nil, 401},
		"another secret":              {w.keyOf("control", 2), own + "/functions", nil, 401},
		"a key of another project":    {w.keyOf("elsewhere", 1), own + "/functions", nil, 403},
		"a user of another project":   {userOf(w.elsewhere), own + "/functions", nil, 403},
		"a user of the subproject":    {userOf(sub), own + "/functions", nil, 403},
		"a user of none":              {userOf(""), own + "/functions", nil, 403},
		"a project of nobody":         {userOf(w.project), "/v1/projects/" + accesskey.NewID(time.Now()) + "/functions", nil, 403},
		"ended, with a good key":      {ended, own + "/functions", []string{"X-API-Key", w.key["control"]}, 400},
		"a user, with a good key":     {userOf(w.project), own + "/functions", []string{"X-API-Key", w.key["control"]}, 400},
		"a user, with a bad one":      {userOf(w.project), own + "/functions", []string{"Authorization", "Basic x"}, 400},
		"a user":                      {userOf(w.project), own + "/functions", nil, 200},
		"a user, in their subproject": {userOf(w.project), "/v1/projects/" + sub + "/functions", nil, 200},
		"a key":                       {w.keyOf("control", 1), own + "/functions", nil, 200},
		"a key, in its subproject":    {w.keyOf("admin", 1), "/v1/projects/" + sub + "/functions", nil, 200},
	} {
		rec := w.during(tc.session, "GET", tc.path, "", tc.header...)
		if rec.Code != tc.want || len(rec.Header()["www-authenticate"])+len(rec.Header()["Www-Authenticate"]) > 0 {
			t.Errorf("%s: %d %v %s, want %d", name, rec.Code, rec.Header(), rec.Body, tc.want)
		}
	}
	if rec := w.during(userOf(w.project), "GET", "/v1/whoami", ""); !strings.Contains(rec.Body.String(), `"usr_ann"`) {
		t.Errorf("whoami: %s", rec.Body)
	}
	lines := w.audit(t)
	if l := lines[len(lines)-1]; l["userId"] != "usr_ann" || l["keyId"] != nil {
		t.Errorf("recorded %v", l)
	}
}

// A user gives what an administrator's key could; a session of a key is bounded
// by that key as a call with it is. Neither is held to the rate of bare secrets.
func TestSession_Grants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *admin.Options) { o.BasicRate, o.BasicBurst = 1, 1 })
	keys := "/v1/projects/" + w.project + "/accessKeys"
	for name, tc := range map[string]struct {
		session func(time.Time) (auth.Principal, error)
		body    string
		want    int
	}{
		"a key gives no scope that it lacks": {w.keyOf("control", 1), `{"displayName":"a","scopes":["invoke"]}`, 403},
		"a key gives what it has":            {w.keyOf("control", 1), `{"displayName":"b","scopes":["control"]}`, 200},
		"a user gives both":                  {userOf(w.project), `{"displayName":"c","scopes":["control","invoke"]}`, 200},
		"an administrator's key gives both":  {w.keyOf("admin", 1), `{"displayName":"d","scopes":["control","invoke"]}`, 200},
	} {
		if rec := w.during(tc.session, "POST", keys, tc.body); rec.Code != tc.want {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	rec := w.during(userOf(w.project), "POST", keys, `{"displayName":"own"}`)
	var made api.CreatedKey
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || made.Secret == "" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	w.load(t)
	if rec, _ := w.do("GET", keys, made.Secret, ""); rec.Code != http.StatusForbidden {
		t.Errorf("a key for invoking controls: %d", rec.Code)
	}
}

// The audit log tells the user.
func TestSession_IsAudited(t *testing.T) {
	t.Parallel()
	var recorder *audit.Recorder
	w := newWorld(t, func(o *admin.Options) {
		recorder = audit.New(audit.Options{}, o.Store.(audit.Store))
		o.Audit = recorder
	})
	go recorder.Run(t.Context())
	if rec := w.during(userOf(w.project), "POST", "/v1/projects/"+w.project+"/accessKeys", `{"displayName":"x"}`); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	events, err := w.db.AuditEvents(t.Context(), w.project, platform.AuditFilter{KeyID: "usr_ann"}, "", 10)
	if err != nil || len(events) != 1 || events[0].Action != "createAccessKey" || events[0].Method != "session" {
		t.Errorf("%v %v", events, err)
	}
}

// A stream that a session opened ends with it, though nobody is told of that.
func TestSession_StreamEnds(t *testing.T) {
	t.Parallel()
	w, _, _, _ := logged(t)
	url, signOut := w.signedIn(t)
	res := w.follow(t, url, "f/logs/stream", "", "")
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	signOut()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 512); ; {
			if _, err := res.Body.Read(buf); err != nil {
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("it goes on after the session")
	}
}
