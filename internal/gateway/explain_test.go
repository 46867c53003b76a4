package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// events is an audit store in memory.
type events struct {
	mu  sync.Mutex
	all []audit.Event
}

func (e *events) WriteAudit(_ context.Context, more []audit.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, more...)
	return nil
}

func (e *events) PruneAudit(context.Context, time.Time, int) error { return nil }

// audited gives the world a gateway that records refusals; stop returns them.
func audited(t *testing.T, w *world) (stop func() []audit.Event) {
	t.Helper()
	kept := &events{}
	r := audit.New(audit.Options{}, kept)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	w.g = gateway.New(gateway.Options{Audit: r}, w.invoker)
	return func() []audit.Event {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return kept.all
	}
}

// What a question is told is what a request gets, for each key, method and path.
func TestExplain_AgreesWithTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const other = "fn-01jd0000000000000000000001"
	w.src.functions[other] = platform.Function{ID: other, ProjectID: "prj_b", Name: "theirs", Slug: "theirs", ActiveDeploymentID: "dep_b"}
	w.src.active[other] = platform.Deployment{ID: "dep_b", FunctionID: other, ProjectID: "prj_b", Number: 1, Handlers: handlers}
	keys := map[string]func(*platform.AccessKey){
		"good": nil, "control": func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl} },
		"expired":       func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Second) },
		"revoked":       func(k *platform.AccessKey) { k.RevokedAt = time.Now() },
		"inside":        func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"here":          func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
		"limited":       func(k *platform.AccessKey) { k.RatePerSecond = 1 },
		"used up":       func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 1, Per: platform.PerMonth} },
		"grouped":       func(k *platform.AccessKey) { k.Groups = []string{"others"} },
		"in its group":  func(k *platform.AccessKey) { k.Groups = []string{slug} },
		"bound":         func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP },
		"plan":          func(k *platform.AccessKey) { k.ServicePlanID = "plan-1" },
		"of the parent": func(k *platform.AccessKey) { k.ProjectID = "prj_p" },
	}
	sub := w.src.functions[fnID]
	sub.ParentProjectID = "prj_p"
	w.src.functions[fnID] = sub
	credentials := map[string][2]string{"none": {}, "unknown": {accesskey.NewID(time.Now()), accesskey.NewSecret().Reveal()}}
	for name, change := range keys {
		id, secret := w.key(change)
		credentials[name] = [2]string{id, secret}
	}
	w.load(t)
	for _, name := range []string{"limited", "used up"} {
		if res, _ := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {credentials[name][1]}}); res.StatusCode != 503 {
			t.Fatal(res.Status)
		}
	}
	targets := []string{"/fn/orders/webhook", "/fn/orders/status", "/fn/orders/ice", "/fn/orders/odd", "/fn/orders/health", "/fn/orders/nope", "/fn/orders", "/fn/nobody/x", "/", "/fn/orders/../webhook",
		"/fn/orders%2fwebhook", "/fn//orders//webhook/", "/fn/orders/webhook?a=/../", "/fn/" + fnID + "/webhook", "http://orders.localhost/webhook", "http://ORDERS.localhost:8080/status?x", "http://nobody.localhost/webhook",
		"https://any/fn/orders/%zz", "http://orders.localhost", "http://orders.localhost?x=1",
		"/fn/orders/xms/v1/plan-1/webhook", "/fn/orders/xms/v1/plan-2/webhook", "/.well-known/oauth-protected-resource/fn/orders", "/.well-known/oauth-protected-resource"}
	for name, c := range credentials {
		for _, target := range targets {
			for _, method := range []string{"GET", "POST", "TRACE", "get"} {
				var key *platform.AccessKey
				if k, ok := w.src.keys[c[0]]; ok {
					key = &k
				}
				if name == "limited" && method != "GET" {
					continue // its rate allows one a second
				}
				told, err := w.g.Explain(audit.Question{ProjectID: project, CallerID: "prj_p", Method: method, URL: target, Remote: "192.0.2.1:1234", KeyID: c[0], Key: key})
				if err != nil {
					t.Fatalf("%s: %v", target, err)
				}
				before := w.invoker.acquired.Load()
				res, p := askAs(w.g, method, target, c, name == "plan" && strings.Contains(target, "/plan-1/"))
				allowed := res.StatusCode == 200 || p.Code == "queue_full"
				if allowed != (told.Outcome == platform.OutcomeAllowed) || !allowed && (told.Status != res.StatusCode || told.Code != p.Code) {
					t.Errorf("%s %s with %s: answered %d %s, explained %s %d %s", method, target, name, res.StatusCode, p.Code, told.Outcome, told.Status, told.Code)
				}
				if allowed && p.Code == "" && w.invoker.acquired.Load() != before {
					t.Errorf("%s: health needed a worker", target)
				}
				checkSteps(t, target, told, allowed)
			}
		}
	}
}

