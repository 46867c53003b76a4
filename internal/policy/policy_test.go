package policy_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

var same = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.IgnoreUnexported(policy.Document{}), cmpopts.EquateEmpty()}

const digest = "sha256:75174091bd082c72eb3baf8d4d67bce17d96d729917ec9cfe5d1705f3044660f"

func parse(t *testing.T, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse("gateway.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every field that there is, from the file that the documentation shows.
func TestParse(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(filepath.Join("..", "..", "docs", "gateway.md")); err != nil || !strings.Contains(string(page), string(text)) {
		t.Error("docs/gateway.md shows another file than testdata/full.yaml", err)
	}
	key, none, signed := platform.GuardKey, platform.GuardOpen, platform.GuardSignature
	nets := func(ss ...string) (out []netip.Prefix) {
		for _, s := range ss {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	want := &policy.Document{
		Groups: []platform.GroupPolicy{{Name: "partner", Rule: platform.Rule{Limits: []platform.RateLimit{{Requests: 100, Per: time.Second, By: platform.LimitByKey}}, Addresses: nets("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")}}},
		Functions: []platform.FunctionPolicy{
			{Name: "hooks", Handlers: []platform.Governed{
				{Name: "github", Guard: &signed, Rule: platform.Rule{Signature: &platform.Signature{Scheme: "github", Secrets: []string{"GITHUB_SECRET", "GITHUB_SECRET_OLD"}}}},
				{Name: "own", Guard: &signed, Rule: platform.Rule{Signature: &platform.Signature{Scheme: "custom", Secrets: []string{"OWN_SECRET"}, Window: time.Minute,
					Custom: &platform.SignatureScheme{Header: "X-Signature", Prefix: "sha256=", TimestampHeader: "X-Time", Signed: "{timestamp}.{body}"}}}}}},
			{Name: "orders", Visibility: platform.Private, Rule: platform.Rule{Methods: []string{"bearer", "dpop"}, Timeout: 10 * time.Second},
				Handlers: []platform.Governed{{Name: "refund", Guard: &key, Rule: platform.Rule{Group: "admin", Scopes: []platform.Scope{platform.ScopeControl}, BodyLimit: 64 << 10,
					Limits: []platform.RateLimit{{Requests: 10, Per: time.Second, By: platform.LimitByRoute}, {Requests: 100, Per: time.Minute, By: platform.LimitByAddress, Burst: 20}}}}},
				Routes: []platform.Governed{{Name: "GET /prices", Guard: &none, Rule: platform.Rule{CORS: &platform.CORS{Origins: []string{"https://shop.example"}, Methods: []string{"GET"},
					Headers: []string{"X-Trace"}, Expose: []string{"X-Total"}, Credentials: true, MaxAge: 10 * time.Minute}}}}}},
		Upstreams: []platform.Upstream{{Name: "legacy", URL: "http://10.0.0.5:9000/base", PreserveHost: true, ConnectTimeout: 2 * time.Second, Retries: 2, MaxInFlight: 100,
			Breaker: platform.Breaker{Failures: 3, Open: 30 * time.Second}, WebSocket: &platform.WebSocketPolicy{Origins: []string{"https://shop.example"}, MessageLimit: 1 << 20},
			Routes: []platform.UpstreamRoute{{Pattern: "GET /status", Guard: platform.GuardOpen}, {Pattern: "GET /v1/{path...}", Rule: platform.Rule{Group: "partner", Timeout: 5 * time.Second}}}}},
		Keys: []platform.AccessKey{{ID: "pak_01m7yx0k5a2jmaek72rkw1mysv", DisplayName: "ci", Scopes: []platform.Scope{platform.ScopeInvoke}, Groups: []string{"partner"}, AllowedCIDRs: nets("192.0.2.0/24"),
			RatePerSecond: 50, Quota: platform.Quota{Limit: 10000, Per: platform.PerDay}, ExpiresAt: time.Date(2031, 1, 31, 12, 0, 0, 0, time.UTC), Binding: platform.BindingDPoP, Metadata: map[string]string{"team": "ops"}}},
	}
	got := parse(t, string(text))
	want.Keys[0].SecretHash = got.Keys[0].SecretHash
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
	if sum := got.Keys[0].SecretHash; sum[0] != 0x75 || sum[31] != 0x0f {
		t.Errorf("digest %x", sum)
	}
	for name, data := range map[string][]byte{"what was rendered": policy.Render(got), "an upstream's /health": []byte(`{"version": 1, "upstreams": {"legacy": {"url": "http://h", "routes": {"GET /health": {}}}}}`), "JSON": []byte(`{"version": 1, "functions": {"orders": {"handlers": {"a": {"auth": "key"}}}}}`)} {
		again, err := policy.Parse("x", data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		if diff := cmp.Diff(want, again, same); name == "what was rendered" && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What is refused, where it is said to be, and what is said to do about it.
func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	key := func(fields string) string {
		return "version: 1\nkeys:\n  - { id: pak_01m7yx0k5a2jmaek72rkw1mysv, name: ci, digest: \"" + digest + "\"" + fields + " }\n"
	}
	route := func(fields string) string {
		return "version: 1\nfunctions:\n  orders:\n    routes:\n      GET /a: { " + fields + " }\n"
	}
	up := func(fields string) string {
		return "version: 1\nupstreams:\n  legacy: { url: \"http://h\", routes: { GET /a: {} }" + fields + " }\n"
	}
	for name, tc := range map[string]struct{ text, at, says string }{
		"nothing":                             {"", "1:1", "empty"},
		"a comment alone":                     {"# nothing\n", "1:1", "empty"},
		"null":                                {"null\n", "1:1", "must have fields"},
		"a list":                              {"- version: 1\n", "1:1", "must have fields"},
		"no version":                          {"functions: {}\n", "1:1", "version: 1"},
		"another version":                     {"version: 2\n", "1:10", "from 1 to 1"},
		"a version in quotes":                 {"version: \"1\"\n", "1:10", "version"},
		"a field of its own":                  {"version: 1\nfunction: {}\n", "2:1", `did you mean "functions"?`},
		"a field that is like none":           {"version: 1\nplugins: {}\n", "2:1", "the fields are: functions, groups, keys, upstreams, version"},
		"a field of a route":                  {route("atuh: none"), "5:17", `did you mean "auth"?`},
		"a name twice":                        {"version: 1\nfunctions:\n  a: {}\n  a: {}\n", "4:3", "in line 3 as well"},
		"a name twice in quotes":              {"version: 1\n\"version\": 1\n", "2:1", "twice"},
		"a tab":                               {"version: 1\nfunctions:\n\torders: {}\n", "3:1", "indent with spaces"},
		"no YAML":                             {"version: 1\nfunctions: {\n", "", "must be YAML"},
		"a second document":                   {"version: 1\n---\nversion: 1\n", "2:1", "second document"},
		"an anchor":                           {"version: 1\ngroups: &a { x: {} }\n", "2:9", "anchors"},
		"an alias":                            {"version: 1\ngroups: &a {}\nfunctions: *a\n", "2:9", "anchors"},
		"a merge":                             {"version: 1\ngroups:\n  <<: { x: {} }\n", "3:3", "merging"},
		"a tag":                               {"version: !!int \"1\"\n", "1:10", "tags"},
		"a bomb":                              {"version: 1\na: &a [x]\nb: &b [*a, *a]\n", "2:4", "anchors"},
		"a list as a name":                    {"version: 1\n? [a]\n: b\n", "2:3", "plain text"},
		"deep":                                {"version: 1\ngroups: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\n", "2:", "too deeply"},
		"latin-1":                             {"version: 1 # \xfc\n", "1:1", "UTF-8"},
		"a byte order mark":                   {"\ufeffversion: 1\n", "1:1", "byte order mark"},
		"NUL":                                 {"version: 1\n# \x00\n", "1:1", "NUL"},
		"too much":                            {"version: 1\n# " + strings.Repeat("x", 1<<20), "1:1", "1024 KiB"},
		"no such auth":                        {route("auth: nobody"), "5:23", "key, or none, or signature"},
		"a secret":                            {"version: 1\n# was " + accesskey.NewSecret().Reveal() + "\n", "2:1", "rotate"},
		"a group of no name":                  {"version: 1\ngroups:\n  a b: {}\n", "3:3", "at most 64"},
		"a group's CORS":                      {"version: 1\ngroups:\n  a: { cors: {} }\n", "3:8", "unknown field"},
		"a group's group":                     {"version: 1\ngroups:\n  a: { group: b }\n", "3:8", "unknown field"},
		"a function of no name":               {"version: 1\nfunctions:\n  Orders: {}\n", "3:3", "manifest"},
		"a function of nothing":               {"version: 1\nfunctions:\n  orders:\n", "3:10", "must have fields"},
		"public":                              {"version: 1\nfunctions:\n  orders: { visibility: public }\n", "3:25", "private"},
		"a guard over all":                    {"version: 1\nfunctions:\n  orders: { rule: { auth: none } }\n", "3:21", "unknown field"},
		"a group for everyone":                {route("auth: none, group: partner"), "5:7", "write auth: key"},
		"scopes for everyone":                 {route("auth: none, scopes: [invoke]"), "5:7", "write auth: key"},
		"a signature for everyone":            {route("auth: none, signature: { scheme: github, secrets: [A] }"), "5:7", "auth: signature"},
		"a signature beside a key":            {route("auth: key, signature: { scheme: github, secrets: [A] }"), "5:7", "auth: signature"},
		"no such scheme":                      {route("auth: signature, signature: { scheme: gihtub, secrets: [A] }"), "5:45", `did you mean "github"?`},
		"a scheme without a secret":           {route("auth: signature, signature: { scheme: github }"), "5:45", "no secret"},
		"no such scope":                       {route("scopes: [admin]"), "5:26", "invoke and control"},
		"scopes of nothing":                   {route("scopes: []"), "5:25", "something in it"},
		"a scope twice":                       {route("scopes: [invoke, invoke]"), "5:34", "twice"},
		"no such credential":                  {route("credentials: [cookie]"), "5:31", "basic, apikey"},
		"host bits":                           {route("addresses: [10.0.0.1/8]"), "5:29", "write 10.0.0.0/8"},
		"a mapped range":                      {route("addresses: [\"::ffff:10.0.0.0/104\"]"), "5:29", "write it as IPv4"},
		"a name for an address":               {route("addresses: [example.com]"), "5:29", "no address"},
		"an address with a zone":              {route("addresses: [\"fe80::1%eth0\"]"), "5:29", "no address"},
		"no rate":                             {route("rate: 10"), "5:23", "must be text"},
		"no such rate":                        {route("rate: 10/week"), "5:23", "no period"},
		"a rate twice":                        {route("rate: [10/s, 10/1s]"), "5:30", "twice"},
		"an endless timeout":                  {route("timeout: 2h"), "5:26", "at most 1h"},
		"a timeout in seconds":                {route("timeout: 30"), "5:26", "must be text"},
		"a size with a comma":                 {route("bodyLimit: \"1,000\""), "5:28", "10MiB"},
		"CORS for nobody":                     {route("cors: {}"), "5:23", "origins"},
		"CORS with a path":                    {route("cors: { origins: [https://a.example/] }"), "5:23", "nothing but a port"},
		"CORS in upper case":                  {route("cors: { origins: [https://A.example] }"), "5:23", "in lower case"},
		"CORS for all and one":                {route("cors: { origins: [\"*\", https://a.example] }"), "5:23", "stands alone"},
		"CORS with credentials of anybody":    {route("cors: { origins: [\"*\"], credentials: true }"), "5:23", "never with credentials"},
		"CORS with a header of two lines":     {route("cors: { origins: [\"*\"], expose: [\"a\\r\\nb\"] }"), "5:23", "name of a header"},
		"an upstream without a URL":           {"version: 1\nupstreams:\n  legacy: { routes: { GET /a: {} } }\n", "3:3", "add: url"},
		"an upstream without routes":          {"version: 1\nupstreams:\n  legacy: { url: \"http://h\" }\n", "3:3", "nobody could reach it"},
		"an upstream of a file":               {strings.Replace(up(""), "http://h", "file:///etc/passwd", 1), "3:18", "HTTP server"},
		"an upstream with a password":         {strings.Replace(up(""), "http://h", "http://u:p@h", 1), "3:18", "password"},
		"an upstream with a query":            {strings.Replace(up(""), "http://h", "http://h?a", 1), "3:18", "HTTP server"},
		"an upstream named like a function":   {up("") + "functions:\n  legacy: {}\n", "3:3", "named like a function"},
		"an upstream with a signature":        {strings.Replace(up(""), "{}", "{ auth: signature }", 1), "3:48", "key or none"},
		"an upstream's routes that clash":     {strings.Replace(up(""), "GET /a: {}", "\"GET /a/{x}\": {}, \"GET /{y}/b\": {}", 1), "", "neither is the more specific"},
		"an upstream's route that is no path": {strings.Replace(up(""), "GET /a", "GET a", 1), "3:40", "slash"},
		"an upstream asked for ever":          {up(", retries: 100"), "3:63", "from 0 to 5"},
		"a key of no ID":                      {"version: 1\nkeys: [{ name: a, digest: \"" + digest + "\" }]\n", "2:8", "must have id"},
		"a key of a bad ID":                   {strings.Replace(key(""), "pak_01", "pak_zz", 1), "3:11", "gateway key"},
		"a key of a bad digest":               {strings.Replace(key(""), "sha256:75", "sha256:7", 1), "3:61", "64 hexadecimal digits"},
		"a key of an upper digest":            {strings.Replace(key(""), "0f\"", "0F\"", 1), "3:61", "64 hexadecimal digits"},
		"a key of another hash":               {strings.Replace(key(""), "sha256:", "sha1:", 1), "3:61", "64 hexadecimal digits"},
		"a key twice":                         {key("") + strings.SplitN(key(""), "keys:\n", 2)[1], "4:5", "stands twice"},
		"a digest twice":                      {key("") + strings.NewReplacer("01m7", "01m8", "name: ci", "name: di").Replace(strings.SplitN(key(""), "keys:\n", 2)[1]), "4:5", "digest of another"},
		"a key of no end":                     {key(", expires: soon"), "3:145", "2027-01-31"},
		"a key of no quota":                   {key(", quota: 5/week"), "3:143", "10000/day"},
		"a key of no group":                   {key(", groups: [\"a b\"]"), "3:144", "no name of a group"},
	} {
		_, err := policy.Parse("gateway.yaml", []byte(tc.text))
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Invalid || e.Code != "policy_invalid" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if said := e.Text + " | " + e.Hint; !strings.HasPrefix(said, "gateway.yaml:"+tc.at) || !strings.Contains(said, tc.says) {
			t.Errorf("%s: %s, want at %s and %q", name, said, tc.at, tc.says)
		} else if strings.Contains(said, "psk_") || strings.Contains(said, "u:p") {
			t.Errorf("%s: a secret is repeated: %s", name, said)
		}
	}
}

func functions() []platform.ActiveFunction {
	return []platform.ActiveFunction{{Function: platform.Function{ID: "fn-1", Name: "orders"}, Deployment: platform.Deployment{Handlers: []platform.Handler{
		{Name: "ice", Kind: platform.HandlerCallback, Guard: platform.GuardSignature},
		{Name: "prices", Routes: []platform.Route{{Pattern: "GET /prices"}, {Pattern: "POST /prices", Rule: platform.Rule{Group: "admin"}}}},
		{Name: "status", Guard: platform.GuardOpen},
		{Name: "refund"},
	}, Declaration: platform.Declaration{Auth: platform.AuthDeclaration{Present: true, Names: []string{"prices", "refund"}}}}}}
}

// What does not fit the functions is refused at its line.
func TestFit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, at, says string }{
		"a function that is not there": {"version: 1\nfunctions:\n  order: {}\n", "3:3", `did you mean "orders"?`},
		"a handler that is not there":  {"version: 1\nfunctions:\n  orders:\n    handlers:\n      refnud: { auth: key }\n", "5:7", `did you mean "refund"?`},
		"a route that is not there":    {"version: 1\nfunctions:\n  orders:\n    routes:\n      GET /price: { auth: none }\n", "5:7", `did you mean "GET /prices"?`},
		"another group":                {"version: 1\nfunctions:\n  orders:\n    routes:\n      POST /prices: { group: partner }\n", "5:7", "its function says admin"},
		"a group that shuts out all":   {"version: 1\ngroups:\n  orders: { addresses: [192.0.2.1] }\nfunctions:\n  orders:\n    handlers:\n      refund: { addresses: [10.0.0.0/8] }\n", "3:3", "no address"},
		"and an upstream":              {"version: 1\ngroups:\n  partner: { addresses: [192.0.2.1] }\nupstreams:\n  u: { url: \"http://h\", routes: { GET /a: { group: partner, addresses: [10.0.0.0/8] } } }\n", "3:3", "no address"},
	} {
		_, err := parse(t, tc.text).Fit(functions())
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Code != "policy_invalid" || !strings.HasPrefix(e.Text, "gateway.yaml:"+tc.at+":") || !strings.Contains(e.Text+" "+e.Hint, tc.says) {
			t.Errorf("%s: %v (%s)", name, err, e.Hint)
		}
	}
	warnings, err := parse(t, "version: 1\ngroups:\n  none: {}\n  admin: { rate: 1/s }\nfunctions:\n  orders:\n    handlers:\n      refund: { auth: signature, signature: { scheme: github, secrets: [HUB] } }\nkeys:\n  - { id: pak_01m7yx0k5a2jmaek72rkw1mysv, name: ci, digest: \""+digest+"\", groups: [misspelt] }\n").Fit(functions())
	if all := strings.Join(warnings, "\n"); err != nil || !strings.Contains(all, "the group none has no address") || !strings.Contains(all, "key ci is for the group misspelt") || !strings.Contains(all, "HUB") || strings.Contains(all, "group admin") {
		t.Errorf("%v\n%s", err, all)
	}
}

// A policy has to fit the candidate as well: its calls would be refused.
func TestFit_Candidate(t *testing.T) {
	t.Parallel()
	fs := functions()
	fs[0].Candidate = &platform.Deployment{Handlers: []platform.Handler{{Name: "refund"}}}
	const refund, status = "version: 1\nfunctions:\n  orders:\n    handlers:\n      refund: { auth: key }\n", "version: 1\nfunctions:\n  orders:\n    handlers:\n      status: { auth: key }\n"
	if _, err := parse(t, refund).Fit(fs); err != nil {
		t.Errorf("both have it: %v", err)
	}
	if _, err := parse(t, status).Fit(fs); err == nil {
		t.Error("a handler that the candidate does not have")
	}
	if _, err := parse(t, status).Fit(functions()); err != nil {
		t.Errorf("without a candidate: %v", err)
	}
}

// Two documents are told apart by what they mean.
func TestCompare(t *testing.T) {
	t.Parallel()
	before := parse(t, "version: 1\ngroups:\n  a: { rate: 1/s }\nfunctions:\n  orders:\n    handlers:\n      refund: { auth: key, timeout: 5s }\n      status: { auth: key }\n")
	after := parse(t, "# another order, and other words for the same\nversion: 1\nfunctions:\n  orders:\n    rule: { credentials: [dpop] }\n    handlers:\n      refund: { timeout: 5000ms, auth: key, rate: [10/s] }\ngroups: { a: { rate: [2/s] } }\nkeys:\n  - { id: pak_01m7yx0k5a2jmaek72rkw1mysv, name: ci, digest: \""+digest+"\" }\n")
	var got []string
	for _, c := range policy.Compare(before, after) {
		got = append(got, c.What+"|"+c.Field+"|"+c.Before+"|"+c.After)
	}
	want := []string{
		"function orders|rule.credentials||[dpop]",
		"function orders, handler refund|rate||[10/s]",
		"function orders, handler status||there|", "function orders, handler status|auth|key|",
		"group a|rate|[1/s]|[2/s]",
		"key pak_01m7yx0k5a2jmaek72rkw1mysv|||there", "key pak_01m7yx0k5a2jmaek72rkw1mysv|id||pak_01m7yx0k5a2jmaek72rkw1mysv", "key pak_01m7yx0k5a2jmaek72rkw1mysv|name||ci",
		"key pak_01m7yx0k5a2jmaek72rkw1mysv|digest||sha256:75174091bd08…", "key pak_01m7yx0k5a2jmaek72rkw1mysv|scopes||[invoke]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := policy.Compare(after, after); len(again) != 0 {
		t.Errorf("the same: %v", again)
	}
	if all := policy.Compare(nil, before); len(all) != 8 {
		t.Errorf("from nothing: %v", all)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	d := parse(t, "version: 1\ngroups:\n  admin: { rate: 5/s }\nfunctions:\n  orders:\n    rule: { addresses: [10.0.0.0/8] }\n    handlers:\n      status: { auth: key }\n    routes:\n      GET /prices: { auth: none }\nupstreams:\n  legacy: { url: \"http://h\", routes: { /v1: { auth: none }, GET /v2: { group: admin } } }\n")
	p := d.Policy()
	rows := policy.Table(functions(), &p, d)
	var got []string
	for _, r := range rows {
		text := r.Name() + "|" + r.Group + "|" + strings.Join(r.Limits(), " ") + "|" + r.From["auth"]
		if r.Public() {
			text += "|public"
		}
		if r.Line > 0 {
			text += "|line"
		}
		got = append(got, text)
	}
	want := []string{"orders /health|||gateway|public", "orders /ice|||callback", "orders GET /prices|||policy|public|line", "orders POST /prices|admin|5/s|auth export", "orders /refund|orders||auth export",
		"orders /status|orders||policy|line", "legacy /v1|||policy|public|line", "legacy GET /v2|admin|5/s|policy|line"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if f := rows[3].From; f["group"] != "manifest" || f["addresses"] != "policy" || f["rate 5/s"] != "group" {
		t.Errorf("from %v", f)
	}
	opened, closed := policy.Opened(policy.Table(functions(), nil, nil), rows)
	names := func(rows []policy.Row) (out []string) {
		for _, r := range rows {
			out = append(out, r.Name())
		}
		return out
	}
	if diff := cmp.Diff([][]string{{"orders GET /prices", "legacy /v1"}, {"orders /status"}}, [][]string{names(opened), names(closed)}); diff != "" {
		t.Error(diff)
	}
	private := parse(t, "version: 1\nfunctions:\n  orders: { visibility: private }\n").Policy()
	if opened, closed := policy.Opened(rows, policy.Table(functions(), &private, nil)); len(opened) != 0 || len(closed) != 3 {
		t.Errorf("private: opened %v, closed %v", names(opened), names(closed))
	}
}

// A WebSocket is told by its path and as it is guarded, like any other door.
func TestTable_WebSocket(t *testing.T) {
	t.Parallel()
	fs := []platform.ActiveFunction{{Function: platform.Function{Name: "chat"}, Deployment: platform.Deployment{Visibility: platform.Public, Handlers: []platform.Handler{
		{Name: "/ws", Kind: platform.HandlerSocket, Guard: platform.GuardKey}, {Name: "/open", Kind: platform.HandlerSocket, Guard: platform.GuardOpen}, {Name: "WebSocket", Guard: platform.GuardKey}}}}}
	var got []string
	for _, r := range policy.Table(fs, nil, nil) {
		text := r.Name() + "|" + r.Handler + "|" + r.Door + "|" + r.Group
		if r.Public() {
			text += "|public"
		}
		got = append(got, text)
	}
	want := []string{"chat /health|built in|||public", "chat /WebSocket|WebSocket|WebSocket|chat", "chat /open|WebSocket|/open||public", "chat /ws|WebSocket|/ws|chat"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
