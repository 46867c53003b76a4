package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// door is a gateway's: it keeps the last request and answers with a function.
type door struct {
	mu     sync.Mutex
	calls  int
	last   http.Request // guarded by mu
	body   string       // guarded by mu
	answer http.HandlerFunc
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	d.calls++
	d.last, d.body = *r, string(body)
	d.mu.Unlock()
	w.Header()["X-Request-Id"] = []string{"req_sent"}
	if d.answer != nil {
		d.answer(w, r)
	}
}

// sending is a world with a function "f" of the project and one "foreign" of
// another, and the two doors.
func sending(t *testing.T, change ...func(*admin.Options)) (w *world, outside, internal *door) {
	t.Helper()
	outside, internal = &door{}, &door{}
	w = newWorld(t, append(change, func(o *admin.Options) {
		o.Doors = admin.Doors{Outside: outside, Internal: internal,
			Token: func(k admin.KeyForm, audience string, now time.Time) (string, error) {
				return fmt.Sprint("token:", k.ID, ":", k.ProjectID, ":", k.Generation, ":", audience), nil
			},
			Hide: func(s string) string { return strings.ReplaceAll(s, "sesame", "[secret]") }}
	})...)
	w.withFunction(t, w.project, "f", platform.Handler{Name: "h", Guard: platform.GuardKey})
	w.withFunction(t, w.elsewhere, "foreign", platform.Handler{Name: "h", Guard: platform.GuardOpen})
	return w, outside, internal
}

// send asks for a request to a function; in is what is asked for, or its JSON.
func (w *world) send(t *testing.T, secret, function string, in any) (int, httpx.Problem, api.SentResponse) {
	t.Helper()
	text, ok := in.(string)
	if !ok {
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	rec, p := w.do("POST", "/v1/projects/"+w.project+"/functions/"+function+"/requests", secret, text)
	var out api.SentResponse
	if rec.Code == 200 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatalf("%v: %s", err, rec.Body)
		}
	}
	return rec.Code, p, out
}

func TestSend_Refusals(t *testing.T) {
	t.Parallel()
	w, outside, internal := sending(t)
	admin := w.key["admin"]
	bound := func() string {
		rec, _ := w.do("POST", "/v1/projects/"+w.project+"/accessKeys", admin, `{"displayName":"bound","scopes":["invoke","control"],"binding":"dpop"}`)
		var made struct{ Secret string }
		if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || made.Secret == "" {
			t.Fatal(rec.Code, rec.Body)
		}
		return made.Secret
	}()
	for name, tc := range map[string]struct {
		key, function string
		in            string
		status        int
		code          string
	}{
		"no such function":         {admin, "nosuch", `{"path":"/"}`, 404, "function_not_found"},
		"another project's":        {admin, "foreign", `{"path":"/","as":"nobody"}`, 404, "function_not_found"},
		"no path":                  {admin, "f", `{}`, 422, "invalid_request"},
		"a path without a slash":   {admin, "f", `{"path":"h"}`, 400, "invalid_request"},
		"an absolute URL":          {admin, "f", `{"path":"http://other/"}`, 400, "invalid_request"},
		"a space in the path":      {admin, "f", `{"path":"/a b"}`, 400, "invalid_request"},
		"a line break in the path": {admin, "f", `{"path":"/a\r\nX-Api-Key: b"}`, 400, "invalid_request"},
		"a fragment":               {admin, "f", `{"path":"/a#b"}`, 400, "invalid_request"},
		"a letter not encoded":     {admin, "f", `{"path":"/é"}`, 400, "invalid_request"},
		"a method with a break":    {admin, "f", `{"path":"/","method":"GET / HTTP/1.1\r\nX: y"}`, 400, "invalid_request"},
		"two bodies":               {admin, "f", `{"path":"/","body":"a","bodyBase64":"YQ=="}`, 400, "invalid_request"},
		"no base64":                {admin, "f", `{"path":"/","bodyBase64":"!"}`, 400, "invalid_request"},
		"a large body":             {admin, "f", `{"path":"/","body":"` + strings.Repeat("x", 1<<20+1) + `"}`, 413, "body_too_large"},
		"a very large body":        {admin, "f", `{"path":"/","body":"` + strings.Repeat("x", 8<<20) + `"}`, 413, "body_too_large"},
		"Authorization":            {admin, "f", `{"path":"/","headers":{"authorization":"Bearer x"}}`, 400, "credential_in_headers"},
		"X-API-Key":                {admin, "f", `{"path":"/","as":"nobody","headers":{"X-API-Key":"x"}}`, 400, "credential_in_headers"},
		"X_Api_Key":                {admin, "f", `{"path":"/","headers":{"DPoP":"x"}}`, 400, "credential_in_headers"},
		"a session's cookie":       {admin, "f", `{"path":"/","headers":{"Cookie":"a=b; __Host-postern-session=x"}}`, 400, "credential_in_headers"},
		"a break in a value":       {admin, "f", `{"path":"/","headers":{"A":"b\r\nX-Postern-Token: c"}}`, 400, "invalid_request"},
		"a break in a name":        {admin, "f", `{"path":"/","headers":{"A: b\r\nC":"d"}}`, 400, "invalid_request"},
		"a header twice":           {admin, "f", `{"path":"/","headers":{"a":"b","A":"c"}}`, 400, "invalid_request"},
		"long headers":             {admin, "f", `{"path":"/","headers":{"a":"` + strings.Repeat("x", 33<<10) + `"}}`, 400, "invalid_request"},
		"as somebody else":         {admin, "f", `{"path":"/","as":"root"}`, 422, "invalid_request"},
		"a key without invoke":     {w.key["control"], "f", `{"path":"/"}`, 403, "caller_opens_nothing"},
		"a token without invoke":   {w.token(t, w.id["admin"], "control"), "f", `{"path":"/"}`, 403, "caller_opens_nothing"},
		"a key of another project": {w.key["elsewhere"], "f", `{"path":"/","as":"nobody"}`, 403, "not_allowed"},
		"a bound key's bare":       {bound, "f", `{"path":"/"}`, 401, "invalid_credentials"},
	} {
		status, p, _ := w.send(t, tc.key, tc.function, tc.in)
		if status != tc.status || tc.code != "invalid_credentials" && p.Code != tc.code {
			t.Errorf("%s: %d %s (%s), want %d %s", name, status, p.Code, p.Detail, tc.status, tc.code)
		}
	}
	if outside.calls+internal.calls != 0 {
		t.Errorf("a refused request was sent: %d, %d", outside.calls, internal.calls)
	}
}

