package function_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

var samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestParseManifest_Rule(t *testing.T) {
	t.Parallel()
	got, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name": "a", "runtime": "node", "visibility": "private",
  "handlers": {"all": {"rate": "10/h by address", "addresses": ["10.0.0.0/8"]}},
  "routes": [{"path": "GET /x", "handler": "all", "credentials": ["bearer", "dpop"], "addresses": ["192.0.2.7", "2001:db8::/32"], "rate": ["100/s by key, burst 200", "5/m"],
    "cors": {"origins": ["https://shop.example", "http://localhost:5173", "http://[::1]:80"], "methods": ["GET"], "headers": ["X-API-Key"], "expose": ["X-Total"], "credentials": true, "maxAge": "10m"}}]}`))
	if err == nil || !strings.Contains(err.Error(), "names the usual port") {
		t.Fatalf("the usual port: %v", err)
	}
	got, _, err = function.ParseManifest(function.SourcePostern, []byte(`{"name": "a", "runtime": "node", "visibility": "private",
  "handlers": {"all": {"rate": "10/h by address", "addresses": ["10.0.0.0/8"]}},
  "routes": [{"path": "GET /x", "handler": "all", "credentials": ["bearer", "dpop"], "addresses": ["192.0.2.7", "2001:db8::/32"], "rate": ["100/s by key, burst 200", "5/m"],
    "cors": {"origins": ["https://shop.example", "http://localhost:5173", "http://[::1]:81"], "methods": ["GET"], "headers": ["X-API-Key"], "expose": ["X-Total"], "credentials": true, "maxAge": "10m"}},
    {"path": "/y", "handler": "all", "cors": {"origins": ["*"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	handler := function.RuleSpec{Rate: []platform.RateLimit{{Requests: 10, Per: time.Hour, By: platform.LimitByAddress}}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	route := function.RuleSpec{Credentials: []string{"bearer", "dpop"}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")},
		Rate: []platform.RateLimit{{Requests: 100, Per: time.Second, Burst: 200, By: platform.LimitByKey}, {Requests: 5, Per: time.Minute, By: platform.LimitByRoute}},
		CORS: &platform.CORS{Origins: []string{"https://shop.example", "http://localhost:5173", "http://[::1]:81"}, Methods: []string{"GET"}, Headers: []string{"X-API-Key"}, Expose: []string{"X-Total"}, Credentials: true, MaxAge: 10 * time.Minute}}
	want := function.Manifest{Name: "a", Runtime: "node", Source: function.SourcePostern, Visibility: platform.Private, Handlers: map[string]function.HandlerOptions{"all": {RuleSpec: handler}},
		Routes: []function.RouteSpec{{Path: "GET /x", Handler: "all", RuleSpec: route}, {Path: "/y", Handler: "all", RuleSpec: function.RuleSpec{CORS: &platform.CORS{Origins: []string{"*"}}}}}}
	again, err := function.DecodeManifest(got.Encode())
	if d := cmp.Diff(want, got, samePrefix) + cmp.Diff(want, again, samePrefix); d != "" || err != nil {
		t.Error(d, err)
	}
	// A route says for itself, or what its handler says holds.
	hs, _, err := function.Protect(got, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "all"}}}, true)
	if err != nil {
		t.Fatal(err)
	}
	x, y := hs[0].Routes[0].Rule, hs[0].Routes[1].Rule
	if d := cmp.Diff(platform.Rule{Methods: route.Credentials, Addresses: route.Addresses, Limits: route.Rate, CORS: route.CORS}, x, samePrefix) +
		cmp.Diff(platform.Rule{Addresses: handler.Addresses, Limits: handler.Rate, CORS: want.Routes[1].CORS}, y, samePrefix); d != "" {
		t.Error(d)
	}
	var asks []string
	for _, r := range function.Describe(hs)[1:] {
		asks = append(asks, r.Asks)
	}
	if d := cmp.Diff([]string{"bearer|dpop; from 192.0.2.7/32 and 1 more; 100/s by key, burst 200; 5/m; cors", "from 10.0.0.0/8; 10/h by address; cors"}, asks); d != "" {
		t.Error(d)
	}
}

func TestParseManifest_RefusesRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ rule, text, hint string }{
		"a way that there is not":     {`"credentials": ["cookie"]`, `credentials of route 1: "cookie" is no way`, "basic, apikey"},
		"a way in capitals":           {`"credentials": ["Bearer"]`, `"Bearer" is no way`, ""},
		"a way twice":                 {`"credentials": ["basic", "basic"]`, "stands twice", ""},
		"no way":                      {`"credentials": []`, "must be a list of 1 to", ""},
		"a way as text":               {`"credentials": "basic"`, "must be a list", `"credentials": ["bearer"`},
		"a number as a way":           {`"credentials": [1]`, "list of texts", ""},
		"credentials of an open one":  {`"auth": "none", "credentials": ["basic"]`, "asks for no access key", ""},
		"credentials of a signed one": {`"auth": "signature", "credentials": ["basic"]`, "asks for no access key", ""},
		"a misspelt field":            {`"credential": ["basic"]`, `unknown option "credential" of route 1`, `did you mean "credentials"?`},
		"rates":                       {`"rates": "1/s"`, "unknown option", `did you mean "rate"?`},
		"no address":                  {`"addresses": ["shop.example"]`, "no address and no network", "10.0.0.0/8"},
		"an address within a network": {`"addresses": ["10.0.0.1/8"]`, "write 10.0.0.0/8 for all of it", ""},
		"IPv4 as IPv6":                {`"addresses": ["::ffff:10.0.0.0/104"]`, "write it as IPv4", ""},
		"a zone":                      {`"addresses": ["fe80::1%eth0"]`, "no address", ""},
		"no addresses":                {`"addresses": []`, "must be a list of 1 to 256", ""},
		"a rate without a period":     {`"rate": "10"`, "rate of route 1", "by address"},
		"a rate of nothing":           {`"rate": "0/s"`, "rate of route 1", ""},
		"a rate below nothing":        {`"rate": "-1/s"`, "rate of route 1", ""},
		"by the moon":                 {`"rate": "1/s by moon"`, "not by \"moon\"", ""},
		"a burst of years":            {`"rate": "1/24h, burst 1000"`, "more than a year", ""},
		"a rate as a number":          {`"rate": 10`, "must be a list", ""},
		"one bad rate of two":         {`"rate": ["1/s", "x"]`, `"x" is no rate`, ""},
		"nine rates":                  {`"rate": ["1/s","1/s","1/s","1/s","1/s","1/s","1/s","1/s","1/s"]`, "1 to 8", ""},
		"cors as text":                {`"cors": "*"`, "cors of route 1 must be an object", `"origins"`},
		"cors of nobody":              {`"cors": {}`, "names no origin", ""},
		"all and one":                 {`"cors": {"origins": ["*", "https://a.example"]}`, "stands alone", ""},
		"all with credentials":        {`"cors": {"origins": ["*"], "credentials": true}`, "never with credentials", ""},
		"an origin with a path":       {`"cors": {"origins": ["https://a.example/"]}`, "no origin", "as the browser sends it"},
		"an origin in capitals":       {`"cors": {"origins": ["https://A.example"]}`, "no origin", ""},
		"an origin without scheme":    {`"cors": {"origins": ["a.example"]}`, "no origin", ""},
		"an origin with a star":       {`"cors": {"origins": ["https://*.a.example"]}`, "no origin", ""},
		"an origin with a user":       {`"cors": {"origins": ["https://u@a.example"]}`, "no origin", ""},
		"an origin with a query":      {`"cors": {"origins": ["https://a.example?x"]}`, "no origin", ""},
		"no host":                     {`"cors": {"origins": ["https://:81"]}`, "names no host", ""},
		"null":                        {`"cors": {"origins": ["null"]}`, "no origin", ""},
		"a port that is none":         {`"cors": {"origins": ["https://a.example:0"]}`, "port", ""},
		"a port with a zero":          {`"cors": {"origins": ["https://a.example:0443"]}`, "port", ""},
		"the usual port":              {`"cors": {"origins": ["https://a.example:443"]}`, "usual port", ""},
		"a method in small letters":   {`"cors": {"origins": ["*"], "methods": ["get"]}`, "no method", ""},
		"CONNECT":                     {`"cors": {"origins": ["*"], "methods": ["CONNECT"]}`, "no method", ""},
		"a header that breaks a line": {`"cors": {"origins": ["*"], "headers": ["X\r\nSet-Cookie"]}`, "no name of a header", ""},
		"all headers":                 {`"cors": {"origins": ["*"], "headers": ["*"]}`, "no name of a header", ""},
		"credentials as text":         {`"cors": {"origins": ["https://a.example"], "credentials": "yes"}`, "neither", ""},
		"half a second":               {`"cors": {"origins": ["*"], "maxAge": "500ms"}`, "maxAge", ""},
		"a week":                      {`"cors": {"origins": ["*"], "maxAge": "168h"}`, "maxAge", ""},
		"a misspelt field of cors":    {`"cors": {"orgins": ["*"]}`, `unknown option "orgins"`, `did you mean "origins"?`},
	} {
		_, _, err := function.ParseManifest(function.SourcePostern, []byte("{\"name\": \"a\", \"runtime\": \"node\", \"routes\": [\n  {\"path\": \"/x\", \"handler\": \"x\", "+tc.rule+"}]}"))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Code != "manifest_invalid" || !strings.Contains(f.Text, tc.text) || !strings.Contains(f.Hint, tc.hint) || !strings.HasPrefix(f.Text, "postern.json:2:") {
			t.Errorf("%s: %v, hint %q", name, err, f.Hint)
		}
	}
	for text, want := range map[string]string{`"visibility": "secret"`: "visibility cannot be", `"visibility": true`: "must be a string"} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name": "a", "runtime": "node", `+text+`}`)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// An artefact may come from anyone who may deploy: what no parser of ours has
// read is checked again.
func TestDecodeManifest_ChecksRules(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"a way":           `"credentials":["cookie"]`,
		"a network":       `"addresses":["10.0.0.1/8"]`,
		"IPv4 as IPv6":    `"addresses":["::ffff:10.0.0.0/104"]`,
		"no network":      `"addresses":[""]`,
		"nobody":          `"rate":[{"Requests":0,"Per":1000000000,"By":"key"}]`,
		"no period":       `"rate":[{"Requests":1,"Per":0,"By":"key"}]`,
		"by nothing":      `"rate":[{"Requests":1,"Per":1000000000}]`,
		"a burst":         `"rate":[{"Requests":1,"Per":3600000000000,"Burst":9223372036854775807,"By":"key"}]`,
		"another's pool":  `"rate":[{"Requests":1,"Per":1000000000,"By":"key","Pool":"group:admin"}]`,
		"an unknown rate": `"rate":[{"Requests":1,"Per":1000000000,"By":"key","Free":true}]`,
		"all":             `"cors":{"Origins":["*"],"Credentials":true}`,
		"an origin":       `"cors":{"Origins":["https://a.example\r\nx: y"]}`,
		"nobody's cors":   `"cors":{}`,
		"an age":          `"cors":{"Origins":["*"],"MaxAge":-1000000000}`,
	} {
		for where, text := range map[string]string{"route": `"routes":[{"path":"/x","handler":"x",` + rule + `}]`, "handler": `"handlers":{"x":{` + rule + `}}`} {
			if _, err := function.DecodeManifest([]byte(`{"name":"a","runtime":"node","source":"postern.json",` + text + `}`)); err == nil {
				t.Errorf("%s of a %s is taken", name, where)
			}
		}
	}
	if _, err := function.DecodeManifest([]byte(`{"name":"a","runtime":"node","source":"postern.json","visibility":"hidden"}`)); err == nil {
		t.Error("an unknown visibility is taken")
	}
}

