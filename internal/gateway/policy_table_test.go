package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/token"
	"postern.dev/postern/internal/token/tokentest"
)

var update = flag.Bool("update", false, "rewrite docs/policy-table.md")

// The policy table is every credential at every route in every state, as the
// gateway answers it: docs/policy-table.md.

// cell is what became of one request.
type cell struct {
	status int
	code   string
	step   string // at which it was refused, as the audit event has it
	ran    bool
}

func (c cell) String() string {
	switch {
	case c.ran:
		return "**runs**"
	case c.code == "":
		return fmt.Sprintf("%d, by the gateway itself", c.status)
	}
	return fmt.Sprintf("%d `%s`, step %s", c.status, c.code, c.step)
}

// tableRoute is a column of the table.
type tableRoute struct{ name, method, path string }

var tableRoutes = []tableRoute{
	{"open", "GET", "/open"},
	{"open, from 10.0.0.0/8 only", "GET", "/inside"},
	{"open, its rate used up", "GET", "/spent"},
	{"access key", "GET", "/key"},
	{"access key, from 10.0.0.0/8 only", "GET", "/keyinside"},
	{"access key of the group partner", "GET", "/group"},
	{"access key with the scope control", "GET", "/scope"},
	{"access key, shown as bearer or dpop", "GET", "/tokens"},
	{"access key, its rate used up", "GET", "/keyspent"},
	{"access key, on the path of a service plan", "GET", "/xms/v1/plan-1/batches"},
	{"signature of the sender", "POST", "/signed"},
	{"a guard that nobody knows", "GET", "/odd"},
	{"a preflight for a page that may call", "OPTIONS", "/cors"},
	{"/health", "GET", "/health"},
	{"a path that there is not", "GET", "/nope"},
	{"a method that the route has not", "DELETE", "/key"},
	{"a path that can be read in two ways", "GET", "/x/../key"},
	{"a function that there is not", "GET", "https://nobody.localhost/key"},
	{"a private function", "GET", "https://hidden.localhost/open"},
	{"a private function, below its path", "GET", "https://gateway/fn/hidden/key"},
}

func tableHandlers() []platform.Handler {
	inside, spent := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []platform.RateLimit{rate(1, time.Hour, platform.LimitByRoute)}
	on := func(pattern string, guard platform.Guard, r platform.Rule) platform.Route {
		return platform.Route{Pattern: pattern, Guard: guard, Rule: r}
	}
	return []platform.Handler{{Name: "all", Routes: []platform.Route{
		on("GET /open", platform.GuardOpen, platform.Rule{}), on("GET /inside", platform.GuardOpen, platform.Rule{Addresses: inside}), on("GET /spent", platform.GuardOpen, platform.Rule{Limits: spent}),
		on("GET /key", platform.GuardKey, platform.Rule{}), on("GET /keyinside", platform.GuardKey, platform.Rule{Addresses: inside}), on("GET /group", platform.GuardKey, platform.Rule{Group: "partner"}),
		on("GET /scope", platform.GuardKey, platform.Rule{Scopes: []platform.Scope{platform.ScopeControl}}), on("GET /tokens", platform.GuardKey, platform.Rule{Methods: []string{"bearer", "dpop"}}),
		on("GET /keyspent", platform.GuardKey, platform.Rule{Limits: spent}), on("GET /xms/v1/{plan}/batches", platform.GuardKey, platform.Rule{}),
		on("POST /signed", platform.GuardSignature, platform.Rule{Signature: &platform.Signature{Scheme: "github", Secrets: []string{"SECRET"}}}),
		on("GET /odd", platform.Guard(77), platform.Rule{}), on("GET /cors", platform.GuardKey, platform.Rule{CORS: &platform.CORS{Origins: []string{shop}}}),
	}}}
}

// tableCredential is a row: a key, and how it is shown.
type tableCredential struct {
	name   string
	change func(*platform.AccessKey) // nil: none
	show   string
	remote string
	before int // calls that the key has made
}