func TestSend_AsWhom(t *testing.T) {
	t.Parallel()
	w, outside, internal := sending(t)
	f, err := w.db.Function(t.Context(), w.project, "f")
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.db.Deployment(t.Context(), f.ActiveDeploymentID)
	if err != nil {
		t.Fatal(err)
	}
	in := api.SendRequest{Method: "PUT", Path: "/a%20b//c?q=%31&q=2", Body: "ä", Headers: map[string]string{"content-type": "text/plain", "Host": "other", "x-forwarded-for": "192.0.2.1", "Connection": "close",
		"X_Forwarded_Host": "other", "X-Postern-Token": "forged", "Content-Length": "99", "x-request-id": "req_mine", "X-Sign": "[removed]", "Cookie": "a=b"}}
	for as, want := range map[string]struct {
		door                       *door
		uri, host, auth, postToken string
	}{
		"caller":   {outside, "/fn/" + f.Slug + in.Path, "gw", "Bearer token:" + w.id["admin"] + ":" + w.project + ":1:http://gw/fn/" + f.Slug, ""},
		"nobody":   {outside, "/fn/" + f.Slug + in.Path, "gw", "", ""},
		"function": {internal, in.Path, "f.internal", "", "token:" + d.KeyID + ":" + w.project + ":1:" + auth.CallAudience},
	} {
		in.As = as
		status, p, out := w.send(t, w.key["admin"], "f", in)
		if status != 200 {
			t.Fatal(as, status, p)
		}
		want.door.mu.Lock()
		r, body := want.door.last, want.door.body
		want.door.mu.Unlock()
		if r.Method != "PUT" || r.RequestURI != want.uri || r.Host != want.host || r.ContentLength != 2 || body != "ä" || r.RemoteAddr != "192.0.2.1:1234" {
			t.Errorf("%s: %s %s to %s, %d bytes %q, from %s", as, r.Method, r.RequestURI, r.Host, r.ContentLength, body, r.RemoteAddr)
		}
		header := http.Header{"Content-Type": {"text/plain"}, "Cookie": {"a=b"}}
		if want.auth != "" {
			header.Set("Authorization", want.auth)
		}
		if want.postToken != "" {
			header.Set("X-Postern-Token", want.postToken)
		}
		if diff := cmp.Diff(header, r.Header); diff != "" {
			t.Error(as, diff)
		}
		dropped := []string{"Connection", "Content-Length", "Host", "X-Postern-Token", "X-Sign", "X_forwarded_host", "X-Forwarded-For", "X-Request-Id"}
		if diff := cmp.Diff(dropped, out.Dropped); diff != "" {
			t.Error(as, diff)
		}
	}
}

