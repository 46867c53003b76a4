package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/token"
)

const (
	otherIssuer = "https://idp.example"
	otherClaims = `{"iss":"https://idp.example","aud":["x","https://fn.example"],"sub":"user","iat":1799999990,"exp":1800003590}`
)

// idp is the other issuer's server, without a network.
type idp struct {
	mu      sync.Mutex
	answers int    // guarded by mu
	status  int    // guarded by mu
	body    string // guarded by mu
}

func (s *idp) publish(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *idp) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

func (s *idp) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	if s.status == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: s.status, Status: http.StatusText(s.status), Body: io.NopCloser(strings.NewReader(s.body)), Request: req}, nil
}

func newIssuer(t *testing.T, o token.IssuerOptions) *token.Issuer {
	t.Helper()
	o.Issuer, o.Audience = otherIssuer, "https://fn.example"
	if o.JWKSURL == "" {
		o.JWKSURL = "https://idp.example/jwks.json"
	}
	i, err := token.NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// start runs an issuer for as long as the test.
func start(t *testing.T, i *token.Issuer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returns %v", err)
		}
	})
}

func TestIssuer_Verify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &idp{status: 200, body: string(keys.JWKS())}
		i := newIssuer(t, token.IssuerOptions{HTTP: &http.Client{Transport: server}, Leeway: 5 * time.Second})
		good := sealed(`{"alg":"EdDSA","typ":"JWT","kid":"k1"}`, otherClaims)
		if _, err := i.Verify(good, now); !errors.Is(err, token.ErrUnknownKey) {
			t.Errorf("before the keys were fetched: %v", err)
		}
		start(t, i)
		synctest.Wait()
		swap := strings.NewReplacer
		for _, tc := range []struct {
			name, header, claims string
			want                 error
		}{
			{"type JWT", `{"alg":"EdDSA","typ":"JWT","kid":"k1"}`, otherClaims, nil},
			{"type at+jwt", goodHeader, otherClaims, nil},
			{"no type", `{"alg":"EdDSA","kid":"k1"}`, otherClaims, nil},
			{"one audience", goodHeader, swap(`["x","https://fn.example"]`, `"https://fn.example"`).Replace(otherClaims), nil},
			{"claims with the names of ours", goodHeader, swap(`"sub"`, `"project_id":"prj_1","gen":"x","sub"`).Replace(otherClaims), nil},

			{"type of an ID token", `{"alg":"EdDSA","typ":"logout+jwt","kid":"k1"}`, otherClaims, token.ErrMalformed},
			{"type of a proof", `{"alg":"EdDSA","typ":"dpop+jwt","kid":"k1"}`, otherClaims, token.ErrMalformed},
			{"unknown key", `{"alg":"EdDSA","kid":"k2"}`, otherClaims, token.ErrUnknownKey},
			{"none", `{"alg":"none","kid":"k1"}`, otherClaims, token.ErrSignature},
			{"our issuer", goodHeader, goodClaims, token.ErrIssuer},
			{"another issuer", goodHeader, swap("idp.example", "evil.example").Replace(otherClaims), token.ErrIssuer},
			{"no audience", goodHeader, swap(`"aud":["x","https://fn.example"],`, "").Replace(otherClaims), token.ErrAudience},
			{"no audience in the list", goodHeader, swap(`["x","https://fn.example"]`, "[]").Replace(otherClaims), token.ErrAudience},
			{"another audience", goodHeader, swap("fn.example", "other.example").Replace(otherClaims), token.ErrAudience},
			{"audience with a slash", goodHeader, swap("fn.example", "fn.example/").Replace(otherClaims), token.ErrAudience},
			{"expired", goodHeader, swap("1800003590", "1799999995").Replace(otherClaims), token.ErrExpired},
			{"expired, for another audience", goodHeader, swap("1800003590", "1799999995", "fn.example", "other.example").Replace(otherClaims), token.ErrAudience},
			{"not yet", goodHeader, swap("1799999990", "1800000006").Replace(otherClaims), token.ErrNotYet},
			{"no expiry", goodHeader, swap(`,"exp":1800003590`, "").Replace(otherClaims), token.ErrMalformed},
			{"bound in a way that nobody knows", goodHeader, swap(`"sub"`, `"cnf":{"kid":"x"},"sub"`).Replace(otherClaims), token.ErrMalformed},
		} {
			c, err := i.Verify(sealed(tc.header, tc.claims), now)
			if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
				t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
			}
			if tc.want == nil && (c.Subject != "user" || c.ProjectID != "" || c.Generation != 0) {
				t.Errorf("%s: %+v", tc.name, c)
			}
		}
		if _, err := i.Verify(strings.Repeat("A", 1<<20), now); !errors.Is(err, token.ErrMalformed) {
			t.Errorf("1 MiB: %v", err)
		}
	})
}

