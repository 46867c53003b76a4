package function_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

func TestParseManifest_Signatures(t *testing.T) {
	t.Parallel()
	m, _, err := function.ParseManifest(function.SourcePostern, []byte(`{
  "handlers": {"paid": {"signature": {"scheme": "stripe", "secrets": ["NEW", "OLD"], "window": "1m"}}},
  "routes": [
    {"path": "POST /calls", "handler": "calls", "auth": "signature", "signature": {"scheme": "voice-v1", "secrets": ["OLD"], "keyId": "APP"}},
    {"path": "POST /own", "handler": "calls", "auth": "signature", "signature": {"scheme": "custom", "secrets": ["NEW"],
      "custom": {"header": "x-sig", "timestampHeader": "x-at", "signed": "{timestamp}.{body}", "encoding": "base64", "hash": "sha512", "secretEncoding": "base64", "idMember": "id", "prefix": "a="}}},
    {"path": "POST /paid", "handler": "paid", "auth": "signature"}],
  "name": "shop", "runtime": "node", "variables": {"NEW": "", "OLD": "s", "APP": "a"}, "webhookProtection": "never"
}`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&platform.Signature{Scheme: "stripe", Secrets: []string{"NEW", "OLD"}, Window: time.Minute}, m.Handlers["paid"].Signature); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(&platform.Signature{Scheme: "voice-v1", Secrets: []string{"OLD"}, KeyID: "APP"}, m.Routes[0].Signature); d != "" {
		t.Error(d)
	}
	own := &platform.SignatureScheme{Header: "x-sig", Prefix: "a=", TimestampHeader: "x-at", Signed: "{timestamp}.{body}", Encoding: "base64", Hash: "sha512", SecretEncoding: "base64", IDMember: "id"}
	if d := cmp.Diff(&platform.Signature{Scheme: "custom", Secrets: []string{"NEW"}, Custom: own}, m.Routes[1].Signature); d != "" {
		t.Error(d)
	}
	if m.WebhookProtection != signature.ProtectNever {
		t.Errorf("webhookProtection is %q", m.WebhookProtection)
	}
	again, err := function.DecodeManifest(m.Encode())
	if d := cmp.Diff(m, again); err != nil || d != "" {
		t.Errorf("encoded and read again: %v %s", err, d)
	}
	hs, _, err := function.Protect(m, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "calls"}, {Name: "paid"}}}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Concat(hs[0].Routes, hs[1].Routes) {
		if r.Guard != platform.GuardSignature || r.Signature == nil {
			t.Errorf("%s has the guard %v, %v", r.Pattern, r.Guard, r.Signature)
		}
	}
	if got := hs[1].Routes[0].Signature.Scheme; got != "stripe" {
		t.Errorf("a route without a signature has the scheme %q, not that of its handler", got)
	}
}