var tableCredentials = []tableCredential{
	{name: "none", show: "none"},
	{name: "a cookie with the secret", show: "cookie"},
	{name: "the secret in the query", show: "query"},
	{name: "Basic that does not parse", show: "malformed"},
	{name: "a scheme that is not ours", show: "digest"},
	{name: "Basic of a key that there is not", show: "unknown"},
	{name: "Basic with a wrong secret", show: "wrong"},
	{name: "X-API-Key with a wrong secret", show: "wrong apikey"},
	{name: "a token that somebody else has signed", show: "forged"},
	{name: "two Authorization headers", show: "twice"},
	{name: "Basic and X-API-Key of two keys", show: "conflict"},
	{name: "Basic", show: "basic"},
	{name: "X-API-Key", show: "apikey"},
	{name: "Basic and X-API-Key of one key", show: "both"},
	{name: "bearer", show: "bearer"},
	{name: "DPoP with a proof", show: "dpop", change: func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP }},
	{name: "DPoP without a proof", show: "unproven", change: func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP }},
	{name: "the bare secret of a key that binds its tokens", show: "basic", change: func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP }},
	{name: "the token of the service plan", show: "plan", change: func(k *platform.AccessKey) { k.ServicePlanID = "plan-1" }},
	{name: "an expired bearer", show: "expired"},
	{name: "Basic of an expired key", show: "basic", change: func(k *platform.AccessKey) { k.ExpiresAt = time.Now().Add(-time.Second) }},
	{name: "Basic of a revoked key", show: "basic", change: func(k *platform.AccessKey) { k.RevokedAt = time.Now() }},
	{name: "a bearer of a revoked key", show: "bearer", change: func(k *platform.AccessKey) { k.RevokedAt = time.Now() }},
	{name: "Basic of another project", show: "basic", change: func(k *platform.AccessKey) { k.ProjectID = "prj_b" }},
	{name: "Basic of the parent project", show: "basic", change: func(k *platform.AccessKey) { k.ProjectID = "prj_p" }},
	{name: "Basic for the group partner", show: "basic", change: func(k *platform.AccessKey) { k.Groups = []string{"partner"} }},
	{name: "Basic for the group admin", show: "basic", change: func(k *platform.AccessKey) { k.Groups = []string{"admin"} }},
	{name: "Basic that may control alone", show: "basic", change: func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeControl} }},
	{name: "Basic that may invoke and control", show: "basic", change: func(k *platform.AccessKey) {
		k.Scopes = []platform.Scope{platform.ScopeInvoke, platform.ScopeControl}
	}},
	{name: "Basic that is for other addresses", show: "basic", change: func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }},
	{name: "Basic that is for other addresses, with a forged X-Forwarded-For", show: "spoofed", change: func(k *platform.AccessKey) { k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }},
	{name: "Basic, from 10.1.2.3", show: "basic", remote: "10.1.2.3:1"},
	{name: "Basic, over the key's rate", show: "basic", before: 1, change: func(k *platform.AccessKey) { k.RatePerSecond = 1 }},
	{name: "Basic, over the key's quota", show: "basic", before: 1, change: func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 1, Per: platform.PerDay} }},
	{name: "Basic of a key with a quota", show: "basic", change: func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 100, Per: platform.PerDay} }},
	{name: "a right signature", show: "signed"},
	{name: "a wrong signature", show: "missigned"},
}

// tableStates are what may have happened between the making of a credential and
// its showing.
var tableStates = []string{"fresh", "rotated, in its grace", "rotated, the grace over", "the database away", "stopping"}

