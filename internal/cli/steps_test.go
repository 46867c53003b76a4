package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postern.dev/postern/internal/bundle"
)

// Piped, a step is one plain line when it is done; at a terminal the line is there
// while it runs, and what a server says moves no cursor.
func TestSteps(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{false, true} {
		var b bytes.Buffer
		s := &steps{out: printer{w: &b}, live: live}
		err := s.do("bundle", func() (string, error) { s.at("half"); return "12 KiB\x1b[2J", nil })
		failed := s.do("upload", func() (string, error) { return "", errors.New("no") })
		if err != nil || failed == nil {
			t.Error(err, failed)
		}
		said := b.String()
		if live != strings.Contains(said, "\r\x1b[2Kbundle    half") || strings.Contains(said, "[2J") {
			t.Errorf("live %t: %q", live, said)
		}
		plain := strings.ReplaceAll(said[strings.LastIndex("\n"+said, "\rbundle")+1:], "\x1b[2K", "")
		if !live && !regexp.MustCompile(`^bundle +[0-9.]+ s  12 KiB\nupload +[0-9.]+ s  failed\n$`).MatchString(plain) {
			t.Errorf("%q", plain)
		}
	}
	var b bytes.Buffer
	newSteps(&b, true).do("bundle", func() (string, error) { return "x", nil })
	if b.Len() > 0 {
		t.Errorf("quiet: %q", b.String())
	}
}

// A secret that somebody has written into a file is told of by its name, without
// its value; one that is too short to be told from any text is not looked for.
func TestLeaks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"postern.json": `{"name":"f","runtime":"node"}`, "function.ts": "export const a = () => 'sk_live_abc123';", "README.md": "short"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := bundle.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	found, err := leaks(a.Archive, map[string]string{"STRIPE_SECRET_KEY": "sk_live_abc123", "OTHER_TOKEN": "nowhere-to-be-found", "PIN": "short"})
	if err != nil || len(found) != 1 || !strings.HasPrefix(found[0], "the value of STRIPE_SECRET_KEY stands in function.ts") || strings.Contains(found[0], "abc123") {
		t.Errorf("%q, %v", found, err)
	}
}

// A warning in the midst of a step stands on a line of its own.
func TestSteps_WarningWithin(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := &steps{out: printer{w: &b}, live: true}
	notes := warnings{std: Stdio{Err: &b}, before: s.clear}
	if err := s.do("settings", func() (string, error) { notes.add("KEY is short"); return "1 setting", nil }); err != nil {
		t.Fatal(err)
	}
	if said := b.String(); !strings.Contains(said, "\r\x1b[2Kpostern: warning: KEY is short\n") {
		t.Errorf("%q", said)
	}
}
