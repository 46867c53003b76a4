package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"regexp"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth/authtest"
)

// differs is what of an answer is of this answer alone.
var differs = regexp.MustCompile(`req_[0-9a-z]+|Date: [^\r]+`)

// Over a socket too a wrong secret and an unknown key are answered alike, byte
// for byte and in the same time, at each door.
func TestUnknownKeyIsLikeWrongSecret(t *testing.T) {
	v := newVault(t)
	var ids [2][]string
	for range 32 {
		k, _ := v.mint(nil)
		ids[0], ids[1] = append(ids[0], k.ID), append(ids[1], accesskey.NewID(time.Now()))
	}
	v.settle()
	keys := "/v1/projects/" + v.key["POSTERN_PROJECT_ID"] + "/accessKeys"
	for name, door := range map[string]struct {
		url     string
		request func(credential string) string
	}{
		"gateway": {v.gateway, func(c string) string { return "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n" + c + "\r\n" }},
		"control": {v.control, func(c string) string { return "GET " + keys + " HTTP/1.1\r\nHost: h\r\n" + c + "\r\n" }},
		"token": {v.control, func(c string) string {
			return "POST /oauth2/token HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n" + c + "\r\n" + grantForm
		}},
		"introspection": {v.control, func(c string) string {
			return "POST /oauth2/introspect HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n" + c + "\r\ntoken=x"
		}},
	} {
		conn, err := net.Dial("tcp", hostOf(door.url))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		n := 0
		var seen [2]map[string]int
		seen[0], seen[1] = map[string]int{}, map[string]int{}
		var raw tee
		answers := bufio.NewReader(io.TeeReader(conn, &raw))
		got := authtest.Compare(2000, func(way int) time.Duration {
			n++
			request := door.request(basicLine(ids[way][n%32], accesskey.NewSecret().Reveal()))
			raw.reset()
			begun := time.Now()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			took := time.Since(begun)
			seen[way][differs.ReplaceAllString(string(raw.text), "")]++
			return took
		})
		if got.Apart() {
			t.Errorf("%s: %s", name, got)
		} else {
			t.Logf("%s: %s", name, got)
		}
		// Over its limit an address gets 429, whatever it showed.
		if len(seen[0]) > 2 || len(seen[1]) > 2 {
			t.Errorf("%s: %d and %d answers: %v", name, len(seen[0]), len(seen[1]), seen)
		}
		for text := range seen[0] {
			if seen[1][text] == 0 {
				t.Errorf("%s: only of a wrong secret: %s", name, text)
			}
		}
		for text := range seen[1] {
			if seen[0][text] == 0 {
				t.Errorf("%s: only of an unknown key: %s", name, text)
			}
		}
	}
	if n, _ := v.ran(); n > 1 { // once, when the keys were waited for
		t.Errorf("the handler ran %d times", n)
	}
}

// tee keeps what was read since it was reset.
type tee struct{ text []byte }

func (t *tee) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *tee) reset() { t.text = t.text[:0] }