func TestSend_Answers(t *testing.T) {
	t.Parallel()
	w, outside, _ := sending(t)
	long := strings.Repeat("é", 1<<19) // exactly what is shown
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   api.SentResponse
	}{
		"nothing":      {func(http.ResponseWriter, *http.Request) {}, api.SentResponse{Status: 200}},
		"a refusal":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401); io.WriteString(w, "no") }, api.SentResponse{Status: 401, Body: "no"}},
		"early hints":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(204) }, api.SentResponse{Status: 204}},
		"a secret":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "open sesame") }, api.SentResponse{Status: 200, Body: "open [secret]"}},
		"bytes":        {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 'a', 0}) }, api.SentResponse{Status: 200, BodyBase64: "/2EA"}},
		"the most":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, long) }, api.SentResponse{Status: 200, Body: long}},
		"more":         {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"+long) }, api.SentResponse{Status: 200, Body: "x" + long[:len(long)-2], Truncated: true}},
		"it broke off": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "half"); panic(http.ErrAbortHandler) }, api.SentResponse{Status: 200, Body: "half", Truncated: true}},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, long)
			}
		}, api.SentResponse{Status: 200, Body: long, Truncated: true}},
	} {
		outside.answer = tc.answer
		status, p, out := w.send(t, w.key["admin"], "f", api.SendRequest{Path: "/"})
		if status != 200 || out.RequestID != "req_sent" || out.StartTime.IsZero() || out.TookMS < out.FirstByteMS || out.Headers["x-request-id"] != "req_sent" {
			t.Fatalf("%s: %d %+v %+v", name, status, p, out)
		}
		got := api.SentResponse{Status: out.Status, Body: out.Body, BodyBase64: out.BodyBase64, Truncated: out.Truncated}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %.300s", name, diff)
		}
	}
	outside.answer = func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Set-Cookie"], h["X-Key"], h["X-Said"], h[http.TrailerPrefix+"Late"] = []string{"session=1"}, []string{"k"}, []string{"sesame <b>"}, []string{"x"}
	}
	if _, _, out := w.send(t, w.key["admin"], "f", api.SendRequest{Path: "/"}); cmp.Diff(map[string]string{"x-request-id": "req_sent", "set-cookie": "[removed]", "x-key": "[removed]", "x-said": "[secret] <b>"}, out.Headers) != "" {
		t.Errorf("headers: %v", out.Headers)
	}
	outside.answer = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	if status, p, _ := w.send(t, w.key["admin"], "f", api.SendRequest{Path: "/"}); status != 503 || p.Code != "unavailable" {
		t.Errorf("cut off before an answer: %d %+v", status, p)
	}
}

// What is sent is in the audit log as an operation of who asked, with the ID of
// the request, and without what a query or a header may hold.
func TestSend_IsRecorded(t *testing.T) {
	t.Parallel()
	kept := &events{}
	r := audit.New(audit.Options{}, kept)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	w, outside, _ := sending(t, func(o *admin.Options) { o.Audit = r })
	outside.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }
	w.send(t, w.key["admin"], "f", api.SendRequest{Method: "POST", Path: "/sesame/x?token=hidden", Headers: map[string]string{"A": "hidden"}, Body: "hidden"})
	w.send(t, w.key["admin"], "f", api.SendRequest{Path: "/", Headers: map[string]string{"Authorization": "hidden"}})
	cancel()
	<-ended
	if len(kept.list) != 2 {
		t.Fatalf("%+v", kept.list)
	}
	sent, refused := kept.list[0], kept.list[1]
	if sent.Action != "sendRequest" || sent.Target != "functions/f/requests" || sent.Status != 200 || sent.KeyID != w.id["admin"] {
		t.Errorf("%+v", sent)
	}
	if diff := cmp.Diff(map[string]string{"as": "caller", "request": "POST /[secret]/x", "requestId": "req_sent", "answered": "403"}, sent.Detail); diff != "" {
		t.Error(diff)
	}
	if refused.Status != 400 || refused.Code != "credential_in_headers" || strings.Contains(fmt.Sprint(kept.list), "hidden") {
		t.Errorf("%+v", kept.list)
	}
}

// events is an audit store in memory.
type events struct{ list []audit.Event }

func (e *events) WriteAudit(_ context.Context, list []audit.Event) error {
	e.list = append(e.list, list...)
	return nil
}

func (e *events) PruneAudit(context.Context, time.Time, int) error { return nil }

// Who goes away ends the call; so many are sent at a time, and no more.
func TestSend_EndsAndIsBounded(t *testing.T) {
	t.Parallel()
	w, outside, _ := sending(t)
	began := make(chan struct{}, 16)
	outside.answer = func(_ http.ResponseWriter, r *http.Request) { began <- struct{}{}; <-r.Context().Done() }
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "POST", "/v1/projects/"+w.project+"/functions/f/requests", strings.NewReader(`{"path":"/","as":"nobody"}`))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("X-API-Key", w.key["admin"])
			r.Header.Set("Content-Type", "application/json")
			w.handler.ServeHTTP(discard{}, r)
		})
	}
	for range 8 {
		<-began
	}
	if status, p, _ := w.send(t, w.key["admin"], "f", api.SendRequest{Path: "/"}); status != 429 || p.Code != "sends_limited" {
		t.Errorf("one more: %d %+v", status, p)
	}
	leave()
	all.Wait()
	if log := w.log.String(); strings.Contains(log, "failed") || strings.Count(log, `"status":499`) != 8 {
		t.Errorf("who went away is told of as %s", log)
	}
	outside.answer = nil
	if status, p, _ := w.send(t, w.key["admin"], "f", api.SendRequest{Path: "/"}); status != 200 {
		t.Errorf("after them: %d %+v", status, p)
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
