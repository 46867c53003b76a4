package function_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

func TestParseManifest_Secrets(t *testing.T) {
	t.Parallel()
	m, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node","secrets":["STRIPE_KEY","ADMIN_PASSWORD"],"variables":{"ADMIN_USER":"ada"},
  "routes":[{"path":"POST /p","handler":"paid","auth":"signature","signature":{"scheme":"stripe","secrets":["STRIPE_KEY"]}}]}`))
	if err != nil || !slices.Equal(m.Secrets, []string{"ADMIN_PASSWORD", "STRIPE_KEY"}) {
		t.Fatal(m.Secrets, err)
	}
	again, err := function.DecodeManifest(m.Encode())
	if err != nil || !slices.Equal(again.Secrets, m.Secrets) || strings.Contains(string(m.Encode()), `"secrets":null`) {
		t.Errorf("%v, %v", again.Secrets, err)
	}
	program, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"http","command":"./x","secrets":["A"]}`))
	if err != nil || len(program.Secrets) != 1 || !program.PlatformName("PORT") || m.PlatformName("PORT") {
		t.Errorf("a program: %v, %v", program.Secrets, err)
	}
	for text, want := range map[string][]string{`["B","PROJECT_ID_API_SECRET","A"]`: {"A", "B"}, `{"A":""}`: nil, `true`: nil} {
		m, warnings, err := function.ParseManifest(function.SourceSinch, []byte(`{"name":"a","runtime":"node","secrets":`+text+`}`))
		if err != nil || !slices.Equal(m.Secrets, want) || (len(warnings) == 1) != (want == nil) {
			t.Errorf("in sinch.json %s: %v, %q, %v", text, m.Secrets, warnings, err)
		}
	}
}

func TestParseManifest_RefusesSecrets(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want, hint string }{
		"an object":               {`"secrets":{"A":"hunter2"}`, "1:40: secrets must be a list", "write the names alone"},
		"a text":                  {`"secrets":"A"`, "secrets must be a list", ""},
		"a name with a value":     {`"secrets":["A=hunter2"]`, "1:41: secrets has something that is no name", "postern secrets add"},
		"lower case":              {`"secrets":["hunter2"]`, "no name of a secret", ""},
		"a number":                {`"secrets":[1]`, "no name of a secret", ""},
		"twice":                   {`"secrets":["A","A"]`, "1:45: A is a secret here, and stands at 1:41 already", "one place"},
		"a variable before it":    {"\"variables\":{\n\"A\":\"\"},\n\"secrets\":[\"A\"]", "3:12: A is a secret here, and stands at 2:1 already", "one place"},
		"a variable behind it":    {`"secrets":["A"],"variables":{"A":""}`, "1:59: A is a variable here, and stands at 1:41 already", "one place"},
		"the platform's":          {`"secrets":["PROJECT_ID_API_SECRET"]`, "belongs to the platform", ""},
		"too many":                {`"secrets":["A"` + strings.Repeat(`,"A"`, 256) + `]`, "at most 256", ""},
		"a signature without one": {`"secrets":["GITHUB_SECRET"],"handlers":{"h":{"signature":{"scheme":"github","secrets":["GITHUB_SECERT"]}}}`, "names \"GITHUB_SECERT\", which the function has not", `did you mean "GITHUB_SECRET"?`},
		"nothing like it":         {`"handlers":{"h":{"signature":{"scheme":"github","secrets":["GITHUB_SECRET"]}}}`, "which the function has not", `declare it: "secrets": ["GITHUB_SECRET"]`},
		"a near field":            {`"secret":["A"]`, `unknown field "secret"`, `did you mean "secrets"?`},
	} {
		_, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node",`+tc.in+`}`))
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Code != "manifest_invalid" || !strings.Contains(f.Text, tc.want) || !strings.Contains(f.Hint, tc.hint) || strings.Contains(f.Error()+f.Hint, "hunter2") {
			t.Errorf("%s: %v (%s), want %q (%s)", name, err, hintOf(f), tc.want, tc.hint)
		}
	}
	for _, in := range []string{`"secrets":["PORT"]`, `"secrets":["ASPNETCORE_URLS"]`} {
		if _, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"http","command":"./x",`+in+`}`)); err == nil || !strings.Contains(err.Error(), "belongs to the platform") {
			t.Errorf("a program with %s: %v", in, err)
		}
	}
}

func TestDecodeManifest_ChecksSecrets(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`"secrets":["LD_PRELOAD"]`, `"secrets":["a"]`, `"secrets":[""]`, `"secrets":["A","A"]`, `"secrets":["B","A"]`, `"secrets":["A"],"variables":{"A":""}`, `"secrets":["A"` + strings.Repeat(`,"A"`, 256) + `]`,
		`"handlers":{"h":{"signature":{"scheme":"github","secrets":["G"]}}},"secrets":["A"]`} {
		if _, err := function.DecodeManifest([]byte(`{"name":"a","runtime":"node","source":"postern.json",` + in + `}`)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", in, err)
		}
	}
	if _, err := function.DecodeManifest([]byte(`{"name":"a","runtime":"http","source":"postern.json","program":{"command":["x"],"port":"tcp"},"secrets":["PORT"]}`)); err == nil {
		t.Error("a program's port is a secret")
	}
}

func TestLooksSecret(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"STRIPE_SECRET_KEY": true, "KEY": true, "DB_PASSWORD": true, "PGPASS": false, "DB_PASS": true, "API_KEYS": true, "X_APIKEY": true, "GITHUB_TOKEN": true, "MY_CREDENTIALS": true, "SSH_PASSPHRASE": true, "DB_PWD": true, "VOICE_APPLICATION_SECRET": true,
		"MAX_TOKENS": false, "TOKEN_URL": false, "AWS_ACCESS_KEY_ID": false, "PUBLIC_KEY": false, "STRIPE_PUBLISHABLE_KEY": false, "VOICE_APPLICATION_KEY": false, "COMPANY_NAME": false, "MONKEY": false, "KEY_": false, "": false,
	} {
		if got := function.LooksSecret(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
