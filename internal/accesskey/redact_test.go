package accesskey_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/accesskey"
)

func TestRedact(t *testing.T) {
	s := accesskey.NewSecret().Reveal()
	for text, want := range map[string]string{
		"":                          "",
		"nothing":                   "nothing",
		s:                           "psk_[redacted]",
		"/a/" + s + "/b?x=" + s:     "/a/psk_[redacted]/b?x=psk_[redacted]",
		s + s:                       "psk_[redacted]",
		s[:40] + " cut off":         "psk_[redacted] cut off",
		"wrong " + s[:52] + "!":     "wrong psk_[redacted]!",
		"a psk_ and psk_short":      "a psk_ and psk_short",
		"psk_psk_" + s:              "psk_[redacted]",
		`{"a":"` + s + `","b":"x"}`: `{"a":"psk_[redacted]","b":"x"}`,
	} {
		if got := string(accesskey.Redact([]byte(text))); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if accesskey.Within(text) != (text != want) {
			t.Errorf("%q: within %v", text, accesskey.Within(text))
		}
	}
	line := []byte("a line without anything to hide")
	if n := testing.AllocsPerRun(10, func() { accesskey.Redact(line) }); n != 0 {
		t.Errorf("nothing to replace costs %v allocations", n)
	}
}

// Whatever stands round a secret, it is gone and the rest is there.
func TestRedact_Always(t *testing.T) {
	t.Parallel()
	s := accesskey.NewSecret().Reveal()
	rapid.Check(t, func(t *rapid.T) {
		before, after := rapid.String().Draw(t, "before"), rapid.StringMatching(`([^0-9A-Za-z_].*)?`).Draw(t, "after")
		got := accesskey.Redact([]byte(before + s + after))
		if bytes.Contains(got, []byte(s[4:])) || !strings.HasSuffix(string(got), string(accesskey.Redact([]byte(after)))) {
			t.Fatalf("%q", got)
		}
	})
}
