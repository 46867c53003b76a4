// Package internal_test holds the rules of the house: which package may import
// which, and what may not be written where. They are text, below, so that a
// change of the rules is a change that is read.
package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "postern.dev/postern/"

// policy lists for each package what it may import of the house. A name stands
// for all that stands before it in the same list of floors as well only where
// it says so: "base" and "ground" are every package of that floor. What is not
// listed is forbidden. The order is that of the floors, from the ground up.
const policy = `
	ground: platform, fault
	examples   <

	wire       <
	say        <
	field      <
	lane       < wire
	httpx      < ground, wire, lane
	telemetry  < ground
	userfile   < ground
	scaffold   < ground, userfile, examples
	redact     <
	config     < ground, userfile
	base: wire, say, lane, field, httpx, telemetry, scaffold, userfile, redact, config

	blob       < ground
	store      < ground
	api        < ground
	valkey     < ground
	keychain   < ground, userfile
	stores: blob, store, valkey, api, keychain

	accesskey  < ground
	secret     < ground
	limit      < ground
	token      < ground
	funclog    < ground
	signature  < ground
	function   < ground, signature
	environ    < ground, userfile, function
	runtime/node <
	bundle     < ground, function, runtime/node
	websocket  < ground, field
	upstream   < ground, field, websocket
	tunnel     < ground, httpx, upstream, websocket
	worker     < ground, field, redact, upstream
	audit      < ground
	usage      < ground
	traffic    < ground
	feed       < ground
	database   < ground
	state      < ground, function
	signin     < ground
	auth       < ground, accesskey, limit, token
	account    < ground, accesskey, auth, signin
	supervisor < ground, upstream, worker
	policy     < ground, accesskey, function, signature, upstream
	openapi    < ground, say
	deploy     < ground, redact, accesskey, bundle, function, policy, secret, signature, signin, supervisor, worker

	gateway    < ground, wire, httpx, telemetry, redact, accesskey, audit, auth, funclog, function, limit, signature, signin, supervisor, token, traffic, feed, upstream, usage, websocket, worker
	oauth      < ground, httpx, accesskey, auth, limit, token
	console    < ground, field, say, httpx, api, accesskey, account, auth, funclog, openapi, signin
	admin      < ground, field, httpx, api, blob, accesskey, audit, auth, bundle, deploy, feed, funclog, function, limit, policy, supervisor, traffic, tunnel

	devserver  < ground, httpx, environ, redact, accesskey, auth, bundle, deploy, function, gateway, oauth, secret, signature, signin, state, supervisor, token, worker
	devpage    < ground, httpx, devserver, tunnel

	logview    < api
	app        < *
	cli        < *
	cmd/postern < cli
	bench      < accesskey, redact
`

// special rules: an import that only the named packages may have.
var only = map[string][]string{
	"os/exec":                             {"internal/worker", "internal/bundle"},
	"modernc.org/sqlite":                  {"internal/store", "internal/database"},
	"github.com/jackc/pgx/v5":             {"internal/store"},
	"github.com/spf13/cobra":              {"internal/cli"},
	"github.com/evanw/esbuild":            {"internal/bundle"},
	"github.com/go-jose/go-jose/v4":       {"internal/token"},
	"github.com/danielgtaylor":            {"internal/admin"},
	"github.com/zalando/go-keyring":       {"internal/keychain"},
	"github.com/fsnotify/fsnotify":        {"internal/devserver"},
	"github.com/godbus/dbus/v5":           {"internal/keychain"},
	"go.yaml.in/yaml":                     {"internal/policy"},
	"filippo.io/age":                      {"internal/keychain"},
	"github.com/pquerna/otp":              {"internal/account"},
	"golang.org/x/crypto/argon2":          {"internal/account"},
	"golang.org/x/oauth2":                 {"internal/api"},
	"github.com/coder/websocket":          {"internal/tunnel", "internal/upstream", "internal/websocket"},
	"github.com/hashicorp/yamux":          {"internal/tunnel"},
	"github.com/sony/gobreaker/v2":        {"internal/upstream"},
	"gocloud.dev":                         {"internal/blob", "internal/secret"},
	"github.com/hashicorp/vault":          {"internal/secret"},
	"github.com/valkey-io/valkey-go":      {"internal/valkey"},
	"golang.org/x/term":                   {"internal/cli"},
	"charm.land":                          {"internal/logview"},
	"go.opentelemetry.io":                 {"internal/telemetry"},
	"postern.dev/postern/internal/config": {"internal/app", "internal/cli"},
}

