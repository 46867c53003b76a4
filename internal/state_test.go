package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// checkState refuses package-level state: a variable of a package may be a
// value that is set once where it is declared, such as an error, a table or a
// pattern, but nothing may write to it, and it may not be made to be written
// to (a lock, an atomic, a channel, an empty map). What a call changes through
// a pointer escapes this check.
func checkState(files []file, bad func(file, string, ...any)) {
	owned := map[string]map[string]bool{} // package → its variables
	for _, f := range files {
		if f.ast == nil {
			continue
		}
		if owned[f.pkg] == nil {
			owned[f.pkg] = map[string]bool{}
		}
		for _, d := range f.ast.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				for _, name := range spec.Names {
					owned[f.pkg][name.Name] = name.Name != "_"
				}
				if made := stateful(spec); made != "" {
					bad(f, "the package holds state: %s %s", spec.Names[0].Name, made)
				}
			}
		}
	}
	for _, f := range files {
		if f.ast == nil {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			var targets []ast.Expr
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					targets = n.Lhs
				}
			case *ast.IncDecStmt:
				targets = []ast.Expr{n.X}
			case *ast.CallExpr: // alters the fault that all share
				if fn, ok := n.Fun.(*ast.SelectorExpr); ok && (fn.Sel.Name == "WithHint" || fn.Sel.Name == "WithCode") {
					targets = []ast.Expr{fn.X}
					if of, ok := fn.X.(*ast.SelectorExpr); ok && strings.HasPrefix(of.Sel.Name, "Err") {
						bad(f, "alters the shared error %s", of.Sel.Name)
					}
				}
			}
			for _, target := range targets {
				if name := root(target); name != nil && owned[f.pkg][name.Name] && !local(f, name) {
					bad(f, "writes to the package's variable %s", name.Name)
				}
			}
			return true
		})
	}
}

// stateful says what about a declaration shows that it is made to be changed.
func stateful(spec *ast.ValueSpec) (why string) {
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // what a function does inside is its own
		case *ast.ChanType:
			why = "is a channel"
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && (pkg.Name == "sync" || pkg.Name == "atomic") {
				why = "is a " + pkg.Name + "." + n.Sel.Name
			}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") {
				why = "is made empty, to be filled"
			}
		}
		return true
	}
	if spec.Type != nil {
		ast.Inspect(spec.Type, look)
	}
	for _, v := range spec.Values {
		ast.Inspect(v, look)
	}
	return why
}

// root is the variable that an assignment's left side reaches into.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// local says whether the name is declared inside a function. The parser
// resolves names within a file; a package's variable of another file it leaves
// open, and one of this file it resolves to a declaration at the top.
func local(f file, name *ast.Ident) bool {
	return name.Obj != nil && f.ast.Scope.Lookup(name.Name) != name.Obj
}

func TestState_CatchesWhatItShould(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]bool{
		"var n int; func f() { n++ }":                                                    true,
		"var n int; func f() { n = 2 }":                                                  true,
		"var n int; func f() { n := 1; n = 2; _ = n }":                                   false,
		"var n int; func f(n int) { n = 2 }":                                             false,
		"var m = map[string]int{}; func f() { m[\"a\"] = 1 }":                            true,
		"var m = map[string]int{\"a\": 1}; func f() int { return m[\"a\"] }":             false,
		"var s struct{ a []int }; func f() { s.a[0]++ }":                                 true,
		"var p *int; func f() { *p = 1 }":                                                true,
		"var mu sync.Mutex":                                                              true,
		"var once = sync.OnceValue(func() int { return 1 })":                             true,
		"var n atomic.Int64":                                                             true,
		"var c chan int":                                                                 true,
		"var m = make(map[string]int)":                                                   true,
		"var m = func() map[int]int { m := make(map[int]int); m[1] = 2; return m }()":    false,
		"var errX = fault.New(1, \"x\"); func f() error { return errX.WithHint(\"y\") }": true,
		"func f() error { return auth.ErrScope.WithHint(\"y\") }":                        true,
		"var errX = fault.New(1, \"x\").WithHint(\"y\")":                                 false,
		"func f() error { return fault.New(1, \"x\").WithHint(\"y\") }":                  false,
		"var errX = errors.New(\"x\")":                                                   false,
		"type T struct{ mu sync.Mutex; n int }; func (t *T) f() { t.n++ }":               false,
	} {
		parsed, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+src, 0)
		if err != nil {
			t.Fatal(src, err)
		}
		var broken []string
		checkState([]file{{pkg: "internal/x", ast: parsed}}, func(_ file, format string, args ...any) {
			broken = append(broken, fmt.Sprintf(format, args...))
		})
		if (len(broken) > 0) != want {
			t.Errorf("%s: %v", src, broken)
		}
	}
	// A variable of another file of the package is a variable of the package.
	parse := func(src string) file {
		parsed, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+src, 0)
		if err != nil {
			t.Fatal(err)
		}
		return file{pkg: "internal/x", ast: parsed}
	}
	found := 0
	checkState([]file{parse("func f() { n = 1 }"), parse("var n int")}, func(file, string, ...any) { found++ })
	if found != 1 {
		t.Errorf("a write from another file: %d found, want 1", found)
	}
}
