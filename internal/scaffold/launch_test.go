package scaffold_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/scaffold"
)

// The editor's file keeps what is in it, whatever that is.
func TestLaunch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before string // empty: there is no file
		want   string // in the file after; empty: it is refused, and as it was
	}{
		"none":                     {"", `"port":9229`},
		"empty":                    {" \n", `"port":9229`},
		"another configuration":    {`{"version":"0.2.0","configurations":[{"name":"<mine>","type":"go"}],"compounds":[1]}`, `"configurations":[{"name":"<mine>","type":"go"},{"type":"node"`},
		"no configurations":        {`{"inputs":[]}`, `{"inputs":[],"configurations":[{`},
		"ours with another port":   {`{"configurations":[{"name":"Attach to Postern","port":1},{"name":"mine"}]}`, `{"configurations":[{"name":"Attach to Postern","port":9229},{"name":"mine"}]}`},
		"ours, with more to it":    {`{"configurations":[{"name":"Attach to Postern","localRoot":"x","port":922}]}`, `{"name":"Attach to Postern","localRoot":"x","port":9229}`},
		"our port elsewhere":       {`{"configurations":[{"name":"Attach to Postern","port":19229}]}`, `"port":9229`},
		"a comment behind it":      {"{\"configurations\": []}\n// mine", ""},
		"an object behind it":      {`{"configurations":[]} {"mine":1}`, ""},
		"comments":                 {"{\n  // mine\n  \"configurations\": []\n}", ""},
		"configurations no list":   {`{"configurations":{}}`, ""},
		"no object":                {`[]`, ""},
		"cut off":                  {`{"configurations":[`, ""},
		"ours, beside a comment":   {"{ // mine\n\"configurations\": [{\"name\":\"Attach to Postern\",\"port\":9229}]}", "// mine"},
		"members keep their order": {`{"z":1,"configurations":[],"a":2}`, `{"z":1,"configurations":[{`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, ".vscode", "launch.json")
			if tc.before != "" {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(tc.before), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			err := scaffold.Launch(dir, 9229)
			after, _ := os.ReadFile(path)
			if tc.want == "" {
				if err == nil || string(after) != tc.before {
					t.Errorf("%v: %s", err, after)
				}
				return
			}
			flat := strings.NewReplacer("\n", "", "  ", "", `": `, `":`).Replace(string(after))
			if err != nil || !strings.Contains(flat, tc.want) && !strings.Contains(string(after), tc.want) || strings.Count(flat, scaffold.LaunchName) != 1 {
				t.Errorf("%v: %s", err, flat)
			}
			if err := scaffold.Launch(dir, 9229); err != nil {
				t.Errorf("once more: %v", err)
			}
			if again, _ := os.ReadFile(path); string(again) != string(after) {
				t.Errorf("once more changes it: %s", again)
			}
			if tc.before != "" {
				file, _ := os.Stat(path)
				dir, _ := os.Stat(filepath.Dir(path))
				if file.Mode().Perm() != 0o640 || dir.Mode().Perm() != 0o755 {
					t.Errorf("modes became %v and %v", file.Mode(), dir.Mode())
				}
			}
			if !json.Valid(after) && !strings.Contains(tc.before, "//") {
				t.Errorf("no JSON: %s", after)
			}
		})
	}
}

// Whoever has put a link there has their file as it was.
func TestLaunch_FollowsNoLink(t *testing.T) {
	t.Parallel()
	dir, theirs := t.TempDir(), filepath.Join(t.TempDir(), "theirs")
	err := errors.Join(os.WriteFile(theirs, []byte("{}"), 0o644), os.Mkdir(filepath.Join(dir, ".vscode"), 0o755),
		os.Symlink(theirs, filepath.Join(dir, ".vscode", "launch.json")))
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Launch(dir, 9229); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a link: %v", err)
	}
	if text, _ := os.ReadFile(theirs); string(text) != "{}" {
		t.Errorf("the link's target became %q", text)
	}
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".vscode")); err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Launch(dir, 9229); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a link for the directory: %v", err)
	}
	if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
		t.Errorf("elsewhere is %v", left)
	}
}
