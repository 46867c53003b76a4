package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"plain text stays", "héllo\tworld\n", "héllo\tworld\n"},
		{"colour", "\x1b[31mred\x1b[0m", "red"},
		{"cursor", "a\x1b[2J\x1b[1;1Hb", "ab"},
		{"window title", "a\x1b]0;owned\x07b", "ab"},
		{"hyperlink", "\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "here"},
		{"device control", "a\x1bPq#0\x1b\\b", "ab"},
		{"unended sequence", "a\x1b[31", "a"},
		{"unended title", "a\x1b]0;x", "a"},
		{"lone escape", "a\x1b", "a"},
		{"two-character escape", "a\x1bcb", "ab"},
		{"C1 introducer", "a\u009b31mb", "a31mb"},
		{"carriage return", "good\rbad", "goodbad"},
		{"backspace, bell, null", "a\b\a\x00b", "ab"},
		{"reversed text", "a\u202egnp.exe", "agnp.exe"},
		{"isolates", "a\u2066b\u2069", "ab"},
		{"broken UTF-8", "a\xffb", "ab"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := clean(tt.in); got != tt.want {
				t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestClean_NothingUnsafeIsLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.SampledFrom([]byte("a[]m;\x1b\x07\\P\x9b\xc2\r\n0"))).Draw(t, "in"))
		out := clean(in)
		if strings.ContainsFunc(out, unsafeRune) {
			t.Fatalf("clean(%q) = %q", in, out)
		}
		if again := clean(out); again != out {
			t.Fatalf("clean is not idempotent: %q then %q", out, again)
		}
	})
}

func TestTable_Aligned(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	printer{w: &b}.table([]string{"ROUTE", "GUARD"}, [][]string{{"/webhook", "access key"}, {"/é", "open"}, {"/x\x1b[1A\ny", ""}})
	want := "ROUTE     GUARD\n/webhook  access key\n/é        open\n/x y\n"
	if b.String() != want {
		t.Errorf("table:\n%q\nwant\n%q", b.String(), want)
	}
}

// What clean removes from texts is escaped in JSON, and reads back.
func TestJSON_IsSafeAndReadsBack(t *testing.T) {
	t.Parallel()
	const text = "a\x1b[31mb\u009b2Jc\x7fd\u202ee\u2066f\tg\nh\u200fi\ufffdj<é>"
	var out strings.Builder
	if err := (printer{w: &out}).json(map[string]string{text: text}); err != nil {
		t.Fatal(err)
	}
	line, ended := strings.CutSuffix(out.String(), "\n")
	if !ended || strings.ContainsFunc(strings.ReplaceAll(line, "\ufffd", ""), unsafeRune) || strings.Contains(line, "\n") {
		t.Errorf("%q", line)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(line), &back); err != nil || back[text] != text {
		t.Errorf("%q: %v", back, err)
	}
}