func TestIssuer_FetchesSeldomAndKeepsWhatWasGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := newKey(t, token.EdDSA)
		server := &idp{}
		var log bytes.Buffer
		i := newIssuer(t, token.IssuerOptions{HTTP: &http.Client{Transport: server}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		c := claims()
		c.Issuer = otherIssuer
		fresh, err := token.Sign(next, c)
		if err != nil {
			t.Fatal(err)
		}
		old := sealed(goodHeader, otherClaims)
		verdicts := func() string {
			_, a := i.Verify(old, now)
			_, b := i.Verify(fresh, now)
			return fmt.Sprintf("%v %v", a == nil, b == nil)
		}
		start(t, i)
		for _, step := range []struct {
			name    string
			status  int // 0 is no answer
			body    string
			wait    time.Duration
			answers int // so far
			want    string
		}{
			{"no server", 0, "", time.Second, 1, "false false"},
			{"up, but not 30 s yet", 200, string(keys.JWKS()), 28 * time.Second, 1, "false false"},
			{"tried again", 200, string(keys.JWKS()), 2 * time.Second, 2, "true false"},
			{"a new key, too soon after the last fetch", 200, string(token.NewKeySet(known, next.Public()).JWKS()), 28 * time.Second, 2, "true false"},
			{"the new key was asked for", 200, string(token.NewKeySet(known, next.Public()).JWKS()), 2 * time.Second, 3, "true true"},
			{"nobody asks", 500, "", 14 * time.Minute, 3, "true true"},
			{"the server fails after a quarter of an hour", 500, "", 2 * time.Minute, 6, "true true"},
			{"no JSON", 200, "<html>", time.Minute, 8, "true true"},
			{"no keys in it", 200, `{"error":"x"}`, time.Minute, 10, "true true"},
			{"one key twice", 200, strings.Replace(string(keys.JWKS()), `[`, `[`+strings.Trim(string(keys.JWKS()), `{}keys":[]`)+`,`, 1), time.Minute, 12, "true true"},
			{"over 1 MiB", 200, string(keys.JWKS()) + strings.Repeat(" ", 1<<20), time.Minute, 14, "true true"},
			{"the old key is gone", 200, string(token.NewKeySet(next.Public()).JWKS()), time.Minute, 15, "false true"},
			{"all are gone, and nobody has asked since", 200, `{"keys":[]}`, time.Minute, 16, "false true"},
			{"somebody asked", 200, `{"keys":[]}`, time.Second, 17, "false false"},
		} {
			server.publish(step.status, step.body)
			time.Sleep(step.wait)
			synctest.Wait()
			answers := server.asked()
			if got := verdicts(); got != step.want || answers != step.answers {
				t.Errorf("%s: old and new key pass: %s, %d fetches; want %s, %d", step.name, got, answers, step.want, step.answers)
			}
			synctest.Wait() // the verdict may have asked for a fetch
		}
		if n := strings.Count(log.String(), "not fetched"); n < 10 || strings.Contains(log.String(), "<html>") {
			t.Errorf("the log has %d failures:\n%s", n, log.String())
		}
	})
}