// Packages that are made for tests.
var testSupport = []string{"internal/auth/authtest", "internal/state/statetest", "internal/store/storetest", "internal/keychain/keychaintest", "internal/token/tokentest", "internal/telemetry/telemetrytest", "internal/wire/wiretest"}

type file struct {
	path    string // below the module's root
	pkg     string // directory, below the root
	imports []string
	ast     *ast.File
	lines   int
}

// rules is the parsed policy.
func rules(text string) (allowed map[string][]string, err error) {
	groups, allowed := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, list, ok := strings.Cut(line, ":"); ok {
			groups[name] = fields(list)
			for _, p := range groups[name] {
				if _, known := allowed[p]; !known && name == "ground" {
					allowed[p] = nil
				}
			}
			continue
		}
		name, list, ok := strings.Cut(line, "<")
		if !ok {
			if line != "" {
				return nil, fmt.Errorf("the line %q is neither a group nor a rule", line)
			}
			continue
		}
		name = strings.TrimSpace(name)
		for _, p := range fields(list) {
			if g, ok := groups[p]; ok {
				allowed[name] = append(allowed[name], g...)
			} else {
				if _, known := allowed[p]; !known && p != "*" {
					return nil, fmt.Errorf("%s may import %s, which stands above it or nowhere", name, p)
				}
				allowed[name] = append(allowed[name], p)
			}
		}
		if allowed[name] == nil {
			allowed[name] = []string{}
		}
	}
	return allowed, nil
}

func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// short is a package's name in the policy.
func short(pkg string) string { return strings.TrimPrefix(pkg, "internal/") }

// check returns what in the files breaks the policy.
func check(allowed map[string][]string, files []file) (broken []string) {
	bad := func(f file, format string, args ...any) {
		broken = append(broken, f.path+": "+fmt.Sprintf(format, args...))
	}
	for _, f := range files {
		if slices.Contains(testSupport, f.pkg) || f.pkg == "bench" {
			continue
		}
		may, known := allowed[short(f.pkg)]
		if !known {
			bad(f, "the package %s is not in the policy", f.pkg)
			continue
		}
		for _, imp := range f.imports {
			if ours, ok := strings.CutPrefix(imp, module); ok && !slices.Contains(may, "*") && !slices.Contains(may, short(ours)) {
				bad(f, "may not import %s", short(ours))
			}
			for prefix, who := range only {
				if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && !slices.Contains(who, f.pkg) {
					bad(f, "only %s may import %s", strings.Join(who, " and "), imp)
				}
			}
			if imp == "testing" || strings.HasPrefix(imp, "testing/") || imp == "net/http/httptest" {
				bad(f, "imports %s, which is for tests", imp)
			}
			if slices.Contains([]string{"internal/platform", "internal/fault"}, f.pkg) && strings.Contains(strings.Split(imp, "/")[0], ".") {
				bad(f, "the ground floor imports the standard library only")
			}
		}
		checkSyntax(f, bad)
	}
	checkState(files, bad)
	return broken
}

// environmentReaders and other calls that belong to one place.
func checkSyntax(f file, bad func(file, string, ...any)) {
	if f.ast == nil {
		return
	}
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			bad(f, "has an init function")
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch call := pkg.Name + "." + sel.Sel.Name; call {
		case "os.Getenv", "os.LookupEnv", "os.Environ":
			if f.pkg != "internal/config" {
				bad(f, "only config reads the environment (%s)", call)
			}
		case "os.Exit", "log.Fatal", "log.Fatalf":
			if f.pkg != "cmd/postern" && !strings.HasPrefix(f.pkg, "bench/") {
				bad(f, "only main ends the process (%s)", call)
			}
		case "time.Sleep":
			bad(f, "sleeps")
		case "http.Server", "http.ListenAndServe", "http.ListenAndServeTLS", "http.Serve", "http.ServeTLS", "http.DefaultServeMux":
			if f.pkg != "internal/httpx" {
				bad(f, "only httpx serves, with its limits (%s)", call)
			}
		}
		return true
	})
}

