package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

const testSecret = "psk_this-must-not-be-seen"

// clientOf has connections of its own: each httptest.Server that is closed ends the
// idle ones of the default transport, also under who is about to use one.
func clientOf(server string) *api.Client {
	h := &http.Client{Timeout: 2 * time.Minute, Transport: http.DefaultTransport.(*http.Transport).Clone()}
	return &api.Client{Server: server, ProjectID: "prj_1", KeyID: "pak_1", Secret: testSecret, HTTP: h}
}

// call is one request as the server saw it.
type call struct{ Line, Type, Authorization, Body string }

// giving is a control plane that gives a token to the right key, and leaves
// the rest to h.
func giving(h http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "pak_1" || secret != testSecret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"token","expires_in":3600,"scope":"invoke control","token_type":"bearer"}`)
	})
	mux.HandleFunc("/", h)
	return mux
}

// Each method is one request of the documented form.
func TestClient_Requests(t *testing.T) {
	t.Parallel()
	var got call
	s := httptest.NewServer(giving(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = call{r.Method + " " + r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Authorization"), string(body)}
		io.WriteString(w, "{}")
	}))
	defer s.Close()
	c := clientOf(s.URL + "/")
	ctx, name := t.Context(), "n"
	since := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		do   func() error
		want call
	}{
		"who":       {func() error { _, err := c.WhoAmI(ctx); return err }, call{Line: "GET /v1/whoami"}},
		"functions": {func() error { _, err := c.Functions(ctx, "a&b"); return err }, call{Line: "GET /v1/projects/prj_1/functions?pageToken=a%26b"}},
		"function":  {func() error { _, err := c.Function(ctx, "a/../b?c"); return err }, call{Line: "GET /v1/projects/prj_1/functions/a%2F..%2Fb%3Fc"}},
		"delete":    {func() error { return c.DeleteFunction(ctx, "f") }, call{Line: "DELETE /v1/projects/prj_1/functions/f"}},
		"has":       {func() error { _, err := c.HasArtefact(ctx, "ab"); return err }, call{Line: "HEAD /v1/projects/prj_1/artefacts/ab"}},
		"put":       {func() error { return c.PutArtefact(ctx, "ab", []byte("zip")) }, call{Line: "PUT /v1/projects/prj_1/artefacts/ab", Type: "application/octet-stream", Body: "zip"}},
		"deploy":    {func() error { _, err := c.Deploy(ctx, "f", api.DeployRequest{Artefact: "ab", Force: true}); return err }, call{Line: "POST /v1/projects/prj_1/functions/f/deployments", Type: "application/json", Body: `{"artefact":"ab","force":true}`}},
		"sources":   {func() error { _, err := c.Sources(ctx, "f", 0); return err }, call{Line: "GET /v1/projects/prj_1/functions/f/source"}},
		"source 3":  {func() error { _, err := c.Sources(ctx, "f", 3); return err }, call{Line: "GET /v1/projects/prj_1/functions/f/source?version=3"}},
		"logs":      {func() error { _, err := c.Logs(ctx, "f", api.LogQuery{Since: since, Limit: 7}); return err }, call{Line: "GET /v1/projects/prj_1/functions/f/logs?limit=7&since=2026-01-02T02%3A04%3A05.000006Z"}},
		"all logs":  {func() error { _, err := c.Logs(ctx, "f", api.LogQuery{Limit: 7}); return err }, call{Line: "GET /v1/projects/prj_1/functions/f/logs?limit=7"}},
		"keys":      {func() error { _, err := c.Keys(ctx, "", false); return err }, call{Line: "GET /v1/projects/prj_1/accessKeys?pageSize=1000"}},
		"all keys":  {func() error { _, err := c.Keys(ctx, "pak&1", true); return err }, call{Line: "GET /v1/projects/prj_1/accessKeys?includeFunctionKeys=true&pageSize=1000&pageToken=pak%261"}},
		"found": {func() error {
			_, err := c.FindKeys(ctx, api.KeyQuery{Query: "50% & ü", State: "expired", Order: "newest", Functions: true, WithTotal: true, PageSize: 50, PageToken: "pak&1"})
			return err
		}, call{Line: "GET /v1/projects/prj_1/accessKeys?includeFunctionKeys=true&order=newest&pageSize=50&pageToken=pak%261&query=50%25+%26+%C3%BC&state=expired&withTotal=true"}},
		"found functions": {func() error {
			_, err := c.FindFunctions(ctx, api.FunctionQuery{Query: "a&b", WithTotal: true, PageSize: 7, PageToken: "x"})
			return err
		}, call{Line: "GET /v1/projects/prj_1/functions?pageSize=7&pageToken=x&query=a%26b&withTotal=true"}},
		"routes": {func() error {
			_, err := c.GatewayRoutes(ctx, api.RouteQuery{Query: "a&b", Only: "public", PageSize: 7, PageToken: "14"})
			return err
		}, call{Line: "GET /v1/projects/prj_1/gateway/routes?only=public&pageSize=7&pageToken=14&query=a%26b"}},
		"all routes":  {func() error { _, err := c.AllGatewayRoutes(ctx, api.RouteQuery{}); return err }, call{Line: "GET /v1/projects/prj_1/gateway/routes?pageSize=1000"}},
		"all traffic": {func() error { _, err := c.ProjectTraffic(ctx); return err }, call{Line: "GET /v1/projects/prj_1/traffic?"}},
		"traffic":     {func() error { _, err := c.ProjectTraffic(ctx, "fn-1", "fn-2"); return err }, call{Line: "GET /v1/projects/prj_1/traffic?functionId=fn-1&functionId=fn-2"}},
		"key":         {func() error { _, err := c.Key(ctx, "pak_2"); return err }, call{Line: "GET /v1/projects/prj_1/accessKeys/pak_2"}},
		"reach":       {func() error { _, err := c.KeyReach(ctx, "pak_2", "50"); return err }, call{Line: "GET /v1/projects/prj_1/accessKeys/pak_2/reach?pageToken=50"}},
		"rename": {func() error {
			_, err := c.UpdateKey(ctx, "pak_2", api.UpdateKeyRequest{DisplayName: &name})
			return err
		}, call{Line: "PATCH /v1/projects/prj_1/accessKeys/pak_2", Type: "application/json", Body: `{"displayName":"n"}`}},
		"unbound": {func() error {
			_, err := c.UpdateKey(ctx, "pak_2", api.UpdateKeyRequest{Groups: []string{}, Metadata: map[string]string{}})
			return err
		}, call{Line: "PATCH /v1/projects/prj_1/accessKeys/pak_2", Type: "application/json", Body: `{"groups":[],"metadata":{}}`}},
		"rotate": {func() error { _, err := c.RotateKey(ctx, "pak_2", api.RotateKeyRequest{GracePeriod: 60}); return err }, call{Line: "POST /v1/projects/prj_1/accessKeys/pak_2/rotate", Type: "application/json", Body: `{"gracePeriod":60}`}},
		"sub": {func() error {
			_, err := c.CreateSubproject(ctx, api.CreateSubprojectRequest{DisplayName: "n"})
			return err
		}, call{Line: "POST /v1/projects/prj_1/subprojects", Type: "application/json", Body: `{"displayName":"n"}`}},
		"subs":    {func() error { _, err := c.Subprojects(ctx, "prj_0", true); return err }, call{Line: "GET /v1/projects/prj_1/subprojects?pageSize=1000&pageToken=prj_0&showDeleted=true"}},
		"one sub": {func() error { _, err := c.Subproject(ctx, "prj_2/x"); return err }, call{Line: "GET /v1/subprojects/prj_2%2Fx"}},
		"alter sub": {func() error {
			_, err := c.UpdateSubproject(ctx, "prj_2", api.UpdateSubprojectRequest{Labels: map[string]string{}})
			return err
		}, call{Line: "PATCH /v1/subprojects/prj_2", Type: "application/json", Body: `{"labels":{}}`}},
		"end sub": {func() error { return c.DeleteSubproject(ctx, "prj_2") }, call{Line: "DELETE /v1/subprojects/prj_2"}},
		"create":  {func() error { _, err := c.CreateKey(ctx, api.CreateKeyRequest{DisplayName: "x"}); return err }, call{Line: "POST /v1/projects/prj_1/accessKeys", Type: "application/json", Body: `{"displayName":"x"}`}},
		"revoke":  {func() error { return c.RevokeKey(ctx, "pak_2") }, call{Line: "DELETE /v1/projects/prj_1/accessKeys/pak_2"}},
	} {
		if err := tc.do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		tc.want.Authorization = "Bearer token" // and never the secret
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// A problem comes back as the fault that it was, by status, code and hint.
func TestClient_Problems(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		body   string
		kind   fault.Kind
		want   fault.Error
	}{
		{400, `{"code":"invalid_request","title":"t","detail":"d","hint":"h"}`, fault.Invalid, fault.Error{Text: "d", Code: "invalid_request", Hint: "h"}},
		{401, `{"code":"unauthenticated","title":"t"}`, fault.Unauthenticated, fault.Error{Text: "t", Code: "unauthenticated"}},
		{403, `{"code":"not_allowed","detail":"d"}`, fault.Denied, fault.Error{Text: "d", Code: "not_allowed"}},
		{404, `{"code":"function_not_found","detail":"d"}`, fault.NotFound, fault.Error{Text: "d", Code: "function_not_found"}},
		{409, `{"code":"deploy_raced","detail":"d"}`, fault.Conflict, fault.Error{Text: "d", Code: "deploy_raced"}},
		{413, `{"code":"body_too_large","detail":"d"}`, fault.Invalid, fault.Error{Text: "d", Code: "body_too_large"}},
		{422, `{"code":"module_failed","detail":"Error: x\n  at y"}`, fault.Invalid, fault.Error{Text: "Error: x\n  at y", Code: "module_failed"}},
		{429, `{"code":"rate_limited","detail":"d"}`, fault.TooMany, fault.Error{Text: "d", Code: "rate_limited"}},
		{500, `{"code":"internal","title":"Internal error","requestId":"req_1"}`, fault.Internal, fault.Error{Text: "Internal error (request ID req_1)", Code: "internal"}},
		{503, `{"code":"node_missing","detail":"d","hint":"h"}`, fault.Unavailable, fault.Error{Text: "d", Code: "node_missing", Hint: "h"}},
		{504, `{"code":"timeout","detail":"d"}`, fault.Timeout, fault.Error{Text: "d", Code: "timeout"}},
		{409, `{"error":{"code":409,"message":"m","status":"ALREADY_EXISTS","details":[{"type":"Other"},{"type":"ErrorInfo","reason":"display_name_taken","domain":"postern","metadata":{"hint":"h","requestId":"r"}}]}}`, fault.Conflict, fault.Error{Text: "m", Code: "display_name_taken", Hint: "h"}},
		{500, `{"error":{"code":500,"message":"Internal error","details":[{"reason":"internal","domain":"postern","metadata":{"requestId":"req_1"}}]}}`, fault.Internal, fault.Error{Text: "Internal error (request ID req_1)", Code: "internal"}},
		{403, `{"error":{"code":403,"message":"of another server","details":[{"reason":"x","domain":"elsewhere"}]}}`, fault.Denied, fault.Error{Text: "the server answered 403 Forbidden", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		{403, `{"error":"text"}`, fault.Denied, fault.Error{Text: "the server answered 403 Forbidden", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		{403, `{"code":"not_allowed","detail":"you sent ` + testSecret + `","hint":"` + testSecret + `"}`, fault.Denied, fault.Error{Text: "you sent [redacted]", Code: "not_allowed", Hint: "[redacted]"}},
		{404, `<html>`, fault.NotFound, fault.Error{Text: "the server answered 404 Not Found", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		{400, `{"detail":"of something else"}`, fault.Invalid, fault.Error{Text: "the server answered 400 Bad Request", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		{200, `<html>`, fault.Internal, fault.Error{Text: "SERVER does not answer like a control plane of Postern", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
	} {
		s := httptest.NewServer(giving(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status); io.WriteString(w, tc.body) }))
		_, err := clientOf(s.URL).WhoAmI(t.Context())
		s.Close()
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != tc.kind || strings.ReplaceAll(f.Text, s.URL, "SERVER") != tc.want.Text || f.Code != tc.want.Code || f.Hint != tc.want.Hint {
			t.Errorf("%d %s: %#v", tc.status, tc.body, err)
		}
	}
}

// What was refused as too early is sent again, whole, when the server says that
// it may be soon; else the refusal is told.
func TestClient_ComesBackAfter429(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		retryAfter    string
		refuse, calls int
		fails         bool
	}{
		"at once":       {"0", 2, 3, false},
		"too often":     {"0", 9, 4, true},
		"not told when": {"", 9, 1, true},
		"far off":       {"3600", 9, 1, true},
		"a date":        {"Fri, 31 Dec 2099 23:59:59 GMT", 9, 1, true},
		"negative":      {"-1", 9, 1, true},
	} {
		calls := 0
		s := httptest.NewServer(giving(func(w http.ResponseWriter, r *http.Request) {
			calls++
			if body, _ := io.ReadAll(r.Body); string(body) != `{"displayName":"x"}` {
				t.Errorf("%s: call %d has the body %q", name, calls, body)
			}
			if calls <= tc.refuse {
				w.Header().Set("Retry-After", tc.retryAfter)
				w.WriteHeader(429)
			}
			io.WriteString(w, "{}")
		}))
		_, err := clientOf(s.URL).CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "x"})
		s.Close()
		if calls != tc.calls || (err != nil) != tc.fails || err != nil && fault.KindOf(err) != fault.TooMany {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
	}
}

func TestClient_HasArtefact(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct{ has, fails bool }{204: {true, false}, 404: {false, false}, 401: {false, true}, 503: {false, true}} {
		s := httptest.NewServer(giving(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if has, err := clientOf(s.URL).HasArtefact(t.Context(), "ab"); has != want.has || (err != nil) != want.fails {
			t.Errorf("%d: %v, %v", status, has, err)
		}
		s.Close()
	}
}

// Credentials go to the server that was named and nowhere else, also with a
// client of one's own.
func TestClient_NeverFollowsRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the redirect was followed: %v", r.Header) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308, 1301, 1302, 1303, 1307, 1308} {
		redirect := http.RedirectHandler(elsewhere.URL, status%1000)
		if status < 1000 { // of the call and not of the token
			redirect = giving(redirect.ServeHTTP)
		}
		s := httptest.NewServer(redirect)
		for _, h := range []*http.Client{nil, {}} {
			c := clientOf(s.URL)
			c.HTTP = h
			if _, err := c.WhoAmI(t.Context()); err == nil || !strings.Contains(err.Error(), "the server answered 30") {
				t.Errorf("%d: %v", status, err)
			}
			if h != nil && h.CheckRedirect != nil {
				t.Error("the caller's client was changed")
			}
		}
		s.Close()
	}
}

// What stands between the client and the server is said in words, with what to
// do, and never with the secret.
func TestClient_Unreachable(t *testing.T) {
	t.Parallel()
	quiet := log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	overTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	overTLS.Config.ErrorLog = quiet
	overTLS.StartTLS()
	defer overTLS.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cut := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "{")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	cut.Config.ErrorLog = quiet
	cut.Start()
	defer cut.Close()
	for name, tc := range map[string]struct {
		server, text, hint string
		kind               fault.Kind
	}{
		"nobody there":          {"http://" + closed.Addr().String(), "no server answers at", "postern serve", fault.Unavailable},
		"unknown authority":     {overTLS.URL, "not trusted: x509: certificate signed by unknown authority", "SSL_CERT_FILE", fault.Unavailable},
		"plain instead of TLS":  {"http://" + overTLS.Listener.Addr().String(), "400 Bad Request", "https://", fault.Invalid},
		"TLS instead of plain":  {"https://" + plain.Listener.Addr().String(), "does not speak TLS", "http://", fault.Unavailable},
		"cut off":               {cut.URL, "cut off", "", fault.Unavailable},
		"no scheme":             {"127.0.0.1:8081", "not of the form", "POSTERN_SERVER", fault.Invalid},
		"name without a scheme": {"localhost:8081", "not of the form", "POSTERN_SERVER", fault.Invalid},
		"other scheme":          {"ftp://localhost", "not of the form", "POSTERN_SERVER", fault.Invalid},
		"empty":                 {"", "not of the form", "POSTERN_SERVER", fault.Invalid},
		"no host":               {"http://", "not of the form", "POSTERN_SERVER", fault.Invalid},
		"with a password":       {"http://u:" + testSecret + "@localhost", "not of the form", "POSTERN_SERVER", fault.Invalid},
		"control character":     {"http://localhost\n", "not of the form", "POSTERN_SERVER", fault.Invalid},
	} {
		_, err := clientOf(tc.server).WhoAmI(t.Context())
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != tc.kind || !strings.Contains(f.Text, tc.text) || !strings.Contains(f.Hint, tc.hint) {
			t.Errorf("%s: %v", name, err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), testSecret) {
				t.Errorf("%s: the error has the secret", name)
			}
		}
	}
}

func TestClient_TooLate(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer s.Close()
	defer close(hold)
	c := clientOf(s.URL)
	c.HTTP = &http.Client{Timeout: 20 * time.Millisecond}
	if _, err := c.WhoAmI(t.Context()); fault.KindOf(err) != fault.Timeout {
		t.Errorf("the client's own limit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.WhoAmI(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The list of keys of an answer has no member for a secret or its hash.
func TestAccessKey_HasNoSecret(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(api.AccessKey{AccessKeyID: "pak_1", Scopes: []string{"invoke"}})
	if err != nil || strings.Contains(strings.ToLower(string(data)), "secret") || strings.Contains(strings.ToLower(string(data)), "hash") {
		t.Errorf("%s, %v", data, err)
	}
}