func ask(g *gateway.Gateway, method, target string, c [2]string) (*http.Response, httpx.Problem) {
	return askAs(g, method, target, c, false)
}

// askAs makes a request with a key's secret as HTTP Basic, or as the bearer of a service plan.
func askAs(g *gateway.Gateway, method, target string, c [2]string, plan bool) (*http.Response, httpx.Problem) {
	host, path := "gateway", target
	if _, rest, ok := strings.Cut(target, "://"); ok {
		host, path = rest, "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			host, path = rest[:i], "/"+strings.TrimPrefix(rest[i:], "/")
		}
	}
	w := &world{g: g}
	r := httptest.NewRequest(method, "http://x/", nil)
	r.Host, r.RequestURI = host, path
	if plan {
		r.Header.Set("Authorization", "Bearer "+c[1])
	} else if c[0] != "" {
		r.SetBasicAuth(c[0], c[1])
	}
	return w.send(r)
}

// checkSteps sees that the steps are all there, that at most one says no, and
// that what is behind it was not reached.
func checkSteps(t *testing.T, what string, e audit.Explanation, allowed bool) {
	t.Helper()
	refused := 0
	for i, s := range e.Steps {
		if s.Number != i+1 || s.Name != audit.StepNames[i] || s.Verdict == audit.Refused && s.Why == "" {
			t.Errorf("%s: step %+v", what, s)
		}
		if s.Verdict == audit.Refused {
			refused++
		}
		if s.Verdict == audit.Passed && refused > 0 && i < 7 {
			t.Errorf("%s: step %d was passed after a refusal", what, i+1)
		}
	}
	if len(e.Steps) != 8 || (refused == 0) != allowed {
		t.Errorf("%s: %d steps, %d refusals", what, len(e.Steps), refused)
	}
}

