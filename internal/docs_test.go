package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var inBackticks = regexp.MustCompile("`((?:internal|runtime|cmd|docs|scripts|bench|examples|test)/[A-Za-z0-9_./-]+)`")

// link is a link to a file of this repository.
var link = regexp.MustCompile(`\]\(([A-Za-z0-9_./-]+)(?:#[a-z0-9-]*)?\)`)

// The documents name only what there is.
func TestDocsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob("../docs/*.md")
	named := 0
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			named++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
		for _, m := range inBackticks.FindAllStringSubmatch(string(text), -1) {
			named++
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d paths found in the documents: the pattern is broken", named)
	}
	readme, _ := os.ReadFile("../README.md")
	if n := strings.Count(string(readme), "\n"); n > 150 {
		t.Errorf("README.md has %d lines; at most 150", n)
	}
	// The table of commands has each of them once.
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`postern [^|]*) \\|").FindAllStringSubmatch(string(readme), -1) {
		group := ""
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			name := group + m[1]
			if group == "" {
				group = name[:strings.LastIndex(name, " ")+1]
			}
			if rows[name] {
				t.Errorf("README.md has %s twice in its table", name)
			}
			rows[name] = true
		}
	}
	if len(rows) < 20 {
		t.Errorf("only %d commands found in README.md: the pattern is broken", len(rows))
	}
	arch, _ := os.ReadFile("../ARCHITECTURE.md")
	if n := strings.Count(string(arch), "\n"); n > 250 {
		t.Errorf("ARCHITECTURE.md has %d lines; at most 250", n)
	}
	// The drawing of the house names every package, and no other.
	_, house, _ := strings.Cut(string(arch), "## The house\n```\n")
	house, _, _ = strings.Cut(house, "```")
	drawn := map[string]bool{}
	for _, word := range regexp.MustCompile(`[a-z]+`).FindAllString(house, -1) {
		drawn[word] = true
	}
	dirs, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if d.IsDir() && !drawn[d.Name()] {
			t.Errorf("ARCHITECTURE.md does not draw the package %s", d.Name())
		}
	}
	for _, name := range drawnPackage.FindAllStringSubmatch(house, -1) {
		if _, err := os.Stat(name[1]); err != nil {
			t.Errorf("ARCHITECTURE.md draws the package %s, which is not there", name[1])
		}
	}
}

// drawnPackage is a line of the drawing: a floor's name or spaces, then a
// package and what it is for.
var drawnPackage = regexp.MustCompile(`(?m)^ [a-z ]{8} ([a-z]+)  +\S`)

// namedTest is a test that a page names.
var namedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// docs/security-tests.md names tests that there are, and each test that attacks
// the program.
func TestDocs_SecurityTestsAreThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/security-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range namedTest.FindAllStringSubmatch(string(page), -1) {
		named[m[1]] = true
	}
	if len(named) < 50 {
		t.Errorf("the page names %d tests only", len(named))
	}
	there := map[string]bool{}
	eachTest(t, func(path string, f *ast.FuncDecl) {
		name := f.Name.Name
		there[name] = true
		if attack := strings.HasPrefix(name, "TestAttack_") || strings.HasPrefix(name, "Fuzz"); attack && !named[name] {
			t.Errorf("docs/security-tests.md does not name %s of %s", name, path)
		}
	})
	for name := range named {
		if !there[name] {
			t.Errorf("docs/security-tests.md names %s, which is not there", name)
		}
	}
}

// A fuzz target without seeds looks at what nobody sends. It adds them itself,
// or has three files of them.
func TestFuzz_TargetsHaveSeeds(t *testing.T) {
	t.Parallel()
	targets := 0
	eachTest(t, func(path string, f *ast.FuncDecl) {
		if !strings.HasPrefix(f.Name.Name, "Fuzz") {
			return
		}
		targets++
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "testdata", "fuzz", f.Name.Name, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if !adds(f) && len(files) < 3 {
			t.Errorf("%s: %s adds no seeds and has %d files of them", path, f.Name.Name, len(files))
		}
	})
	if targets < 20 {
		t.Errorf("only %d targets found", targets)
	}
}

// eachTest calls do with each function of each test file of this repository.
func eachTest(t *testing.T, do func(path string, f *ast.FuncDecl)) {
	t.Helper()
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					do(path, f)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// adds reports whether a fuzz target calls Add of its parameter.
func adds(f *ast.FuncDecl) (found bool) {
	if len(f.Type.Params.List) != 1 || len(f.Type.Params.List[0].Names) != 1 {
		return false
	}
	parameter := f.Type.Params.List[0].Names[0].Name
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Add" {
			x, ok := s.X.(*ast.Ident)
			found = found || ok && x.Name == parameter
		}
		return true
	})
	return found
}
