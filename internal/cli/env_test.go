package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// A line counts as git reads it: a comment ignores nothing, and .env.* not .env.
func TestIgnored(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		".env\n": true, "a\r\n.env\r\n": true, "/.env  ": true, ".env*": true, ".*": true,
		"": false, "# .env\n": false, ".env.*\n": false, "!.env\n": false, "sub/.env\n": false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := ignored(dir); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if ignored(t.TempDir()) {
		t.Error("nothing there ignores it")
	}
}
