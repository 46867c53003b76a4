package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
)

// invoker counts what would have run. Nothing does: it answers that it is full.
type invoker struct {
	acquired atomic.Int64
	mu       sync.Mutex
	retired  []string
	answer   error
}

var errFull = fault.New(fault.Unavailable, "it would have run").WithCode("queue_full")

func (i *invoker) Acquire(_ context.Context, id string) (supervisor.Lease, error) {
	i.acquired.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.answer != nil {
		return supervisor.Lease{}, i.answer
	}
	return supervisor.Lease{}, errFull
}

func (i *invoker) AcquireSocket(ctx context.Context, id string) (supervisor.Lease, error) {
	return i.Acquire(ctx, id)
}

func (i *invoker) Retire(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.retired = append(i.retired, id)
}

const (
	project  = "prj_a"
	fnID     = "fn-01jd0000000000000000000000"
	slug     = "orders"
	deployed = "dep_1"
)

var handlers = []platform.Handler{
	{Name: "ice", Kind: platform.HandlerCallback, Guard: platform.GuardSignature},
	{Name: "odd", Guard: platform.Guard(77)},
	{Name: "small", Guard: platform.GuardOpen, Rule: platform.Rule{BodyLimit: 10}},
	{Name: "status", Guard: platform.GuardOpen},
	{Name: "webhook", Guard: platform.GuardKey},
}

type world struct {
	g       *gateway.Gateway
	src     *source
	invoker *invoker
	access  *bytes.Buffer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{src: newSource(), invoker: &invoker{}, access: &bytes.Buffer{}}
	w.src.functions[fnID] = platform.Function{ID: fnID, ProjectID: project, Name: slug, Slug: slug, ActiveDeploymentID: deployed}
	w.src.active[fnID] = platform.Deployment{ID: deployed, FunctionID: fnID, ProjectID: project, Number: 1, Handlers: handlers}
	w.src.changes = []platform.Change{{Seq: 1, Kind: platform.ChangeFunction, ID: fnID}}
	w.g = gateway.New(gateway.Options{Access: slog.New(slog.NewJSONHandler(w.access, nil))}, w.invoker)
	return w
}

func (w *world) load(t testing.TB) {
	t.Helper()
	if err := w.g.Load(t.Context(), w.src); err != nil {
		t.Fatal(err)
	}
}

