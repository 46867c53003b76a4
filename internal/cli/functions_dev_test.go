package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The editor's file keeps what is in it, whatever that is.
func TestWriteLaunch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before string // empty: there is no file
		want   string // in the file after; empty: it is refused, and as it was
	}{
		"none":                     {"", `"port":9229`},
		"empty":                    {" \n", `"port":9229`},
		"another configuration":    {`{"version":"0.2.0","configurations":[{"name":"mine","type":"go"}],"compounds":[1]}`, `"configurations":[{"name":"mine","type":"go"},{"address"`},
		"no configurations":        {`{"inputs":[]}`, `{"inputs":[],"configurations":[{`},
		"ours with another port":   {`{"configurations":[{"name":"Attach to Postern","port":1},{"name":"mine"}]}`, `{"configurations":[{"name":"mine"},{"address"`},
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
				if err := os.WriteFile(path, []byte(tc.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := writeLaunch(dir, 9229)
			after, _ := os.ReadFile(path)
			if tc.want == "" {
				if err == nil || string(after) != tc.before {
					t.Errorf("%v: %s", err, after)
				}
				return
			}
			flat := strings.NewReplacer("\n", "", "  ", "", `": `, `":`).Replace(string(after))
			if err != nil || !strings.Contains(flat, tc.want) && !strings.Contains(string(after), tc.want) || strings.Count(flat, launchName) != 1 {
				t.Errorf("%v: %s", err, flat)
			}
			if err := writeLaunch(dir, 9229); err != nil {
				t.Errorf("once more: %v", err)
			}
			if again, _ := os.ReadFile(path); string(again) != string(after) {
				t.Errorf("once more changes it: %s", again)
			}
			if !json.Valid(after) && !strings.Contains(tc.before, "//") {
				t.Errorf("no JSON: %s", after)
			}
		})
	}
}