// Questions use nothing up: no worker, no rate.
func TestExplain_TakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(func(k *platform.AccessKey) { k.RatePerSecond = 1 })
	w.load(t)
	for range 100 {
		if e, err := w.g.Explain(audit.Question{ProjectID: project, URL: "/fn/orders/webhook", KeyID: id}); err != nil || e.Outcome != platform.OutcomeAllowed {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if n := w.invoker.acquired.Load(); n != 0 {
		t.Errorf("%d questions reached the workers", n)
	}
	if res, p := w.do("GET", "/fn/orders/webhook", http.Header{"X-Api-Key": {secret}}); p.Code != "queue_full" {
		t.Errorf("the first call after them: %d %s", res.StatusCode, p.Code)
	}
	for _, url := range []string{"", "orders", "ftp://orders.localhost/x", "http://", "http:///x", "http://u:p@orders.localhost/x", "://x", "http://a b/"} {
		if _, err := w.g.Explain(audit.Question{ProjectID: project, URL: url}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// Of another project's functions and keys a question learns nothing: the
// answers are those for what is not there.
func TestExplain_Tenancy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ownID, _ := w.key(nil)
	foreignID, _ := w.key(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	w.load(t)
	tell := func(q audit.Question) string {
		e, err := w.g.Explain(q)
		if err != nil {
			t.Fatal(err)
		}
		e.At = time.Time{}
		return fmt.Sprintf("%+v", e)
	}
	for _, path := range []string{"/webhook", "/status", "/ice", "/health", "/nope", ""} {
		for _, id := range []string{"", ownID, foreignID} {
			there := tell(audit.Question{ProjectID: "prj_b", CallerID: "prj_b", URL: "/fn/orders" + path, KeyID: id})
			none := tell(audit.Question{ProjectID: "prj_b", CallerID: "prj_b", URL: "/fn/nobody" + path, KeyID: id})
			if strings.ReplaceAll(none, "nobody", "orders") != there || strings.Contains(there, project) {
				t.Errorf("%s: a foreign function is told of:\n%s\n%s", path, there, none)
			}
		}
	}
	foreign := tell(audit.Question{ProjectID: project, CallerID: project, URL: "/fn/orders/webhook", KeyID: foreignID})
	unknown := accesskey.NewID(time.Now())
	if none := tell(audit.Question{ProjectID: project, CallerID: project, URL: "/fn/orders/webhook", KeyID: unknown}); strings.ReplaceAll(none, unknown, foreignID) != foreign {
		t.Errorf("a foreign key is told of:\n%s\n%s", foreign, none)
	}
}

// What became of a request can be asked by its ID, until as many have followed.
func TestExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(nil)
	foreignID, foreignSecret := w.key(func(k *platform.AccessKey) { k.ProjectID = "prj_b" })
	stop := audited(t, w)
	w.load(t)
	for _, tc := range []struct {
		name, target string
		c            [2]string
		step         int
		says, hides  string
	}{
		{"no credentials", "/fn/orders/webhook", [2]string{}, 3, "shows none", id},
		{"a wrong secret", "/fn/orders/webhook", [2]string{id, foreignSecret}, 3, "not valid", id},
		{"another project's key", "/fn/orders/webhook", [2]string{foreignID, foreignSecret}, 4, "not of this project", foreignID},
		{"let through", "/fn/orders/webhook", [2]string{id, secret}, 6, "it would have run", secret},
		{"no handler", "/fn/orders/nope", [2]string{}, 2, "no handler", "nope"},
		{"no function", "/fn/" + secret + "/nope", [2]string{}, 2, "no function", secret},
		{"two readings", "/fn/orders/../webhook", [2]string{}, 1, "plain form", ".."},
		{"health", "/fn/orders/health", [2]string{}, 0, "built in", id},
	} {
		res, _ := ask(w.g, "GET", tc.target, tc.c)
		requestID := res.Header.Get("X-Request-Id")
		e, ok := w.g.Explained(project, requestID)
		text := fmt.Sprintf("%+v", e)
		if !ok || e.RequestID != requestID || e.Status != res.StatusCode || !strings.Contains(text, tc.says) || strings.Contains(text, tc.hides) {
			t.Errorf("%s: %v %s", tc.name, ok, text)
			continue
		}
		checkSteps(t, tc.name, e, tc.step == 0)
		if tc.step > 0 && e.Steps[tc.step-1].Verdict != audit.Refused {
			t.Errorf("%s: %s", tc.name, text)
		}
		if _, ok := w.g.Explained("prj_b", requestID); ok != (tc.step == 1 || tc.name == "no function") {
			t.Errorf("%s: told to another project: %v", tc.name, ok)
		}
	}
	first, _ := ask(w.g, "GET", "/fn/orders/health", [2]string{})
	for range 5000 {
		ask(w.g, "GET", "/fn/orders/webhook", [2]string{})
	}
	if _, ok := w.g.Explained(project, first.Header.Get("X-Request-Id")); !ok {
		t.Error("refusals have swept away what was let through")
	}
	if _, ok := w.g.Explained(project, "req_none"); ok {
		t.Error("a request that never was is explained")
	}
	// The same from the audit log, for what was recorded by itself.
	for _, e := range stop() {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, secret) || strings.Contains(text, foreignSecret) || strings.Contains(text, foreignID) {
			t.Errorf("an event tells too much: %s", text)
		}
		if e.RequestID != "" {
			checkSteps(t, e.Code, audit.Explain(e), false)
		}
	}
}

// A refusal is an event; what is let through and what is only asked is none.
func TestRefusalsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(func(k *platform.AccessKey) { k.RatePerSecond = 1 })
	stop := audited(t, w)
	w.load(t)
	for _, target := range []string{"/fn/orders/health", "/fn/orders/webhook?token=" + secret, "/fn/orders/ice", "/fn/orders/a%2fb", "/fn/nobody/x"} {
		ask(w.g, "GET", target, [2]string{})
	}
	for range 2 {
		ask(w.g, "GET", "/fn/orders/webhook", [2]string{id, secret})
	}
	if _, err := w.g.Explain(audit.Question{ProjectID: project, URL: "/fn/orders/webhook"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range stop() {
		got = append(got, fmt.Sprint(e.ProjectID, " ", e.Target, " ", e.Detail["step"], " ", e.Detail["handler"], " ", e.Status, " ", e.Code, " ", e.KeyID == id, " ", e.Method))
		if e.Door != platform.DoorGateway || e.Action != "invoke" || e.Outcome != platform.OutcomeRefused || e.RequestID == "" || e.Remote != "192.0.2.1:1234" || e.Detail["why"] == "" {
			t.Errorf("%+v", e)
		}
	}
	want := []string{"prj_a orders 3 webhook 401 unauthenticated false ", "prj_a orders 3 ice 401 signature_required false ", "  1  400 ambiguous_path false ", "  2  404 function_not_found false ",
		"prj_a orders 6 webhook 503 queue_full true basic", "prj_a orders 5 webhook 429 rate_limited true basic"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// 20,000 refusals leave a bounded number of events, and all are counted.
func TestRefusals_Flood(t *testing.T) {
	w := newWorld(t)
	stop := audited(t, w)
	w.load(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				ask(w.g, "GET", "/fn/orders/webhook", [2]string{})
			}
		})
	}
	wg.Wait()
	all := stop()
	sum := int64(0)
	for _, e := range all {
		sum += e.Count
	}
	if sum != 20_000 || len(all) > 200 {
		t.Errorf("%d events stand for %d refusals", len(all), sum)
	}
}

func BenchmarkRemember(b *testing.B) {
	w := newWorld(b)
	id, secret := w.key(nil)
	w.load(b)
	r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
	r.SetBasicAuth(id, secret)
	remember := w.g.Remember(r)
	b.ReportAllocs()
	for b.Loop() {
		remember()
	}
}

func TestRemember_AllocatesNothing(t *testing.T) {
	w := newWorld(t)
	w.load(t)
	if n := testing.AllocsPerRun(1000, w.g.Remember(httptest.NewRequest("GET", "/fn/orders/status", nil))); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
