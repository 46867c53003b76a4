package environ_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// box is a keychain: by account, a secret, or a text that says how it fails.
type box map[string]string

const away, broken = "(away)", "(broken)"

func (b box) Get(_ context.Context, account string) (string, error) {
	switch text, ok := b[account]; {
	case !ok:
		return "", fault.New(fault.NotFound, "none")
	case text == away:
		return "", fault.New(fault.Unavailable, "no keychain answers").WithHint("unlock it")
	case text == broken:
		return "", fault.New(fault.Denied, "the passphrase is wrong").WithCode("wrong_passphrase")
	default:
		return text, nil
	}
}

func manifest(variables map[string]string, secrets ...string) function.Manifest {
	return function.Manifest{Name: "shop", Runtime: function.RuntimeNode, Source: function.SourcePostern, Variables: variables, Secrets: secrets}
}

func dotenv(t *testing.T, text string) environ.Dotenv {
	t.Helper()
	entries, flaws := environ.ParseDotenv([]byte(text))
	if flaws != nil {
		t.Fatal(flaws)
	}
	return environ.Dotenv{Present: true, Entries: entries}
}

// told is each setting as "NAME=value place", with a * behind a secret's name.
func told(all []environ.Setting) (out []string) {
	for _, s := range all {
		mark := ""
		if s.Secret {
			mark = "*"
		}
		out = append(out, fmt.Sprintf("%s%s=%s %s", s.Name, mark, s.Value.Reveal(), s.Place()))
	}
	return out
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		m                 function.Manifest
		dotenv            string
		box               box
		known             []string
		process           []string
		want, base        []string
		declares, missing []string
		unasked           string
		warnings          []string
	}{
		"nothing":                         {m: manifest(nil)},
		"variables alone":                 {m: manifest(map[string]string{"B": "2", "A": ""}), want: []string{"A= postern.json", "B=2 postern.json"}},
		"a secret in the keychain":        {m: manifest(nil, "TOKEN"), box: box{"shop/TOKEN": "t"}, want: []string{"TOKEN*=t keychain"}, declares: []string{"TOKEN"}},
		"that of another function":        {m: manifest(nil, "TOKEN"), box: box{"shop2/TOKEN": "t", "sho/TOKEN": "t"}, declares: []string{"TOKEN"}, missing: []string{"TOKEN"}},
		"declared by a blank key":         {m: manifest(nil), dotenv: "TOKEN=\n", box: box{"shop/TOKEN": "t"}, want: []string{"TOKEN*=t keychain"}, declares: []string{"TOKEN"}},
		"a blank key that reads plain":    {m: manifest(nil), dotenv: "COLOUR=\n", box: box{"shop/COLOUR": "red"}, want: []string{"COLOUR*=red keychain"}, declares: []string{"COLOUR"}},
		"a value in .env wins":            {m: manifest(nil, "TOKEN"), dotenv: "\nTOKEN=mine\n", box: box{"shop/TOKEN": "t"}, want: []string{"TOKEN*=mine .env:2"}, declares: []string{"TOKEN"}},
		"the keychain is not asked then":  {m: manifest(nil, "TOKEN"), dotenv: "TOKEN=mine\n", box: box{"shop/TOKEN": broken}, want: []string{"TOKEN*=mine .env:1"}, declares: []string{"TOKEN"}},
		"a plain value in .env":           {m: manifest(map[string]string{"COLOUR": "red"}), dotenv: "COLOUR=blue\nSIZE=4", want: []string{"COLOUR=blue .env:1", "SIZE=4 .env:2"}},
		"a credential in .env":            {m: manifest(nil), dotenv: "API_TOKEN=abc\nMAX_TOKENS=4\nPUBLIC_KEY=p\n", want: []string{"API_TOKEN*=abc .env:1", "MAX_TOKENS=4 .env:2", "PUBLIC_KEY=p .env:3"}, declares: []string{"API_TOKEN"}},
		"no keychain":                     {m: manifest(nil, "A", "B"), declares: []string{"A", "B"}, missing: []string{"A", "B"}},
		"an empty secret is missing":      {m: manifest(nil, "A"), box: box{"shop/A": ""}, declares: []string{"A"}, missing: []string{"A"}},
		"a keychain that is away":         {m: manifest(nil, "A", "B", "C"), dotenv: "B=1", box: box{"shop/A": away, "shop/C": "c"}, want: []string{"B*=1 .env:1"}, declares: []string{"A", "B", "C"}, missing: []string{"A", "C"}, unasked: "no keychain answers; unlock it"},
		"the environment wins":            {m: manifest(map[string]string{"COLOUR": "red"}, "TOKEN"), dotenv: "TOKEN=mine\nSIZE=4", process: []string{"COLOUR=green", "TOKEN=theirs", "SIZE=5", "OTHER=x", "COLOUR2", "=z"}, want: []string{"COLOUR=green environment", "SIZE=5 environment", "TOKEN*=theirs environment"}, declares: []string{"TOKEN"}},
		"blank there is not set":          {m: manifest(map[string]string{"COLOUR": "red"}, "TOKEN"), box: box{"shop/TOKEN": "t"}, process: []string{"COLOUR=", "TOKEN="}, want: []string{"COLOUR=red postern.json", "TOKEN*=t keychain"}, declares: []string{"TOKEN"}},
		"the platform's own, blank":       {m: manifest(nil), dotenv: "PROJECT_ID=\nPROJECT_ID_API_KEY=\nPROJECT_ID_API_SECRET=\nFUNCTION_ID=\n"},
		"the platform's own, with values": {m: manifest(nil), dotenv: "PROJECT_ID=p\nPROJECT_ID_API_SECRET=s\n", process: []string{"PROJECT_ID=q", "PROJECT_ID_API_KEY=k"}, base: []string{"PROJECT_ID=q environment", "PROJECT_ID_API_KEY=k environment", "PROJECT_ID_API_SECRET=s .env:2"}},
		"other names of the platform":     {m: manifest(nil), dotenv: "NODE_ENV=test\nPOSTERN_SERVER=http://x\nLD_PRELOAD=x\nA=1", process: []string{"NODE_ENV=x"}, want: []string{"A=1 .env:4"}, warnings: []string{".env:1: NODE_ENV belongs to the platform, and is passed over", ".env:2: POSTERN_SERVER belongs", ".env:3: LD_PRELOAD belongs"}},
		"a port of a handler's module":    {m: manifest(nil), dotenv: "PORT=3000", want: []string{"PORT=3000 .env:1"}},
		"in the keychain, not declared":   {m: manifest(nil, "A"), known: []string{"A", "B"}, box: box{"shop/A": "a", "shop/B": "b"}, want: []string{"A*=a keychain"}, declares: []string{"A"}, warnings: []string{"the keychain has B, which nothing declares: add it to secrets in postern.json, or B= to .env"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := environ.Input{Manifest: tc.m, Dotenv: dotenv(t, tc.dotenv), Known: tc.known, Process: tc.process}
			if tc.box != nil {
				in.Keychain = tc.box
			}
			got, err := environ.Resolve(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([][]string{tc.want, tc.base, tc.declares, tc.missing}, [][]string{told(got.Settings), told(got.Base), got.Declares, got.Missing}); d != "" {
				t.Error(d)
			}
			if len(got.Warnings) != len(tc.warnings) || got.Unasked != tc.unasked {
				t.Fatalf("warnings %q, %q", got.Warnings, got.Unasked)
			}
			for i, w := range tc.warnings {
				if !strings.HasPrefix(got.Warnings[i], w) {
					t.Errorf("the warning %q is not %q", got.Warnings[i], w)
				}
			}
		})
	}
}

