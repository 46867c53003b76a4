package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced = regexp.MustCompile("(?s)```(sh|json)\n(.*?)```")
	stored = regexp.MustCompile(`(?m)^    echo (\S+) \| postern secrets add (\S+)$`)
)

// The lines of docs/callbacks.md do what it says: 200, and 401 when they are
// typed again.
func TestCallback_Docs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/callbacks.md")
	if err != nil {
		t.Fatal(err)
	}
	g := newTarget(t)
	g.must("functions", "deploy", copied(t, "webhooks", sampleSecrets...))
	env, lines, manifests := "", 0, 0
	for _, add := range stored.FindAllStringSubmatch(string(doc), -1) {
		env += add[2] + "=" + add[1] + "\n"
	}
	for _, block := range fenced.FindAllStringSubmatch(string(doc), -1) {
		text := block[2]
		if block[1] == "json" {
			var m struct{ Name string }
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatal(err, text)
			}
			const handlers = "export const paid = () => ({}); export const stock = () => ({}); export const conversationWebhook = () => ({}); export const numbersWebhook = () => ({});\nexport default { ice: () => ({}) };\n"
			dir := filepath.Join(t.TempDir(), m.Name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"postern.json": text, "function.ts": handlers, ".env": env} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			g.must("functions", "deploy", "--force", dir)
			manifests++
			continue
		}
		call := text[strings.LastIndex(text, "curl "):]
		cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", strings.ReplaceAll(text+call, "http://127.0.0.1:8080", g.gateway))
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "200\n401\n" {
			t.Errorf("%q, %v; want 200 and 401 of\n%s", out, err, text)
		}
		lines++
	}
	if lines < 6 || manifests < 2 {
		t.Errorf("the document has %d examples to type and %d manifests", lines, manifests)
	}
}