// A flood of tokens with unknown keys makes one fetch in 30 seconds, and no
// caller waits for it.
func TestIssuer_FloodOfUnknownKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &idp{status: 200, body: string(keys.JWKS())}
		i := newIssuer(t, token.IssuerOptions{HTTP: &http.Client{Transport: server}})
		start(t, i)
		synctest.Wait()
		begin := time.Now()
		for range 300 { // five minutes
			var wg sync.WaitGroup
			for n := range 10 {
				wg.Go(func() {
					raw := sealed(fmt.Sprintf(`{"alg":"EdDSA","kid":"unknown%d"}`, n), otherClaims)
					if _, err := i.Verify(raw, now); !errors.Is(err, token.ErrUnknownKey) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took != 300*time.Second {
			t.Errorf("the callers waited: %v", took)
		}
		if n := server.asked(); n < 9 || n > 11 {
			t.Errorf("%d fetches in five minutes", n)
		}
	})
}

// A server that takes the request and says nothing holds up neither callers
// nor the end.
func TestIssuer_ServerThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		i := newIssuer(t, token.IssuerOptions{HTTP: &http.Client{Transport: hanging{}, Timeout: time.Hour}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		begin := time.Now()
		start(t, i)
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		if !strings.Contains(log.String(), "not fetched") {
			t.Error("after five seconds it is still waited for")
		}
		if _, err := i.Verify(sealed(goodHeader, otherClaims), now); !errors.Is(err, token.ErrUnknownKey) || time.Since(begin) > 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		time.Sleep(31 * time.Second) // ended in the middle of a fetch
	})
}

type hanging struct{}

func (hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

func TestIssuer_FetchesFromThatHostOnly(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked["other host"]++
		w.Write(keys.JWKS())
	}))
	defer other.Close()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) { w.Write(keys.JWKS()) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/none", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for path, want := range map[string]bool{"/good": true, "/moved": true, "/away": false, "/round": false, "/none": false, "/missing": false} {
		i := newIssuer(t, token.IssuerOptions{JWKSURL: server.URL + path})
		if err := i.Fetch(t.Context()); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := i.Verify(sealed(goodHeader, otherClaims), now); (err == nil) != want {
			t.Errorf("a token, with keys from %s: %v", path, err)
		}
	}
	if mu.Lock(); asked["other host"] != 0 {
		t.Error("the other host was asked")
	}
	mu.Unlock()
}

// A redirect must not take the keys off TLS either.
func TestIssuer_StaysOnTLS(t *testing.T) {
	t.Parallel()
	i := newIssuer(t, token.IssuerOptions{HTTP: &http.Client{Transport: downgrade{}}})
	if err := i.Fetch(t.Context()); err == nil {
		t.Error("keys were fetched without TLS")
	}
}

// downgrade sends https away to http on the same host, and serves there.
type downgrade struct{}

func (downgrade) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if req.URL.Scheme == "https" {
		w.Header().Set("Location", "http://"+req.URL.Host+"/jwks.json")
		w.WriteHeader(http.StatusFound)
	} else {
		w.Write(keys.JWKS())
	}
	res := w.Result()
	res.Request = req
	return res, nil
}

func TestNewIssuer_Refuses(t *testing.T) {
	t.Parallel()
	good := token.IssuerOptions{Issuer: otherIssuer, Audience: "a", JWKSURL: "https://idp.example/keys"}
	if _, err := token.NewIssuer(good); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost/k"} {
		o := good
		o.JWKSURL = at
		if _, err := token.NewIssuer(o); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	for _, at := range []string{"", "/keys", "http://idp.example/keys", "http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "http://10.0.0.1/", "http://0.0.0.0/", "ftp://idp.example/", "file:///etc/keys", "https://", "https://u:p@idp.example/", "https://idp example/"} {
		o := good
		o.JWKSURL = at
		if _, err := token.NewIssuer(o); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", at, err)
		}
	}
	for name, o := range map[string]token.IssuerOptions{"no issuer": {Audience: "a", JWKSURL: good.JWKSURL}, "no audience": {Issuer: "i", JWKSURL: good.JWKSURL}} {
		if _, err := token.NewIssuer(o); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
