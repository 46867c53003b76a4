package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"postern.dev/postern/internal/scaffold"
)

// Each template, as it is written: it is valid, the project's types agree, it is
// deployed, and it answers those for whom it is and nobody else.
func TestTemplates_EachRuns(t *testing.T) {
	t.Parallel()
	type visit struct {
		method, path string
		key          bool
		body         string
		want         int
	}
	calls := map[string][]visit{
		"empty":       {{"GET", "/", true, "", 200}, {"GET", "/", false, "", 401}},
		"protect":     {{"GET", "/status", false, "", 200}, {"POST", "/webhook", true, `{"a":1}`, 200}, {"POST", "/webhook", false, "{}", 401}},
		"event":       {{"GET", "/items/7", true, "", 200}, {"GET", "/items/7", false, "", 401}},
		"webhooks":    {{"POST", "/github", false, "{}", 401}, {"GET", "/events", true, "", 200}},
		"stream":      {{"POST", "/echo", true, "x", 200}, {"POST", "/echo", false, "x", 401}},
		"sms":         {{"POST", "/webhook/conversation", false, "{}", 401}},
		"ivr":         {{"POST", "/ice", false, "{}", 401}},
		"routing":     {{"GET", "/status", true, "", 200}, {"POST", "/ice", false, "{}", 401}},
		"http-node":   {{"GET", "/health", false, "", 200}, {"POST", "/echo", true, "x", 200}, {"POST", "/echo", false, "x", 401}},
		"http-python": {{"GET", "/count", false, "", 200}, {"GET", "/events", false, "", 401}},
		"http-go":     {{"POST", "/upper", true, "x", 200}, {"POST", "/upper", false, "x", 401}},
	}
	s := newSite(t)
	tsc, err := filepath.Abs("../../runtime/node/node_modules/typescript/bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range scaffold.Templates() {
		name := "my-" + tt.Name
		dir := filepath.Join(t.TempDir(), name)
		s.must("functions", "init", tt.Name, "--name", name, "--dir", dir, "--non-interactive")
		if packages, err := filepath.Abs(filepath.Join(folder, tt.Name, "node_modules")); err == nil && fileExists(packages) {
			if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
		}
		s.must("functions", "validate", dir)
		if tt.Runtime == "node" {
			if out, err := exec.CommandContext(t.Context(), "node", tsc, "-p", dir).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", tt.Name, err, out)
			}
		}
		s.must("functions", "deploy", dir, "--force")
		if len(calls[tt.Name]) == 0 {
			t.Errorf("nobody calls %s", tt.Name)
		}
		for _, c := range calls[tt.Name] {
			id, secret := "", ""
			if c.key {
				id, secret = s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"]
			}
			if got, text := call(t, http.DefaultClient, c.method, s.gateway+"/fn/"+name+c.path, id, secret, c.body); got != c.want {
				t.Errorf("%s: %s %s, key %v: %d, want %d: %.200s", tt.Name, c.method, c.path, c.key, got, c.want, text)
			}
		}
	}
}
