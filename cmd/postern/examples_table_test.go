package main_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each example deploys as it lies there (without its secrets, if it needs any: that
// takes --force), and another test or a story calls it as
// those do for whom it is.
func TestExamples_EachDeploys(t *testing.T) {
	t.Parallel()
	var tests []byte
	files, _ := filepath.Glob("*_test.go")
	stories, _ := filepath.Glob("testdata/script/*.txtar")
	for _, path := range append(files, stories...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, text...)
	}
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	for _, name := range exampleNames(t) {
		top, _, _ := strings.Cut(name, "/")
		if !strings.Contains(string(index), "["+top+"]("+top+")") || !fileExists(filepath.Join(folder, top, "README.md")) {
			t.Errorf("examples/%s is not in the list of examples, or has no README", top)
		}
		if !regexp.MustCompile(`(?m)(\$EXAMPLES/|\.example\("|examples/)` + name + `("|$)`).Match(tests) {
			t.Errorf("no test drives examples/%s", name)
		}
		if said := s.must("functions", "deploy", "--force", copied(t, name)); !strings.Contains(said, " version 1 is live") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// exampleNames are the folders that have a manifest, sorted.
func exampleNames(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if d.Name() == "postern.json" || d.Name() == "sinch.json" {
			name, _ := filepath.Rel(folder, filepath.Dir(path))
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	slices.Sort(names)
	return names
}

// linked is a link to a file of this repository, promise the status that a README
// promises behind a command, answered what curl was.
var (
	linked   = regexp.MustCompile(`\]\(([A-Za-z0-9_./-]+)(?:#[a-z0-9-]*)?\)`)
	promise  = regexp.MustCompile(` +# (\d{3})$`)
	answered = regexp.MustCompile(`(?m)^answered (\d{3})$`)
)

// What a README says is typed as it stands, on a machine where nothing else is;
// what curl is answered is what the README promises.
func TestExamples_Readmes(t *testing.T) {
	t.Parallel()
	readmes, err := filepath.Glob(folder + "/*/README.md")
	if err != nil || len(readmes) < 6 {
		t.Fatal(readmes, err)
	}
	s := newSite(t)
	for _, path := range readmes {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(path))
		if n := strings.Count(string(text), "\n"); n > 25 {
			t.Errorf("the README of %s has %d lines; at most 25", name, n)
		}
		for _, m := range linked.FindAllStringSubmatch(string(text), -1) {
			if !fileExists(filepath.Join(filepath.Dir(path), m[1])) {
				t.Errorf("the README of %s links to %s, which is not there", name, m[1])
			}
		}
		dir := copied(t, name)
		var lines, wanted []string
		for line := range strings.Lines(string(text)) {
			line, command := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
			switch {
			case !command:
			case strings.HasPrefix(line, "npm "): // its outcome is linked to
				if line != "npm ci --ignore-scripts" || !fileExists(filepath.Join(dir, "package-lock.json")) {
					t.Errorf("%s: %s", name, line)
				}
			default:
				if m := promise.FindStringSubmatch(line); m != nil {
					wanted = append(wanted, m[1])
				} else if strings.HasPrefix(line, "curl ") {
					t.Errorf("%s: what does it answer? %s", name, line)
				}
				lines = append(lines, line)
			}
		}
		if len(lines) < 2 {
			t.Errorf("%s: there is nothing to try: %q", name, lines)
		}
		script := "curl() { command curl -s -w '%{stderr}answered %{http_code}\\n' \"$@\"; }\n" + strings.Join(lines, "\n")
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script, "127.0.0.1:8080", strings.TrimPrefix(s.gateway, "http://")))
		cmd.Dir, cmd.Env = dir, append(slices.Clone(s.env), "HOME="+t.TempDir(), "POSTERN_KEYCHAIN=file", "POSTERN_KEYCHAIN_PASSPHRASE=open sesame", "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		var got []string
		for _, m := range answered.FindAllStringSubmatch(said.String(), -1) {
			got = append(got, m[1])
		}
		if err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%s: %v; curl is answered %v, want %v\n%s%s", name, err, got, wanted, out, said.String())
		}
	}
}
