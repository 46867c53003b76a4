package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/token"
	"postern.dev/postern/internal/usage"
)

// ledger is a store of usage in memory.
type ledger struct {
	mu   sync.Mutex
	rows []platform.UsageRow
}

func (l *ledger) WriteUsage(_ context.Context, _ string, _ int64, rows []platform.UsageRow) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, rows...)
	return nil
}

func (l *ledger) PruneUsage(context.Context, platform.Day) error { return nil }

// newMeter is a meter over a store in memory.
func newMeter(t testing.TB) (*usage.Meter, *ledger) {
	t.Helper()
	l := &ledger{}
	m, err := usage.Open(usage.Options{Dir: t.TempDir()}, l)
	if err != nil {
		t.Fatal(err)
	}
	return m, l
}

// metered gives w's gateway a meter; end ends it and returns what was counted.
func metered(t testing.TB, w *world) (end func() []platform.UsageRow) {
	t.Helper()
	m, l := newMeter(t)
	w.g = gateway.New(gateway.Options{Usage: m}, w.invoker)
	return func() []platform.UsageRow {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := m.Run(ctx); err != nil {
			t.Fatal(err)
		}
		return l.rows
	}
}

// Whatever is refused leaves the figures of what ran as they are, and is
// counted once, apart, where a function is known.
func TestUsage_Refused(t *testing.T) {
	t.Parallel()
	const function = "/fn/orders"
	secrets := map[string]string{}
	type request struct {
		method, target, key string
		header              http.Header
		body                io.Reader
		length              int64
		gone                bool
		answer              error // of the supervisor
	}
	for name, tc := range map[string]struct {
		request
		status int
		code   string // it is counted under; empty: it is not
	}{
		"a path with two readings":   {request{target: function + "/../x"}, 400, ""},
		"credentials twice":          {request{target: function + "/webhook", header: http.Header{"X-Api-Key": {"a", "b"}}}, 400, ""},
		"two keys":                   {request{target: function + "/webhook", header: http.Header{"X-Api-Key": {"a"}, "Authorization": {"Basic !!"}}}, 401, "unauthenticated"},
		"a method that is not known": {request{method: "GETX", target: function + "/webhook"}, 501, ""},
		"a method that is not taken": {request{method: "TRACE", target: function + "/webhook"}, 405, ""},
		"no host's function":         {request{target: "/fn/nobody/webhook"}, 404, ""},
		"no handler":                 {request{target: function + "/nope"}, 404, "handler_not_found"},
		"no credentials":             {request{target: function + "/webhook"}, 401, "unauthenticated"},
		"a wrong secret":             {request{target: function + "/webhook", header: http.Header{"X-Api-Key": {accesskey.NewSecret().Reveal()}}}, 401, "unauthenticated"},
		"a token that is none":       {request{target: function + "/webhook", header: http.Header{"Authorization": {"Bearer x"}}}, 401, "token_invalid"},
		"an ended key":               {request{target: function + "/webhook", key: "revoked"}, 401, "unauthenticated"},
		"no signature":               {request{target: function + "/ice"}, 401, "signature_required"},
		"a guard that is not known":  {request{target: function + "/odd"}, 401, "signature_required"},
		"another project's key":      {request{target: function + "/webhook", key: "foreign"}, 403, "not_allowed"},
		"a key without the scope":    {request{target: function + "/webhook", key: "control"}, 403, "not_allowed"},
		"a body announced too large": {request{method: "POST", target: function + "/small", body: strings.NewReader("12345678901"), length: 11}, 413, "body_too_large"},
		"a body that ends early":     {request{method: "POST", target: function + "/small", body: strings.NewReader("123"), length: 10}, 400, "invalid_request"},
		"over the quota":             {request{target: function + "/webhook", key: "spent"}, 429, "quota_exceeded"},
		"no room":                    {request{target: function + "/status"}, 503, "queue_full"},
		"no worker after four tries": {request{target: function + "/status", answer: supervisor.ErrRetired}, 503, "unavailable"},
		"a bug":                      {request{target: function + "/status", answer: io.ErrUnexpectedEOF}, 500, "internal"},
		"a caller who went away":     {request{target: function + "/status", gone: true, answer: context.Canceled}, 499, ""},
		"health":                     {request{target: function + "/health"}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.invoker.answer = tc.answer
			for who, change := range map[string]func(*platform.AccessKey){
				"revoked": func(k *platform.AccessKey) { k.RevokedAt = time.Now() },
				"foreign": func(k *platform.AccessKey) { k.ProjectID = "prj_b" },
				"control": func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl} },
				"spent": func(k *platform.AccessKey) {
					k.Quota = platform.Quota{Limit: 1, Per: platform.PerMonth}
					k.Used = platform.Usage{Since: platform.PerMonth.Begin(time.Now()), Count: 1}
				},
			} {
				_, secrets[who] = w.key(change)
			}
			end := metered(t, w)
			w.load(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.gone {
				cancel()
			}
			if tc.method == "" {
				tc.method = "GET"
			}
			r := httptest.NewRequest(tc.method, "http://127.0.0.1/", tc.body).WithContext(ctx)
			r.RequestURI, r.ContentLength = tc.target, tc.length
			if tc.header != nil {
				r.Header = tc.header
			}
			if tc.key != "" {
				r.Header.Set("X-Api-Key", secrets[tc.key])
			}
			res, p := w.send(r)
			if res.StatusCode != tc.status {
				t.Fatalf("%d %s, want %d", res.StatusCode, p.Code, tc.status)
			}
			var want []platform.UsageRow
			if tc.code != "" {
				want = []platform.UsageRow{{Day: platform.DayOf(time.Now()), ProjectID: project, FunctionID: fnID, FunctionName: slug, Code: tc.code, Counts: platform.Counts{Refused: 1}}}
			}
			if d := cmp.Diff(want, end()); d != "" {
				t.Error(d)
			}
		})
	}
}

