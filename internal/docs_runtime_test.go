package internal_test

import (
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Pages that tell of each rule by which test it is held: the test is there.
func TestDocs_RuntimeRulesHaveTests(t *testing.T) {
	t.Parallel()
	known := readTests(t)
	for _, name := range []string{"docs/runtime.md", "docs/configuration.md"} {
		page, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range known.faults(string(page)) {
			t.Error(name + ": " + fault)
		}
	}
}

// The check finds what it is for.
func TestDocs_RuntimeCheckRefuses(t *testing.T) {
	t.Parallel()
	known := readTests(t)
	const head = "## Routing\n| rule | here | test |\n|---|---|---|\n"
	for _, tc := range []struct{ name, page, want string }{
		{"a Go test", head + "| a | b | `TestDocs_RuntimeCheckRefuses` |", ""},
		{"a subtest, with its spaces", head + "| a | b | `TestDocs_RuntimeCheckRefuses/a Go test` |", ""},
		{"a subtest, as Go prints it", head + "| a | b | `TestDocs_RuntimeCheckRefuses/a_Go_test` |", ""},
		{"two", head + "| a | b \\| c | `TestDocs_RuntimeCheckRefuses`, `a simple event` |", ""},
		{"the title of a Node test", head + "| a | b | `a simple event` |", ""},
		{"one whose title is made of a table", head + "| a | b | `ends at garbage` |", ""},
		{"a link instead", "## Routing\nSee [routes.md](routes.md).", ""},
		{"a story", head + "| a | b | `TestStories/secrets` |", ""},
		{"no such story", head + "| a | b | `TestStories/nowhere` |", "no test `TestStories/nowhere`"},
		{"no such test", head + "| a | b | `TestNowhere` |", "no test `TestNowhere`"},
		{"no such subtest", head + "| a | b | `TestDocs_RuntimeCheckRefuses/nowhere` |", "no test `TestDocs_RuntimeCheckRefuses/nowhere`"},
		{"no such title", head + "| a | b | `nobody tests this` |", "no test `nobody tests this`"},
		{"a title made of a table that has it not", head + "| a | b | `ends at noon` |", "no test `ends at noon`"},
		{"no test", head + "| a | b | |", `names no test: "a"`},
		{"prose", head + "| a | b | see above |", `names no test: "a"`},
		{"a cell too few", head + "| a | `a simple event` |", `not three cells: "a"`},
		{"pairs beside rules", head + "| a | b | `a simple event` |\n\n| variable | for |\n|---|---|\n| `A` | b |", ""},
		{"pairs alone", "## Routing\n| variable | for |\n|---|---|\n| `A` | b |", "Routing: has no rule"},
		{"a table without tests", "## Routing\n| rule | here | note |\n|---|---|---|\n| a | b | c |", "a table without a column of tests"},
		{"an empty table", head, "Routing: has no rule"},
		{"an empty section", "## Routing\n", "Routing: has no rule"},
		{"prose alone", "## Routing\nIt routes.", "Routing: has no rule"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(known.faults(tc.page), "; "); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// tests are those of this repository, of Go and of Node.
type tests struct {
	files  map[string]string // Go test: the text of its file
	titles map[string]bool   // of Node tests
	made   []madeTitle       // of Node tests, from a table
}

// madeTitle is a title with what a table fills in.
type madeTitle struct {
	pattern *regexp.Regexp
	file    string // its text: what is filled in stands there
}

var nodeTest = regexp.MustCompile("(?m)\\b(?:test|it)\\(\\s*(?:'((?:[^'\\\\\n]|\\\\.)*)'|\"((?:[^\"\\\\\n]|\\\\.)*)\"|`([^`\n]*)`)")

func readTests(t *testing.T) tests {
	t.Helper()
	k := tests{files: map[string]string{}, titles: map[string]bool{}}
	read := map[string]string{}
	eachTest(t, func(path string, f *ast.FuncDecl) {
		if read[path] == "" {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			read[path] = string(text)
		}
		if strings.HasPrefix(f.Name.Name, "Test") {
			k.files[f.Name.Name] += read[path]
		}
	})
	err := filepath.WalkDir("../runtime/node/test", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".test.ts") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range nodeTest.FindAllStringSubmatch(string(text), -1) {
			if title := m[1] + m[2]; title != "" {
				k.titles[strings.NewReplacer(`\'`, `'`, `\"`, `"`).Replace(title)] = true
			} else if strings.Contains(m[3], "${") {
				k.made = append(k.made, madeTitle{filled(m[3]), string(text)})
			} else {
				k.titles[m[3]] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(k.files) < 100 || len(k.titles) < 20 || len(k.made) < 5 {
		t.Fatalf("found only %d tests of Go, %d and %d of Node", len(k.files), len(k.titles), len(k.made))
	}
	return k
}

var placeholder = regexp.MustCompile(`\\\$\\\{.*?\\\}`)

// filled is a pattern for a template.
func filled(template string) *regexp.Regexp {
	return regexp.MustCompile("^" + placeholder.ReplaceAllString(regexp.QuoteMeta(template), "(.+)") + "$")
}

// has reports whether there is a test of that name: a function of Go, with a
// subtest or without, a story, or a title of Node.
func (k tests) has(name string) bool {
	parent, sub, nested := strings.Cut(name, "/")
	if nested && parent == "TestStories" {
		_, err := os.Stat("../cmd/postern/testdata/script/" + sub + ".txtar")
		return err == nil
	}
	if file, ok := k.files[parent]; ok {
		return !nested || strings.Contains(file, strconv.Quote(sub)) || strings.Contains(file, strconv.Quote(strings.ReplaceAll(sub, "_", " ")))
	}
	return k.titles[name] || slices.ContainsFunc(k.made, func(m madeTitle) bool {
		parts := m.pattern.FindStringSubmatch(name)
		return parts != nil && !slices.ContainsFunc(parts[1:], func(s string) bool { return !quoted(m.file, s) })
	})
}

// quoted reports whether a text stands in a file as a string, or as a key.
func quoted(file, text string) bool {
	return slices.ContainsFunc([]string{"'" + text + "'", `"` + text + `"`, "`" + text + "`", " " + text + ":"}, func(q string) bool { return strings.Contains(file, q) })
}

var (
	testCell = regexp.MustCompile("^`[^`]+`(?:[,;] `[^`]+`)*$")
	inCode   = regexp.MustCompile("`([^`]+)`")
)

// faults says what is wrong with the page.
func (k tests) faults(page string) (faults []string) {
	for _, section := range strings.Split("\n"+page, "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		rules, header := 0, ""
		for line := range strings.SplitSeq(text, "\n") {
			switch {
			case !strings.HasPrefix(line, "|"):
				header = ""
				continue
			case header == "":
				if header = line; len(strings.Split(line, "|")) != 4 && !strings.HasSuffix(line, "| test |") {
					faults = append(faults, title+": a table without a column of tests: "+line)
				}
				continue
			case strings.HasPrefix(line, "|---") || !strings.HasSuffix(header, "| test |"): // pairs: what a word stands for is no rule
				continue
			}
			rules++
			for _, f := range k.row(line) {
				faults = append(faults, title+": "+f)
			}
		}
		if written := rules > 0 || !strings.Contains(text, "\n|") && link.MatchString(text); !written {
			faults = append(faults, title+": has no rule, and no link to another page")
		}
	}
	return faults
}

// row says what is wrong with a row: rule, what it does, tests.
func (k tests) row(line string) (faults []string) {
	cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "| "), `\|`, "\x00"), "|")
	rule := strings.TrimSpace(cells[0])
	if strings.HasSuffix(strings.TrimSpace(line), "| |") {
		cells = append(cells, "")
	}
	if len(cells) != 3 {
		return []string{fmt.Sprintf("not three cells: %q", rule)}
	}
	cell := strings.TrimSpace(cells[2])
	if !testCell.MatchString(cell) {
		return []string{fmt.Sprintf("names no test: %q", rule)}
	}
	for _, m := range inCode.FindAllStringSubmatch(cell, -1) {
		if name := strings.ReplaceAll(m[1], "\x00", "|"); !k.has(name) {
			faults = append(faults, fmt.Sprintf("no test `%s`", name))
		}
	}
	return faults
}