// Credentials that nobody is asked for are refused, by whichever line opened
// the door.
func TestProtect_CredentialsOfOpenDoors(t *testing.T) {
	t.Parallel()
	way := function.RuleSpec{Credentials: []string{"bearer"}}
	d := platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "a"}, {Name: "b"}}, Auth: platform.AuthDeclaration{Present: true, Names: []string{"b"}}}
	m := function.Manifest{Name: "x", Runtime: "node", Source: function.SourcePostern}
	for name, tc := range map[string]struct {
		handlers map[string]function.HandlerOptions
		routes   []function.RouteSpec
		ok       bool
	}{
		"an open handler":            {map[string]function.HandlerOptions{"a": {RuleSpec: way}}, nil, false},
		"a guarded handler":          {map[string]function.HandlerOptions{"b": {RuleSpec: way}}, nil, true},
		"a route of an open handler": {nil, []function.RouteSpec{{Path: "/a", Handler: "a", RuleSpec: way}}, false},
		"which asks for a key":       {nil, []function.RouteSpec{{Path: "/a", Handler: "a", Auth: "key", RuleSpec: way}}, true},
		"inherited by an open route": {map[string]function.HandlerOptions{"b": {RuleSpec: way}}, []function.RouteSpec{{Path: "/b", Handler: "b"}, {Path: "/c", Handler: "b", Auth: "none"}}, true},
	} {
		m.Handlers, m.Routes = tc.handlers, tc.routes
		hs, _, err := function.Protect(m, d, true)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		for _, h := range hs {
			for _, r := range h.Routes {
				if r.Guard != platform.GuardKey && len(r.Methods) > 0 {
					t.Errorf("%s: an open route has credentials", name)
				}
			}
		}
	}
}

func FuzzCheckOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example", "http://localhost:5173", "https://[::1]:8443", "https://a.example/", "null", "*", "https://A", "https://a:443", "https://[::1", "https://]["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if function.CheckOrigin(text) == nil && (strings.ContainsAny(text, " \r\n\t,*\"'\\/?#@") && strings.Count(text, "/") != 2 || strings.ToLower(text) != text) {
			t.Errorf("%q is an origin", text)
		}
	})
}
