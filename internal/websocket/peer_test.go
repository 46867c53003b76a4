package websocket_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/websocket"
)

// However a text is cut into parts, it is valid exactly if it is as a whole, and
// what is wrong is found in the part in which it becomes so.
func TestText(t *testing.T) {
	t.Parallel()
	check := func(t interface{ Errorf(string, ...any) }, parts []string) {
		var text websocket.Text
		got := true
		for i, p := range parts {
			got = got && text.Valid([]byte(p), i == len(parts)-1)
		}
		if want := utf8.ValidString(strings.Join(parts, "")); got != want {
			t.Errorf("%q: %v, want %v", parts, got, want)
		}
	}
	for _, parts := range [][]string{
		{""}, {"a"}, {"\xc3", "\xa4"}, {"\xc3", ""}, {"\xc3"}, {"\xf0", "\x9f", "\x98", "\x80"}, {"\xf0\x9f", "\x98\x80x"}, {"\xf0", "x"}, {"\xed", "\xa0\x80"}, {"\xed\xa0", "\x80"}, {"\xff"}, {"\x80"},
		{"ä\xc3", "\xa4ä"}, {"\xe2\x82", "", "\xac"}, {"\xf4\x90", "\x80\x80"}, {"\xc0\xaf"}, {"\xe2", "\x28\xa1"},
	} {
		check(t, parts)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.SliceOfN(rapid.Map(rapid.SliceOf(rapid.SampledFrom([]byte("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xed\xff"))), func(b []byte) string { return string(b) }), 1, 5).Draw(t, "parts"))
	})
}