// A handler that waits for the whole body was asked when it was there.
func TestUsage_Asked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name            string
		mode            platform.BodyMode
		code            string
		streamed, whole bool
		want            bool
	}{
		{"it answered", platform.BodyBuffered, "", false, false, true},
		{"it threw", platform.BodyBuffered, "handler_failed", false, false, true},
		{"its worker ended", platform.BodyBuffered, "worker_lost", false, false, true},
		{"it took too long", platform.BodyBuffered, "timeout", true, true, true},
		{"the body does not parse", platform.BodyBuffered, "body_malformed", false, false, false},
		{"the body is too large", platform.BodyBuffered, "body_too_large", true, false, false},
		{"the body took too long", platform.BodyBuffered, "timeout", true, false, false},
		{"the worker ended before the body did", platform.BodyBuffered, "worker_lost", true, false, false},
		{"it streams, and the body is too large", platform.BodyStream, "body_too_large", true, false, true},
		{"it streams, and the caller went away", platform.BodyStream, "client_closed", true, false, true},
	} {
		if got := gateway.Asked(tc.mode, tc.code, tc.streamed, tc.whole); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// idp is another issuer, all of whose tokens are good.
type idp struct{ subject string }

func (i idp) Verify(string, time.Time) (token.Claims, error) {
	return token.Claims{Subject: i.subject, ExpiresAt: time.Now().Add(time.Hour)}, nil
}

// A call is counted on its key; on another issuer as a whole, however many
// subjects that has; and else on nobody.
func TestUsage_Account(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(nil)
	w.load(t)
	now := time.Now()
	signing, err := token.NewSigningKey(token.EdDSA, now)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := token.Sign(signing, token.Claims{Issuer: "http://idp", Subject: "u", ClientID: "u", ID: "1", Audience: []string{"x"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		subject string
		header  http.Header
		want    string
	}{
		"key":              {"u", http.Header{"X-Api-Key": {secret}}, id},
		"a user":           {"u", http.Header{"Authorization": {"Bearer " + raw}}, "http://idp"},
		"another":          {"v", http.Header{"Authorization": {"Bearer " + raw}}, "http://idp"},
		"one with a hash":  {"#=1#", http.Header{"Authorization": {"Bearer " + raw}}, "http://idp"},
		"one named as key": {id, http.Header{"Authorization": {"Bearer " + raw}}, "http://idp"},
	} {
		a := auth.NewAuthenticator("http://control", auth.Trust{Foreign: idp{tc.subject}, Issuer: "http://idp", ProjectID: project})
		p, err := a.Authenticate(w.g.Keys(), &auth.Request{Header: tc.header, Now: now})
		if err != nil {
			t.Fatal(name, err)
		}
		if got := gateway.AccountOf(p); got != tc.want {
			t.Errorf("%s: counted on %q, want %q", name, got, tc.want)
		}
	}
	if got := gateway.AccountOf(auth.Principal{Method: auth.MethodNone}); got != platform.CallerOpen {
		t.Errorf("nobody is %q", got)
	}
}

// Counting adds no allocation, to a call that ran and to one that was refused.
func TestUsage_Allocations(t *testing.T) {
	w := newWorld(t)
	_, secret := w.key(nil)
	metered(t, w)
	w.load(t)
	r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
	r.Header = http.Header{"X-Api-Key": {secret}}
	for _, code := range []string{"", "not_allowed"} {
		if n := testing.AllocsPerRun(200, w.g.Meter(r, code)); n != 0 {
			t.Errorf("%v allocations for a call with the code %q", n, code)
		}
	}
}

func BenchmarkRefuse(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("usage=", with), func(b *testing.B) {
			w := newWorld(b)
			w.g = gateway.New(gateway.Options{}, w.invoker)
			if with {
				metered(b, w)
			}
			w.load(b)
			r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
			b.ReportAllocs()
			for b.Loop() {
				w.g.ServeHTTP(&discard{header: http.Header{}}, r)
			}
		})
	}
}

// What is sent on by a transport is the request itself, and the server must not
// use it again; what a worker was told is a copy.
func TestUsage_Kept(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, runtime string
		body, want    bool
	}{
		{"a call of a module", function.RuntimeNode, false, false},
		{"one with a body that streams", function.RuntimeNode, true, true},
		{"a call of a program", function.RuntimeHTTP, false, true},
	} {
		if got := gateway.Kept(tc.runtime, tc.body); got != tc.want {
			t.Errorf("%s: kept %v, want %v", tc.name, got, tc.want)
		}
	}
}
