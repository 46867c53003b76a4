package cli

import (
	"strings"
	"testing"
	"testing/iotest"
)

func TestInTheClear(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]bool{
		"http://control.example.org": true, "http://192.0.2.1:8081": true, "http://[2001:db8::1]": true, "http://localhost.example.org": true, "http://127.0.0.1.example.org": true,
		"https://control.example.org": false, "http://127.0.0.1:8081": false, "http://127.8.8.8": false, "http://[::1]:8081": false, "http://localhost:8081": false,
	} {
		if got := inTheClear(server); got != want {
			t.Errorf("%s: %v, want %v", server, got, want)
		}
	}
}

func TestCheckKeyID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"pak_01jd0000000000000000000000": "",
		"":                               "is missing",
		"pak_01JD0000000000000000000000": "is malformed",
		"pak_\x1b[2J":                    `"pak_\x1b[2J" is malformed`,
		"psk_verysecret":                 "looks like a secret",
	} {
		err := checkKeyID(id)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "verysecret")) {
			t.Errorf("%q: %v, want %q", id, err, want)
		}
	}
}

// A question takes its own line and leaves the next question the rest.
func TestReadLine(t *testing.T) {
	t.Parallel()
	r := iotest.OneByteReader(strings.NewReader("one\n\ntwo\r\nrest"))
	for _, want := range []string{"one", "", "two\r"} {
		if got, err := readLine(r); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if got, err := readLine(r); got != "rest" || err == nil {
		t.Errorf("the end: %q, %v", got, err)
	}
	if _, err := readLine(strings.NewReader(strings.Repeat("x", 1<<20))); err == nil {
		t.Error("a line without an end is read")
	}
}