func TestParseManifest_RefusesSignatures(t *testing.T) {
	t.Parallel()
	const own = `{"scheme": "custom", "secrets": ["S"], "custom": %s}`
	for name, tc := range map[string]struct{ signature, says, hint string }{
		"a text":                      {`"github"`, "must be an object", "github"},
		"no scheme":                   {`{"secrets": ["S"]}`, `the scheme "" is not one of`, ""},
		"a misspelt scheme":           {`{"scheme": "githup", "secrets": ["S"]}`, `the scheme "githup"`, `"github"`},
		"a scheme in another case":    {`{"scheme": "GitHub", "secrets": ["S"]}`, `the scheme "GitHub"`, `"github"`},
		"no secret":                   {`{"scheme": "github"}`, "no secret is named", ""},
		"an empty list":               {`{"scheme": "github", "secrets": []}`, "must be a list", ""},
		"the secret itself":           {`{"scheme": "github", "secrets": ["hunter2"]}`, `"hunter2", which the function has not`, "declare it"},
		"a misspelt secret":           {`{"scheme": "github", "secrets": ["GITHUB_SECERT"]}`, "which the function has not", `"GITHUB_SECRET"`},
		"a number":                    {`{"scheme": "github", "secrets": [1]}`, `secret ""`, ""},
		"a secret twice":              {`{"scheme": "github", "secrets": ["S", "S"]}`, "twice", ""},
		"too many secrets":            {`{"scheme": "github", "secrets": ["A","B","C","D","E"]}`, "more than 4", ""},
		"a key ID that means nothing": {`{"scheme": "github", "secrets": ["S"], "keyId": "S"}`, "keyId says nothing", ""},
		"a key ID that is not there":  {`{"scheme": "voice-v1", "secrets": ["S"], "keyId": "K"}`, "which the function has not", ""},
		"a window without a time":     {`{"scheme": "github", "secrets": ["S"], "window": "1m"}`, "signs no time", ""},
		"a window over the bound":     {`{"scheme": "stripe", "secrets": ["S"], "window": "61m"}`, "is no duration", `"1h"`},
		"a window of nothing":         {`{"scheme": "stripe", "secrets": ["S"], "window": "1ns"}`, "between a second", ""},
		"no window at all":            {`{"scheme": "stripe", "secrets": ["S"], "window": "0s"}`, "is no duration", ""},
		"an unknown field":            {`{"scheme": "stripe", "secrets": ["S"], "tolerance": "1m"}`, "unknown option", ""},
		"custom without custom":       {`{"scheme": "custom", "secrets": ["S"]}`, "described by custom", ""},
		"custom of a known scheme":    {`{"scheme": "stripe", "secrets": ["S"], "custom": {"header": "a"}}`, "described by custom", ""},
		"custom, unknown field":       {fmt.Sprintf(own, `{"headers": "a"}`), "unknown option", `"header"`},
		"custom without a header":     {fmt.Sprintf(own, `{}`), "the header", ""},
		"custom, no header's name":    {fmt.Sprintf(own, `{"header": "x y"}`), "no name of a header", ""},
		"custom without the body":     {fmt.Sprintf(own, `{"header": "a", "signed": "x"}`), "{body}", ""},
		"custom, time not signed":     {fmt.Sprintf(own, `{"header": "a", "timestampHeader": "b"}`), "{timestamp}", ""},
		"custom, time at the body":    {fmt.Sprintf(own, `{"header": "a", "timestampHeader": "b", "signed": "{timestamp}{body}"}`), "no digit", ""},
		"custom, a weak hash":         {fmt.Sprintf(own, `{"header": "a", "hash": "md5"}`), "md5", ""},
	} {
		for _, manifest := range []string{
			`{"name": "f", "runtime": "node", "variables": {"S": "x", "GITHUB_SECRET": "x"}, "handlers": {"h": {"signature": ` + tc.signature + `}}}`,
			`{"name": "f", "runtime": "node", "variables": {"S": "x", "GITHUB_SECRET": "x"}, "routes": [{"path": "/h", "handler": "h", "auth": "signature", "signature": ` + tc.signature + `}]}`,
		} {
			_, _, err := function.ParseManifest(function.SourcePostern, []byte(manifest))
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != "manifest_invalid" || !strings.Contains(f.Error(), tc.says) || !strings.HasPrefix(f.Error(), "postern.json:1:") || !strings.Contains(f.Hint, tc.hint) {
				t.Errorf("%s: %v, hint %q", name, err, hintOf(f))
			}
		}
	}
	for name, tc := range map[string]struct{ route, says string }{
		"a signature that nobody looks at": {`"signature": {"scheme": "github", "secrets": ["S"]}`, "only looked at"},
		"a signature beside a key":         {`"auth": "key", "signature": {"scheme": "github", "secrets": ["S"]}`, "only looked at"},
		"a signature on an open route":     {`"auth": "none", "signature": {"scheme": "github", "secrets": ["S"]}`, "only looked at"},
		"a group":                          {`"auth": "signature", "group": "g", "signature": {"scheme": "github", "secrets": ["S"]}`, "no group"},
		"a scope":                          {`"auth": "signature", "scopes": ["control"], "signature": {"scheme": "github", "secrets": ["S"]}`, "no group"},
		"an auth that is none":             {`"auth": "sig"`, "cannot be"},
	} {
		_, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name": "f", "runtime": "node", "variables": {"S": "x"}, "routes": [{"path": "/h", "handler": "h", `+tc.route+`}]}`))
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, protection := range []string{`"Never"`, `"off"`, `""`, `false`} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name": "f", "runtime": "node", "webhookProtection": `+protection+`}`)); err == nil {
			t.Errorf("webhookProtection %s is taken", protection)
		}
	}
}