func (w *world) key(change func(*platform.AccessKey)) (id, secret string) {
	s := accesskey.NewSecret()
	k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: project, SecretHash: s.Hash(), Scopes: []platform.Scope{platform.ScopeInvoke}}
	if change != nil {
		change(&k)
	}
	w.src.change(platform.ChangeKey, k.ID, func() { w.src.keys[k.ID] = k })
	return k.ID, s.Reveal()
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func (w *world) do(method, target string, header http.Header) (*http.Response, httpx.Problem) {
	r := httptest.NewRequest(method, "http://127.0.0.1"+strings.SplitN(target, "?", 2)[0], nil)
	r.RequestURI = target
	if header != nil {
		r.Header = header
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) (*http.Response, httpx.Problem) {
	rec := httptest.NewRecorder()
	w.g.ServeHTTP(rec, r)
	var p httpx.Problem
	json.Unmarshal(rec.Body.Bytes(), &p)
	return rec.Result(), p
}

// The whole policy: every credential against every guard.
func TestPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(nil)
	otherID, otherSecret := w.key(nil)
	foreignID, foreignSecret := w.key(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	controlID, controlSecret := w.key(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl} })
	expiredID, expiredSecret := w.key(func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Second) })
	revokedID, revokedSecret := w.key(func(k *platform.AccessKey) { k.RevokedAt = time.Now() })
	insideID, insideSecret := w.key(func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	hereID, hereSecret := w.key(func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }) // httptest's address
	w.load(t)
	type verdict struct {
		status int
		code   string
	}
	const ran = "queue_full" // it got past the door
	ok, no, bad := verdict{503, ran}, verdict{401, "unauthenticated"}, verdict{400, "duplicate_credentials"}
	denied, conflict := verdict{403, "not_allowed"}, verdict{400, "conflicting_credentials"}
	credentials := map[string]struct {
		header http.Header
		onKey  verdict
	}{
		"none": {nil, no}, "empty": {http.Header{"Authorization": {""}}, no}, "malformed": {http.Header{"Authorization": {"Basic !!!"}}, no},
		"unknown": {http.Header{"Authorization": {basic(accesskey.NewID(time.Now()), accesskey.NewSecret().Reveal())}}, no},
		"wrong":   {http.Header{"Authorization": {basic(id, otherSecret)}}, no}, "bearer": {http.Header{"Authorization": {"Bearer " + secret}}, verdict{401, "token_invalid"}},
		"expired": {http.Header{"Authorization": {basic(expiredID, expiredSecret)}}, no}, "revoked": {http.Header{"Authorization": {basic(revokedID, revokedSecret)}}, no},
		"revoked by key": {http.Header{"X-Api-Key": {revokedSecret}}, no}, "foreign project": {http.Header{"Authorization": {basic(foreignID, foreignSecret)}}, denied},
		"control only": {http.Header{"X-Api-Key": {controlSecret}}, denied}, "control by basic": {http.Header{"Authorization": {basic(controlID, controlSecret)}}, denied},
		"wrong address": {http.Header{"Authorization": {basic(insideID, insideSecret)}}, denied}, "spoofed address": {http.Header{"Authorization": {basic(insideID, insideSecret)}, "X-Forwarded-For": {"10.0.0.1"}, "Forwarded": {"for=10.0.0.1"}, "X-Real-Ip": {"10.0.0.1"}}, denied},
		"right address": {http.Header{"Authorization": {basic(hereID, hereSecret)}}, ok},
		"basic":         {http.Header{"Authorization": {basic(id, secret)}}, ok}, "api key": {http.Header{"X-Api-Key": {secret}}, ok},
		"both agree": {http.Header{"Authorization": {basic(id, secret)}, "X-Api-Key": {secret}}, ok}, "both disagree": {http.Header{"Authorization": {basic(id, secret)}, "X-Api-Key": {otherSecret}}, conflict},
		"other": {http.Header{"Authorization": {basic(otherID, otherSecret)}}, ok}, "twice": {http.Header{"Authorization": {basic(id, secret), basic(id, secret)}}, bad},
		"two keys": {http.Header{"X-Api-Key": {secret, secret}}, bad}, "aliased": {http.Header{"X_api_key": {secret}}, no}, "proxy": {http.Header{"Proxy-Authorization": {basic(id, secret)}}, no},
	}
	for name, c := range credentials {
		for path, guard := range map[string]string{"/webhook": "key", "/status": "open", "/ice": "signature", "/odd": "unknown", "/health": "health", "/nope": "none"} {
			want := c.onKey
			switch {
			case c.onKey == bad:
			case guard == "open":
				want = ok
			case guard == "health":
				want = verdict{200, ""}
			case guard == "none":
				want = verdict{404, "handler_not_found"}
			case guard != "key":
				want = verdict{401, "signature_required"}
			}
			before := w.invoker.acquired.Load()
			res, p := w.do("GET", "/fn/orders"+path, c.header.Clone())
			if res.StatusCode != want.status || p.Code != want.code {
				t.Errorf("%s on %s: %d %s, want %v", name, path, res.StatusCode, p.Code, want)
			}
			if reached := w.invoker.acquired.Load() - before; reached != map[bool]int64{true: 1}[want == ok] {
				t.Errorf("%s on %s: %d reached the workers", name, path, reached)
			}
			if challenge := res.Header["www-authenticate"]; (want.status == 401) != (len(challenge) == 1) || len(challenge) == 1 && strings.Contains(challenge[0], "expired") {
				t.Errorf("%s on %s: challenge %q", name, path, challenge)
			}
			if res.Header.Get("X-Request-Id") == "" || p.Status != 0 && p.RequestID != res.Header.Get("X-Request-Id") {
				t.Errorf("%s on %s: request IDs %q and %q", name, path, res.Header.Get("X-Request-Id"), p.RequestID)
			}
		}
	}
	for _, s := range []string{secret, otherSecret, expiredSecret, revokedSecret, foreignSecret, controlSecret} {
		if strings.Contains(w.access.String(), s) || strings.Contains(w.access.String(), basic(id, s)) {
			t.Error("a secret is in the access log")
		}
	}
	if !strings.Contains(w.access.String(), id) {
		t.Error("the key's ID is not in the access log")
	}
}

func TestMethodsAndTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, secret := w.key(nil)
	w.load(t)
	for _, tc := range []struct {
		method, target string
		status         int
		ran            int64
	}{
		{"HEAD", "/fn/orders/webhook", 503, 1}, {"OPTIONS", "/fn/orders/webhook", 503, 1}, {"TRACE", "/fn/orders/webhook", 405, 0}, {"CONNECT", "x:80", 405, 0}, {"get", "/fn/orders/webhook", 501, 0},
		{"GETX", "/fn/orders/webhook", 501, 0}, {"OPTIONS", "*", 400, 0}, {"GET", "/fn/orders/../webhook", 400, 0}, {"GET", "/fn/nobody/webhook", 404, 0}, {"GET", "/fn/orders", 404, 0},
		{"GET", "/webhook", 404, 0}, {"GET", "/fn/" + fnID + "/webhook", 503, 1}, {"GET", "/fn/ORDERS/webhook", 404, 0}, {"GET", "/fn/orders%2fwebhook", 400, 0}, {"GET", "/fn//orders//webhook/", 503, 1},
		{"GET", "http://evil/fn/orders/webhook", 503, 1},
	} {
		before := w.invoker.acquired.Load()
		res, p := w.do(tc.method, tc.target, http.Header{"X-Api-Key": {secret}})
		if res.StatusCode != tc.status || w.invoker.acquired.Load()-before != tc.ran {
			t.Errorf("%s %s: %d %s, %d ran", tc.method, tc.target, res.StatusCode, p.Code, w.invoker.acquired.Load()-before)
		}
	}
	for host, want := range map[string]int{"orders.localhost": 503, "ORDERS.localhost:8080": 503, fnID + ".localhost": 503, "nobody.localhost": 404, "": 400, "localhost": 404, "orders.localhost.evil": 404} {
		r := httptest.NewRequest("GET", "http://x/webhook", nil)
		r.Host, r.Header = host, http.Header{"X-Api-Key": {secret}}
		r.RequestURI = "/webhook"
		rec := httptest.NewRecorder()
		w.g.ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("host %q: %d, want %d", host, rec.Code, want)
		}
	}
	r := httptest.NewRequest("GET", "http://x/webhook", nil)
	r.Host, r.RequestURI = "nobody.localhost", "/fn/orders/status"
	rec := httptest.NewRecorder()
	w.g.ServeHTTP(rec, r)
	if rec.Code != 404 {
		t.Errorf("a host without a function fell back to the path: %d", rec.Code)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, secret := w.key(func(k *platform.AccessKey) { k.RatePerSecond = 2 })
	w.load(t)
	got := map[int]int{}
	for range 6 {
		res, _ := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}})
		got[res.StatusCode]++
		if res.StatusCode == 429 && res.Header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
		}
	}
	if got[503] < 2 || got[429] < 3 || w.invoker.acquired.Load() != int64(got[503]) {
		t.Errorf("statuses %v", got)
	}
	for name, tc := range map[string]struct {
		body   io.Reader
		length int64
		want   int
	}{"announced": {strings.NewReader("12345678901"), 11, 413}, "fits": {strings.NewReader("1234567890"), 10, 503}, "cut off": {strings.NewReader("123"), 10, 400}, "default": {strings.NewReader(""), 7 << 20, 413}} {
		path := "/fn/orders/small"
		if name == "default" {
			path = "/fn/orders/status"
		}
		r := httptest.NewRequest("POST", path, tc.body)
		r.ContentLength = tc.length
		rec := httptest.NewRecorder()
		w.g.ServeHTTP(rec, r)
		if rec.Code != tc.want {
			t.Errorf("%s: %d, want %d", name, rec.Code, tc.want)
		}
	}
}