func TestResolve_OfAProgram(t *testing.T) {
	t.Parallel()
	m := manifest(nil)
	m.Runtime, m.Program = function.RuntimeHTTP, &function.Program{Command: []string{"x"}, Port: function.PortTCP}
	got, err := environ.Resolve(t.Context(), environ.Input{Manifest: m, Dotenv: dotenv(t, "PORT=3000\nA=1")})
	if err != nil || len(got.Settings) != 1 || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "PORT belongs to the platform") {
		t.Errorf("%v: %v, %q", err, told(got.Settings), got.Warnings)
	}
}

// What is deployed: of the plain settings those that the manifest does not say
// already, and of the secrets those that have a value here.
func TestResolved_Parts(t *testing.T) {
	t.Parallel()
	got, err := environ.Resolve(t.Context(), environ.Input{
		Manifest: manifest(map[string]string{"COLOUR": "red", "SHAPE": "round"}, "TOKEN", "OTHER"),
		Dotenv:   dotenv(t, "COLOUR=blue\nSIZE=4\nPROJECT_ID=p\nDB_PASSWORD=pw\n"), Keychain: box{"shop/TOKEN": "t"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"COLOUR": "blue", "SIZE": "4"}, got.Variables()); d != "" {
		t.Error("variables:", d)
	}
	if d := cmp.Diff(map[string]string{"TOKEN": "t", "DB_PASSWORD": "pw"}, got.Secrets()); d != "" {
		t.Error("secrets:", d)
	}
	if d := cmp.Diff([]string{"COLOUR=blue", "DB_PASSWORD=pw", "SHAPE=round", "SIZE=4", "TOKEN=t"}, got.Environ()); d != "" {
		t.Error("environ:", d)
	}
}

func TestResolve_Refuses(t *testing.T) {
	t.Parallel()
	variables := map[string]string{"TOKEN": "", "COLOUR": "red"}
	for name, tc := range map[string]struct {
		in         environ.Input
		kind       fault.Kind
		code, says string
	}{
		"a variable that is blank in .env":       {environ.Input{Manifest: manifest(variables), Dotenv: dotenv(t, "\nCOLOUR=")}, fault.Invalid, "setting_twice", "COLOUR is a variable in postern.json and a secret in .env:2"},
		"a variable, and a credential in .env":   {environ.Input{Manifest: manifest(variables), Dotenv: dotenv(t, "TOKEN=hunter2")}, fault.Invalid, "setting_twice", "TOKEN is a variable in postern.json and a secret in .env:1"},
		"a variable that the keychain has":       {environ.Input{Manifest: manifest(variables), Known: []string{"TOKEN"}}, fault.Invalid, "setting_twice", "TOKEN is a variable in postern.json and a secret in the keychain"},
		"a variable that is a secret":            {environ.Input{Manifest: manifest(variables, "TOKEN")}, fault.Invalid, "setting_twice", "TOKEN is a variable in postern.json and a secret in postern.json"},
		"all of them":                            {environ.Input{Manifest: manifest(variables, "TOKEN"), Known: []string{"COLOUR"}}, fault.Invalid, "setting_twice", "COLOUR is a variable in postern.json and a secret in the keychain\nTOKEN is"},
		"a wrong passphrase":                     {environ.Input{Manifest: manifest(nil, "A"), Keychain: box{"shop/A": broken}}, fault.Denied, "wrong_passphrase", "the passphrase is wrong"},
		"too much":                               {environ.Input{Manifest: manifest(map[string]string{"A": strings.Repeat("x", 40<<10)}, "B"), Keychain: box{"shop/B": strings.Repeat("hunter2", 5<<10)}}, fault.Invalid, "setting_invalid", "at most 65536 fit"},
		"a NUL in the keychain":                  {environ.Input{Manifest: manifest(nil, "A"), Keychain: box{"shop/A": "hunter2\x00"}}, fault.Invalid, "setting_invalid", "the variable A has a NUL character (keychain)"},
		"a sinch.json, and the source that says": {environ.Input{Manifest: function.Manifest{Name: "a", Source: function.SourceSinch, Variables: variables}, Dotenv: dotenv(t, "COLOUR=")}, fault.Invalid, "setting_twice", "a variable in sinch.json"},
	} {
		_, err := environ.Resolve(t.Context(), tc.in)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != tc.kind || f.Code != tc.code || !strings.Contains(f.Error(), tc.says) || strings.Contains(f.Error()+f.Hint, "hunter2") {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

// A value is in nothing that is printed, however it is printed.
func TestValue_NeverPrints(t *testing.T) {
	t.Parallel()
	got, err := environ.Resolve(t.Context(), environ.Input{Manifest: manifest(map[string]string{"A": "hunter2"}, "B"), Dotenv: dotenv(t, "C=hunter2\nPROJECT_ID=hunter2"), Keychain: box{"shop/B": "hunter2"}})
	if err != nil || len(got.Settings) != 3 {
		t.Fatal(err, told(got.Settings))
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%p"} {
		fmt.Fprintf(&out, verb+"\n", got)
		fmt.Fprintf(&out, verb+"\n", got.Settings[0].Value)
		fmt.Fprintf(&out, verb+"\n", struct{ v environ.Value }{got.Settings[1].Value})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", got.Settings[0].Value, "all", got)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", got.Settings[0].Value, "all", got)
	if err := json.NewEncoder(&out).Encode(got); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"hunter2", "68756e74657232", "[104 117"} {
		if strings.Contains(strings.ToLower(out.String()), form) {
			t.Errorf("it is there as %s:\n%s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") || environ.NewValue("").String() != "" || slices.Sorted(maps.Keys(got.Secrets()))[0] != "B" {
		t.Error("that a value is set is not to be seen")
	}
}