// An artefact may come from anyone who may deploy.
func TestDecodeManifest_RefusesSignatures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]string{
		"a scheme that is none":    `"handlers":{"h":{"signature":{"Scheme":"x","Secrets":["S"]}}}`,
		"a window of a day":        `"handlers":{"h":{"signature":{"Scheme":"stripe","Secrets":["S"],"Window":86400000000000}}}`,
		"a secret that is not one": `"handlers":{"h":{"signature":{"Scheme":"stripe","Secrets":["T"]}}}`,
		"on a route":               `"routes":[{"path":"/h","handler":"h","auth":"signature","signature":{"Scheme":"custom","Secrets":["S"],"Custom":{"Header":"a","Signed":"x"}}}]`,
		"no such protection":       `"webhookProtection":"off"`,
	} {
		if _, err := function.DecodeManifest([]byte(`{"name":"f","runtime":"node","source":"postern.json","variables":{"S":"x"},` + tc + `}`)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Callbacks are guarded by signature wherever the function comes from; an
// author who names one in auth wants an access key there.
func TestProtect_Callbacks(t *testing.T) {
	t.Parallel()
	declared := []platform.DeclaredHandler{{Name: "conversationWebhook", Kind: service}, {Name: "ice", Kind: callback}, {Name: "numbersWebhook", Kind: service},
		{Name: "smsWebhook", Kind: service}, {Name: "stripeWebhook", Kind: service}, {Name: "voiceWebhook", Kind: service}}
	signed := map[string]function.HandlerOptions{"stripeWebhook": {Signature: &platform.Signature{Scheme: "stripe", Secrets: []string{"S"}}}}
	guards := func(other platform.Guard) []platform.Guard { return []platform.Guard{sig, sig, sig, sig, other, sig} }
	for name, tc := range map[string]struct {
		m        function.Manifest
		auth     platform.AuthDeclaration
		dev      bool
		want     []platform.Guard
		warnings []string
	}{
		"no auth":               {function.Manifest{Source: function.SourcePostern}, platform.AuthDeclaration{}, false, guards(key), nil},
		"an empty list":         {function.Manifest{Source: function.SourcePostern}, platform.AuthDeclaration{Present: true}, false, guards(open), nil},
		"a star":                {function.Manifest{Source: function.SourcePostern}, platform.AuthDeclaration{Present: true, All: true}, false, guards(key), nil},
		"the source's":          {function.Manifest{Source: function.SourceSinch}, platform.AuthDeclaration{}, false, guards(open), []string{"open to everyone: stripeWebhook."}},
		"the source's, a star":  {function.Manifest{Source: function.SourceSinch}, platform.AuthDeclaration{Present: true, All: true}, false, guards(key), nil},
		"named":                 {function.Manifest{Source: function.SourceSinch}, platform.AuthDeclaration{Present: true, Names: []string{"voiceWebhook"}}, false, []platform.Guard{sig, sig, sig, sig, open, key}, []string{"auth names voiceWebhook: it asks for an access key"}},
		"signed as described":   {function.Manifest{Source: function.SourcePostern, Handlers: signed}, platform.AuthDeclaration{Present: true}, false, guards(sig), nil},
		"never":                 {function.Manifest{Source: function.SourcePostern, WebhookProtection: signature.ProtectNever, Handlers: signed}, platform.AuthDeclaration{}, false, []platform.Guard{open, open, open, open, sig, open}, []string{"by webhookProtection never: conversationWebhook, ice, numbersWebhook, smsWebhook, voiceWebhook"}},
		"never, but a key":      {function.Manifest{Source: function.SourcePostern, WebhookProtection: signature.ProtectNever}, platform.AuthDeclaration{Present: true, Names: []string{"smsWebhook"}}, false, []platform.Guard{open, open, open, key, open, open}, []string{"by webhookProtection never: conversationWebhook, ice, numbersWebhook, voiceWebhook", "auth names smsWebhook"}},
		"the source's variable": {function.Manifest{Source: function.SourceSinch, Variables: map[string]string{"WEBHOOK_PROTECTION": "never"}}, platform.AuthDeclaration{Present: true, All: true}, false, guards(key), []string{"WEBHOOK_PROTECTION decides nothing"}},
		"in dev":                {function.Manifest{Source: function.SourcePostern, Handlers: signed}, platform.AuthDeclaration{}, true, []platform.Guard{open, open, open, open, sig, open}, []string{"in dev"}},
		"always, in dev":        {function.Manifest{Source: function.SourcePostern, WebhookProtection: signature.ProtectAlways}, platform.AuthDeclaration{}, true, guards(key), nil},
	} {
		hs, warnings, err := function.Protect(tc.m, platform.Declaration{Handlers: declared, Auth: tc.auth}, !tc.dev)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []platform.Guard
		for _, h := range hs {
			got = append(got, h.Guard)
		}
		if !slices.Equal(got, tc.want) || len(warnings) != len(tc.warnings) {
			t.Errorf("%s: guards %v, warnings %q; want %v", name, got, warnings, tc.want)
			continue
		}
		for i, w := range tc.warnings {
			if !strings.Contains(warnings[i], w) {
				t.Errorf("%s: the warning %q does not say %q", name, warnings[i], w)
			}
		}
	}
}

func TestProtect_RefusesSignatures(t *testing.T) {
	t.Parallel()
	stripe := &platform.Signature{Scheme: "stripe", Secrets: []string{"S"}}
	for name, tc := range map[string]struct {
		m    function.Manifest
		auth platform.AuthDeclaration
		says string
	}{
		"a key and a signature":             {function.Manifest{Handlers: map[string]function.HandlerOptions{"paid": {Signature: stripe}}}, platform.AuthDeclaration{Present: true, Names: []string{"paid"}}, "auth names it too"},
		"a signature of nobody":             {function.Manifest{Routes: []function.RouteSpec{{Path: "/p", Handler: "paid", Auth: "signature"}}}, platform.AuthDeclaration{}, "nothing says how"},
		"a group of a signed handler":       {function.Manifest{Handlers: map[string]function.HandlerOptions{"paid": {Signature: stripe}}, Routes: []function.RouteSpec{{Path: "/p", Handler: "paid", Group: "g"}}}, platform.AuthDeclaration{}, "no group"},
		"a scope of a callback by its name": {function.Manifest{Routes: []function.RouteSpec{{Path: "/p", Handler: "smsWebhook", Scopes: []string{"control"}}}}, platform.AuthDeclaration{}, "no group"},
	} {
		_, _, err := function.Protect(tc.m, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "paid"}, {Name: "smsWebhook", Kind: service}}, Auth: tc.auth}, true)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Policy closes what webhookProtection never has opened, as the handler's name
// says; a handler whose name says nothing needs to be told how.
func TestGovern_SignsByName(t *testing.T) {
	t.Parallel()
	closed := sig
	for name, tc := range map[string]struct {
		h    platform.Handler
		fits bool
	}{
		"a callback":                {platform.Handler{Name: "ice", Kind: callback, Guard: open}, true},
		"a service":                 {platform.Handler{Name: "smsWebhook", Kind: service, Guard: open}, true},
		"a service by its route":    {platform.Handler{Name: "smsWebhook", Kind: service, Guard: open, Routes: []platform.Route{{Pattern: "/x", Guard: open}}}, true},
		"a service that nobody has": {platform.Handler{Name: "faxWebhook", Kind: service, Guard: open}, false},
		"another":                   {platform.Handler{Name: "hook", Kind: custom, Guard: open}, false},
	} {
		hs, err := function.Govern([]platform.Handler{tc.h}, &platform.FunctionPolicy{Name: "f", Handlers: []platform.Governed{{Name: tc.h.Name, Guard: &closed}}}, nil)
		if (err == nil) != tc.fits {
			t.Errorf("%s: %v", name, err)
		} else if err == nil && (len(tc.h.Routes) == 0 && hs[0].Guard != sig || len(tc.h.Routes) > 0 && hs[0].Routes[0].Guard != sig) {
			t.Errorf("%s: it is not closed: %+v", name, hs[0])
		}
	}
}