// load reads the Go files of the house, tests aside.
func load(t *testing.T) []file {
	t.Helper()
	var out []file
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "bin" || d.Name() == "tmp") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); d.IsDir() && err == nil && path != ".." {
			return filepath.SkipDir // a module of its own
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, data, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{path: filepath.ToSlash(rel), pkg: filepath.ToSlash(filepath.Dir(rel)), ast: parsed, lines: strings.Count(string(data), "\n")}
		for _, imp := range parsed.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			f.imports = append(f.imports, name)
		}
		out = append(out, f)
		return nil
	})
	if err != nil || len(out) < 40 {
		t.Fatalf("read %d files: %v", len(out), err)
	}
	return out
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	allowed, err := rules(policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range check(allowed, load(t)) {
		t.Error(b)
	}
}

// The checker is only worth something if it fails.
func TestPolicy_CatchesWhatItShould(t *testing.T) {
	t.Parallel()
	allowed, err := rules(policy)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(src string) *ast.File {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", src, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, f := range map[string]file{
		"an arrow up":             {pkg: "internal/store", imports: []string{module + "internal/gateway"}},
		"edge to edge":            {pkg: "internal/gateway", imports: []string{module + "internal/admin"}},
		"core to store":           {pkg: "internal/deploy", imports: []string{module + "internal/store"}},
		"ground to a library":     {pkg: "internal/fault", imports: []string{"github.com/x/y"}},
		"driver elsewhere":        {pkg: "internal/app", imports: []string{"github.com/jackc/pgx/v5/stdlib"}},
		"exec elsewhere":          {pkg: "internal/app", imports: []string{"os/exec"}},
		"config below the wiring": {pkg: "internal/deploy", imports: []string{module + "internal/config"}},
		"testing":                 {pkg: "internal/app", imports: []string{"testing"}},
		"unknown package":         {pkg: "internal/utils"},
		"init":                    {pkg: "internal/app", ast: parse("package x\nfunc init() {}")},
		"environment":             {pkg: "internal/app", ast: parse("package x\nimport \"os\"\nvar x = os.Getenv(\"X\")")},
		"exit":                    {pkg: "internal/app", ast: parse("package x\nimport \"os\"\nfunc f() { os.Exit(1) }")},
		"serving":                 {pkg: "internal/admin", ast: parse("package x\nimport \"net/http\"\nfunc f() { http.ListenAndServe(\"\", nil) }")},
		"a test's server":         {pkg: "internal/app", imports: []string{"net/http/httptest"}},
		"sleep":                   {pkg: "internal/app", ast: parse("package x\nimport \"time\"\nfunc f() { time.Sleep(1) }")},
	} {
		if got := check(allowed, []file{f}); len(got) == 0 {
			t.Errorf("%s goes through", name)
		}
	}
	if got := check(allowed, []file{{pkg: "internal/gateway", imports: []string{module + "internal/auth", "net/http"}}}); len(got) != 0 {
		t.Errorf("a good file is refused: %v", got)
	}
	if _, err := rules("a < b"); err == nil {
		t.Error("a policy that points up is accepted")
	}
}

// Every package says what it is for, and no file is a book.
func TestPackagesAndSizes(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, f := range load(t) {
		documented[f.pkg] = documented[f.pkg] || f.ast.Doc != nil
		if f.lines > 600 {
			t.Errorf("%s has %d lines; at most 600", f.path, f.lines)
		} else if f.lines > 400 {
			t.Logf("%s has %d lines: look hard", f.path, f.lines)
		}
	}
	for pkg, ok := range documented {
		if !ok && pkg != "cmd/postern" {
			t.Errorf("the package %s has no comment that says what it is for", pkg)
		}
	}
}
