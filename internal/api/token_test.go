package api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

// desk is a control plane that numbers its tokens and counts what is asked.
type desk struct {
	*httptest.Server
	mu        sync.Mutex
	fetched   int      // guarded by mu
	calls     []string // guarded by mu; "token → status"
	expiresIn int
	refuse    func(token string) (status int, challenge string)
}

func newDesk(t *testing.T) *desk {
	d := &desk{expiresIn: 3600, refuse: func(string) (int, string) { return 200, "" }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.fetched++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"t%d","expires_in":%d,"scope":"","token_type":"Bearer"}`, d.fetched, d.expiresIn)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		status, challenge := d.refuse(token)
		d.calls = append(d.calls, fmt.Sprintf("%s %d %s", token, status, body))
		if challenge != "" {
			w.Header()["www-authenticate"] = []string{`Basic realm="postern"`, challenge}
		}
		w.WriteHeader(status)
		io.WriteString(w, `{"code":"unauthenticated","detail":"d"}`)
	})
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

// A token serves until the server says that it has expired; then one more is
// fetched, once, and the same request sent again. No other refusal fetches.
func TestClient_Token(t *testing.T) {
	t.Parallel()
	const expired = `Bearer error="invalid_token", error_description="the token expired"`
	for _, tt := range []struct {
		name      string
		expiresIn int
		refuse    func(token string) (int, string)
		fetched   int
		calls     string
		ok        bool
	}{
		{"good", 3600, func(string) (int, string) { return 200, "" }, 1, "t1 200 zip|t1 200 zip", true},
		{"run out by its own account", 1, func(string) (int, string) { return 200, "" }, 2, "t1 200 zip|t2 200 zip", true},
		{"expired once", 3600, func(token string) (int, string) {
			if token == "t1" {
				return 401, expired
			}
			return 200, ""
		}, 2, "t1 401 zip|t2 200 zip|t2 200 zip", true},
		{"expired for ever", 3600, func(string) (int, string) { return 401, expired }, 2, "t1 401 zip|t2 401 zip", false},
		{"revoked", 3600, func(string) (int, string) {
			return 401, `Bearer error="invalid_token", error_description="the key was revoked"`
		}, 1, "t1 401 zip", false},
		{"no challenge", 3600, func(string) (int, string) { return 401, "" }, 1, "t1 401 zip", false},
		{"Expired in capitals is not the word", 3600, func(string) (int, string) { return 401, "Bearer Expired" }, 1, "t1 401 zip", false},
		{"expired, but not a 401", 3600, func(string) (int, string) { return 403, expired }, 1, "t1 403 zip", false},
		{"over the limit", 3600, func(string) (int, string) { return 429, "" }, 1, "t1 429 zip", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.expiresIn, d.refuse = tt.expiresIn, tt.refuse
			c := clientOf(d.URL)
			err := c.PutArtefact(t.Context(), "ab", []byte("zip"))
			if tt.ok {
				err = errors.Join(err, c.PutArtefact(t.Context(), "ab", []byte("zip")))
			}
			if got := strings.Join(d.calls, "|"); (err == nil) != tt.ok || d.fetched != tt.fetched || got != tt.calls {
				t.Errorf("%v; %d tokens, %s; want %d, %s", err, d.fetched, got, tt.fetched, tt.calls)
			}
		})
	}
}

// Calls at the same time share a token, also when it expires under them.
func TestClient_TokenShared(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.refuse = func(token string) (int, string) {
		if token == "t1" {
			return 401, "Bearer expired"
		}
		return 200, ""
	}
	c := clientOf(d.URL)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := c.DeleteFunction(t.Context(), "f"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if d.fetched != 2 {
		t.Errorf("%d tokens for 20 calls, want 2", d.fetched)
	}
}

// What the token endpoint says comes back as for any other call, and without
// the call that it was for.
func TestClient_NoToken(t *testing.T) {
	t.Parallel()
	const oauth = "application/json"
	for name, tt := range map[string]struct {
		status     int
		kind, body string
		want       fault.Error
	}{
		"wrong secret":        {401, oauth, `{"error":"invalid_client","error_description":"unknown key or wrong secret"}`, fault.Error{Kind: fault.Unauthenticated, Code: "unauthenticated", Text: "unknown key or wrong secret"}},
		"no description":      {400, oauth, `{"error":"invalid_scope"}`, fault.Error{Kind: fault.Invalid, Code: "invalid_scope", Text: "the token endpoint answered invalid_scope"}},
		"another address":     {400, oauth, `{"error":"unauthorized_client","error_description":"not from here","error_hint":"h"}`, fault.Error{Kind: fault.Denied, Code: "not_allowed", Text: "not from here", Hint: "h"}},
		"it failed":           {500, oauth, `{"error":"server_error","error_description":"internal error"}`, fault.Error{Kind: fault.Internal, Code: "internal", Text: "internal error"}},
		"over the limit":      {429, oauth, `{"error":"temporarily_unavailable","error_description":"too many","error_hint":"h"}`, fault.Error{Kind: fault.TooMany, Code: "rate_limited", Text: "too many", Hint: "h; the server says to wait 7 s"}},
		"as a problem":        {503, "application/problem+json", `{"code":"shutting_down","title":"t","hint":"h"}`, fault.Error{Kind: fault.Unavailable, Code: "shutting_down", Text: "t", Hint: "h"}},
		"older server":        {404, "application/problem+json", `{"code":"not_found","title":"t","hint":"h"}`, fault.Error{Kind: fault.Unavailable, Code: "no_token_endpoint", Text: "SERVER has no token endpoint (/oauth2/token)", Hint: "if it is a control plane of Postern, it is older than this command: update it; POSTERN_SERVER must be the control listener, not the gateway"}},
		"something else":      {404, "text/html", `<html>`, fault.Error{Kind: fault.Unavailable, Code: "no_token_endpoint", Text: "SERVER has no token endpoint (/oauth2/token)", Hint: "if it is a control plane of Postern, it is older than this command: update it; POSTERN_SERVER must be the control listener, not the gateway"}},
		"a page":              {200, "text/html", `<html>` + testSecret, fault.Error{Kind: fault.Internal, Text: "SERVER does not answer like a control plane of Postern", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		"no token in it":      {200, oauth, `{}`, fault.Error{Kind: fault.Internal, Text: "SERVER does not answer like a control plane of Postern", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		"refused with a 200":  {200, oauth, `{"error":"invalid_client"}`, fault.Error{Kind: fault.Internal, Text: "SERVER does not answer like a control plane of Postern", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		"another kind":        {200, oauth, `{"access_token":"t","token_type":"mac"}`, fault.Error{Kind: fault.Internal, Text: "SERVER gives tokens of a kind that Postern does not use", Hint: "POSTERN_SERVER must be the control listener, not the gateway"}},
		"the secret comes up": {401, oauth, `{"error":"invalid_client","error_description":"no ` + testSecret + ` here"}`, fault.Error{Kind: fault.Unauthenticated, Code: "unauthenticated", Text: "no [redacted] here"}},
	} {
		tried := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tried++; r.URL.Path != "/oauth2/token" {
				t.Errorf("%s: the call was sent without a token: %s", name, r.URL)
			}
			w.Header().Set("Content-Type", tt.kind)
			if tt.status == 429 {
				w.Header().Set("Retry-After", "7")
			}
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		_, err := clientOf(s.URL).WhoAmI(t.Context())
		s.Close()
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != tt.want.Kind || f.Code != tt.want.Code || f.Hint != tt.want.Hint || strings.ReplaceAll(f.Text, s.URL, "SERVER") != tt.want.Text {
			t.Errorf("%s: %#v", name, err)
		}
		if err == nil || strings.Contains(err.Error(), testSecret) || tried != 1 {
			t.Errorf("%s: tried %d times: %v", name, tried, err)
		}
	}
}

// The library form-encodes both halves (RFC 6749 section 2.3.1); a key's
// alphabet stays as it is.
func TestClient_TokenRequest(t *testing.T) {
	t.Parallel()
	var got call
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, secret, _ := r.BasicAuth()
		got = call{r.Method + " " + r.URL.RequestURI(), r.Header.Get("Content-Type"), id + ":" + secret, string(body)}
		w.WriteHeader(401)
	}))
	defer s.Close()
	c := &api.Client{Server: s.URL + "/", KeyID: "pak_01jd0000000000000000000000", Secret: "psk_AZaz09"}
	if _, err := c.WhoAmI(t.Context()); fault.KindOf(err) != fault.Unauthenticated {
		t.Error(err)
	}
	if want := (call{"POST /oauth2/token", "application/x-www-form-urlencoded", "pak_01jd0000000000000000000000:psk_AZaz09", "grant_type=client_credentials"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