// tableCall makes one world for a credential and a state, and calls every route.
func tableCalls(t *testing.T, c tableCredential, state string) (row []cell) {
	t.Helper()
	w := newWorld(t)
	src := newSignedSource(t, w.src)
	f := w.src.functions[fnID]
	f.ParentProjectID = "prj_p"
	d := w.src.active[fnID]
	d.Handlers, d.Variables = tableHandlers(), map[string]string{"SECRET": "hush"}
	w.src.functions[fnID], w.src.active[fnID] = f, d
	w.other("fn-hidden", "hidden")
	hidden := w.src.active["fn-hidden"]
	hidden.Handlers, hidden.Variables, hidden.Visibility = d.Handlers, d.Variables, platform.Private
	w.src.active["fn-hidden"] = hidden
	_, spender := w.key(nil)
	_, other := w.key(nil)
	id, secret := w.key(func(k *platform.AccessKey) {
		if k.Generation = 1; c.change != nil {
			c.change(k)
		}
	})
	old := w.src.keys[id]
	if strings.HasPrefix(state, "rotated") {
		k := old
		k.PreviousHash, k.SecretHash, k.Generation = old.SecretHash, accesskey.NewSecret().Hash(), 2
		k.PreviousUntil = time.Now().Add(time.Hour)
		if state == "rotated, the grace over" {
			k.PreviousUntil = time.Now()
		}
		w.src.keys[id] = k
	}
	kept := &events{}
	recorder := audit.New(audit.Options{}, kept)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- recorder.Run(ctx) }()
	memory, shared := signature.Memory(signature.NewReplays(16)), &quotas{}
	if state == "the database away" {
		memory = signature.NewReplays(0) // nothing can be remembered
	}
	w.g = gateway.New(gateway.Options{Auth: auth.NewAuthenticator(issuer), URL: door, Issuer: issuer, Audit: recorder, Callbacks: memory, Quotas: shared}, w.invoker)
	if err := w.g.Load(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	prover := tokentest.NewProver(t)
	send := func(r tableRoute) (*http.Response, string, bool) {
		target := r.path
		if strings.HasPrefix(target, "/") {
			target = "/fn/orders" + target
		}
		req := httptest.NewRequest(r.method, door+"/", strings.NewReader(map[bool]string{true: "body"}[r.method == "POST"]))
		req.RequestURI, req.Host, req.RemoteAddr = target, "gateway", cmp.Or(c.remote, here)
		if host, path, ok := strings.Cut(strings.TrimPrefix(target, "https://"), "/"); ok && host != "" {
			req.Host, req.RequestURI = host, "/"+path
		}
		req.URL.Path, req.URL.RawPath = strings.SplitN(req.RequestURI, "?", 2)[0], ""
		tableShow(t, req, c.show, tableSecrets{id, secret, other, src, prover})
		if r.method == "OPTIONS" {
			req.Header.Set("Origin", shop)
			req.Header.Set("Access-Control-Request-Method", "GET")
		}
		before := w.invoker.acquired.Load()
		res, p := w.send(req)
		return res, p.Code, w.invoker.acquired.Load() > before
	}
	for _, path := range []string{"/spent", "/keyspent"} {
		if _, p := w.do("GET", "/fn/orders"+path, http.Header{"X-Api-Key": {spender}}); p.Code != "queue_full" {
			t.Fatal(path, p.Code)
		}
	}
	for range c.before {
		if _, code, _ := send(tableRoutes[3]); code != "queue_full" && state != "rotated, the grace over" {
			t.Fatal(c.name, code)
		}
	}
	switch state {
	case "the database away":
		w.src.away = errors.New("away")
		shared.fail(w.src.away)
	case "stopping":
		w.invoker.answer = fault.New(fault.Unavailable, "the server is stopping").WithCode("shutting_down")
	}
	ids := map[int]string{}
	for i, r := range tableRoutes {
		res, code, asked := send(r)
		row = append(row, cell{status: res.StatusCode, code: code, ran: asked && state != "stopping"})
		ids[i] = res.Header.Get("X-Request-Id")
		if asked && code != "queue_full" && code != "shutting_down" || !asked && res.StatusCode == 503 && code == "queue_full" {
			t.Errorf("%s at %s: %d %s", c.name, r.name, res.StatusCode, code)
		}
		if challenge := res.Header["www-authenticate"]; (res.StatusCode == 401) != (len(challenge) == 1) || len(challenge) == 1 && strings.Contains(challenge[0], "expired") != (code == "token_expired") {
			t.Errorf("%s at %s: %d with the challenge %q", c.name, r.name, res.StatusCode, challenge)
		}
		if (res.StatusCode == 429) != (res.Header.Get("Retry-After") != "" && res.StatusCode != 503) {
			t.Errorf("%s at %s: %d with Retry-After %q", c.name, r.name, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	if k := w.g.Keys().ByID(id); k != nil && k.Quota() != nil && k.Quota().Used().Count > int64(c.before) && c.before > 0 {
		t.Errorf("%s: refused calls were taken from the quota", c.name)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	told := map[string][]audit.Event{}
	for _, e := range kept.all {
		told[e.RequestID] = append(told[e.RequestID], e)
		for _, s := range []string{secret, other} {
			if strings.Contains(fmt.Sprint(e), s) {
				t.Errorf("%s: a secret in an event", c.name)
			}
		}
	}
	for i := range row {
		got := &row[i]
		es := told[ids[i]]
		switch {
		case got.ran: // what it then answered is not the policy's
		case got.code == "":
			if len(es) != 0 {
				t.Errorf("%s at %s: an event of what was not refused: %+v", c.name, tableRoutes[i].name, es)
			}
		case len(es) != 1 || es[0].Code != got.code || es[0].Status != got.status || es[0].Outcome != platform.OutcomeRefused || es[0].Count > 1:
			t.Errorf("%s at %s: %d %s, and the events %+v", c.name, tableRoutes[i].name, got.status, got.code, es)
		default:
			got.step = es[0].Detail[audit.DetailStep]
		}
	}
	return row
}

type tableSecrets struct {
	id, secret, other string
	src               *signedSource
	prover            tokentest.Prover
}

// tableShow shows a credential in a way.
func tableShow(t *testing.T, r *http.Request, way string, s tableSecrets) {
	t.Helper()
	h := r.Header
	claims := func(jkt string, life time.Duration) token.Claims {
		at := time.Now()
		return token.Claims{Issuer: issuer, Subject: s.id, ClientID: s.id, ProjectID: project, Generation: 1, ID: "jti", Audience: []string{door}, Scope: "invoke control", IssuedAt: at.Add(-2 * time.Hour), ExpiresAt: at.Add(life), JKT: jkt}
	}
	sign := func(k token.SigningKey, c token.Claims) string {
		raw, err := token.Sign(k, c)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	signed := func(key string) {
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte("body"))
		h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
	}
	switch way {
	case "none":
	case "cookie":
		h.Set("Cookie", "X-API-Key="+s.secret+"; Authorization="+s.secret)
	case "query":
		r.RequestURI += "?api_key=" + s.secret + "&access_token=" + s.secret
	case "malformed":
		h.Set("Authorization", "Basic !"+s.secret)
	case "digest":
		h.Set("Authorization", "Digest "+s.secret)
	case "unknown":
		h.Set("Authorization", basic(accesskey.NewID(time.Now()), accesskey.NewSecret().Reveal()))
	case "wrong":
		h.Set("Authorization", basic(s.id, s.other))
	case "wrong apikey":
		h.Set("X-Api-Key", accesskey.NewSecret().Reveal())
	case "forged":
		k, err := token.NewSigningKey(token.EdDSA, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		h.Set("Authorization", "Bearer "+sign(k, claims("", time.Hour)))
	case "twice":
		h["Authorization"] = []string{basic(s.id, s.secret), basic(s.id, s.secret)}
	case "conflict":
		h.Set("Authorization", basic(s.id, s.secret))
		h.Set("X-Api-Key", s.other)
	case "basic":
		h.Set("Authorization", basic(s.id, s.secret))
	case "spoofed":
		h.Set("Authorization", basic(s.id, s.secret))
		h.Set("X-Forwarded-For", "10.1.2.3")
		h.Set("Forwarded", "for=10.1.2.3")
	case "apikey":
		h.Set("X-Api-Key", s.secret)
	case "both":
		h.Set("Authorization", basic(s.id, s.secret))
		h.Set("X-Api-Key", s.secret)
	case "bearer":
		h.Set("Authorization", "Bearer "+sign(s.src.key, claims("", time.Hour)))
	case "expired":
		h.Set("Authorization", "Bearer "+sign(s.src.key, claims("", -time.Hour)))
	case "dpop", "unproven":
		raw := sign(s.src.key, claims(s.prover.JKT(), time.Hour))
		h.Set("Authorization", "DPoP "+raw)
		if way == "dpop" {
			h.Set("Dpop", s.prover.Proof(raw, r.Method, door+r.URL.Path, nil))
		}
	case "plan":
		h.Set("Authorization", "Bearer "+s.secret)
	case "signed":
		signed("hush")
	case "missigned":
		signed("loud")
	default:
		t.Fatal(way)
	}
}

func TestPolicyTable(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a world for each credential in each state")
	}
	table := map[string][][]cell{} // by state, credential and route
	for _, state := range tableStates {
		for _, c := range tableCredentials {
			synctest.Test(t, func(t *testing.T) { table[state] = append(table[state], tableCalls(t, c, state)) })
		}
	}
	got := tablePage(table)
	path := filepath.Join("..", "..", "docs", "policy-table.md")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/policy-table.md is not what the gateway does (%v): read the difference, then go test ./internal/gateway -run TestPolicyTable -update", err)
	}
}

// tablePage writes the table so that it can be read: for each route what is
// answered to whom, and of the other states what differs.
func tablePage(table map[string][][]cell) []byte {
	var b bytes.Buffer
	fresh := table[tableStates[0]]
	fmt.Fprintf(&b, `# Who gets in

Every credential at every route in every state: %d × %d × %d = %d requests to the real gateway, made by a test that writes this page (`+"`go test ./internal/gateway -run TestPolicyTable -update`"+`) and fails when it is not true any more.

Of each request the test checks the status and the code, that a handler was asked where it says **runs** and only there, that a refusal has exactly one audit event with that status and code (the step is the event's), that a 401 has one challenge (with the word "expired" if and only if a token has), a 429 a Retry-After, that no secret is in an event, and that what is refused takes nothing from a quota.

A key is of the function's project, for all groups, may invoke, and calls from 192.0.2.1, unless it says something else.

`, len(tableCredentials), len(tableRoutes), len(tableStates), len(tableCredentials)*len(tableRoutes)*len(tableStates))
	for i, r := range tableRoutes {
		fmt.Fprintf(&b, "## %s\n`%s %s`\n\n| answer | credential |\n|---|---|\n", strings.ToUpper(r.name[:1])+r.name[1:], r.method, r.path)
		var answers []cell
		who := map[cell][]string{}
		for j, c := range tableCredentials {
			got := fresh[j][i]
			if who[got] == nil {
				answers = append(answers, got)
			}
			who[got] = append(who[got], c.name)
		}
		slices.SortStableFunc(answers, func(x, y cell) int {
			if x.ran != y.ran {
				return map[bool]int{true: -1, false: 1}[x.ran]
			}
			return cmp.Or(cmp.Compare(x.step, y.step), cmp.Compare(x.status, y.status), cmp.Compare(x.code, y.code))
		})
		for _, a := range answers {
			names := strings.Join(who[a], "; ")
			if len(who[a]) == len(tableCredentials) {
				names = "all"
			} else if len(who[a]) > len(tableCredentials)/2 {
				names = "all others"
			}
			fmt.Fprintf(&b, "| %s | %s |\n", a, names)
		}
		b.WriteString("\n")
	}
	for _, state := range tableStates[1:] {
		fmt.Fprintf(&b, "## State: %s\n", state)
		writeChanges(&b, fresh, table[state])
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
}

// writeChanges writes what a state changes, once for all routes at which it
// changes the same for the same credentials.
func writeChanges(b *bytes.Buffer, before, now [][]cell) {
	type change struct {
		was, is cell
		who     string
	}
	var changes []change
	routes := map[change][]string{}
	for i, r := range tableRoutes {
		var here [][2]cell
		who := map[[2]cell][]string{}
		for j, c := range tableCredentials {
			if pair := [2]cell{before[j][i], now[j][i]}; pair[0] != pair[1] {
				if who[pair] == nil {
					here = append(here, pair)
				}
				who[pair] = append(who[pair], c.name)
			}
		}
		for _, pair := range here {
			same := 0
			for j := range tableCredentials {
				if before[j][i] == pair[0] {
					same++
				}
			}
			c := change{pair[0], pair[1], strings.Join(who[pair], "; ")}
			if same == len(who[pair]) && same > 1 {
				c.who = "all who had it"
			}
			if routes[c] == nil {
				changes = append(changes, c)
			}
			routes[c] = append(routes[c], r.name)
		}
	}
	if len(changes) == 0 {
		b.WriteString("Nothing differs from a fresh credential.\n\n")
		return
	}
	b.WriteString("What differs from a fresh credential; all else is as above.\n\n| answer before | answer now | credential | at |\n|---|---|---|---|\n")
	for _, c := range changes {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", c.was, c.is, c.who, strings.Join(routes[c], "; "))
	}
	b.WriteString("\n")
}