// A deployment that was replaced between routing and running costs nobody a call.
func TestRetiredIsRoutedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.load(t)
	w.invoker.answer = supervisor.ErrRetired
	res, _ := w.do("GET", "/fn/orders/status", nil)
	if n := w.invoker.acquired.Load(); n != 4 || res.StatusCode != 503 {
		t.Errorf("%d tries, then %d", n, res.StatusCode)
	}
}

// Steps that are taken again take from the key's rate once.
func TestRetiredIsCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, secret := w.key(func(k *platform.AccessKey) { k.RatePerSecond = 1 })
	w.load(t)
	w.invoker.answer = supervisor.ErrRetired
	if res, p := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}); res.StatusCode != 503 || w.invoker.acquired.Load() != 4 {
		t.Errorf("%d %s after %d tries, want 503 after 4", res.StatusCode, p.Code, w.invoker.acquired.Load())
	}
	if res, p := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}); res.StatusCode != 429 {
		t.Errorf("the next call: %d %s, want 429", res.StatusCode, p.Code)
	}
}

// Steps 1 to 5 with 100,000 keys: at most four allocations.
func TestAdmit_Allocations(t *testing.T) {
	w := newWorld(t)
	for range 100_000 {
		s := accesskey.NewSecret()
		k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: project, SecretHash: s.Hash(), Scopes: []platform.Scope{platform.ScopeInvoke}}
		w.src.keys[k.ID] = k
	}
	id, secret := w.key(nil)
	w.load(t)
	for name, h := range map[string]http.Header{"basic": {"Authorization": {basic(id, secret)}}, "api key": {"X-Api-Key": {secret}}} {
		r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
		r.Header = h
		if err := w.g.Admit(r); err != nil {
			t.Fatal(name, err)
		}
		if n := testing.AllocsPerRun(200, func() { w.g.Admit(r) }); n > 2 {
			t.Errorf("%s: %v allocations, want at most 2", name, n)
		}
	}
}

func BenchmarkAdmit_100kKeys(b *testing.B) {
	w := newWorld(b)
	for range 100_000 {
		s := accesskey.NewSecret()
		k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: project, SecretHash: s.Hash(), Scopes: []platform.Scope{platform.ScopeInvoke}}
		w.src.keys[k.ID] = k
	}
	id, secret := w.key(nil)
	w.load(b)
	r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
	r.Header = http.Header{"Authorization": {basic(id, secret)}, "User-Agent": {"bench"}, "Accept": {"*/*"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.g.Admit(r); err != nil {
			b.Fatal(err)
		}
	}
}

// A slug that is spelled as the ID of somebody's function takes none of its calls.
func TestIDBeforeSlug(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const other = "fn-01jd0000000000000000000001"
	w.src.functions[other] = platform.Function{ID: other, ProjectID: "prj_b", Name: fnID, Slug: fnID, ActiveDeploymentID: "dep_b"}
	w.src.active[other] = platform.Deployment{ID: "dep_b", FunctionID: other, ProjectID: "prj_b", Number: 1, Handlers: []platform.Handler{{Name: "stolen", Guard: platform.GuardOpen}}}
	w.load(t)
	for path, want := range map[string]int{"/fn/" + fnID + "/status": 503, "/fn/" + fnID + "/stolen": 404, "/fn/" + other + "/stolen": 503} {
		if res, p := w.do("GET", path, nil); res.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", path, res.StatusCode, p.Code, want)
		}
	}
}
