package main_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A WebSocket of a handler is opened by who may, from pages that may, and ends
// with what it was opened with. The handler does not run for a handshake that was
// refused, and hears no message that was above the limit, broken or late.
func TestAttack_Sockets(t *testing.T) {
	t.Parallel()
	g := newTalking(t, "--socket-message", "1024")
	shown := "Authorization: " + g.basic + "\r\n"
	secret := g.key["POSTERN_KEY_SECRET"]
	with := func(from, to string) string { return strings.Replace(handshake, from, to, 1) }
	for name, c := range map[string]struct {
		line, header string
		status       int
	}{
		"right":                          {"GET /fn/f/guarded", shown + handshake, 101},
		"open":                           {"GET /fn/f/open", handshake, 101},
		"of a page of its own":           {"GET /fn/f/guarded", shown + handshake + "Origin: http://h\r\n", 101},
		"nothing shown":                  {"GET /fn/f/guarded", handshake, 401},
		"a wrong secret":                 {"GET /fn/f/guarded", "X-API-Key: psk_x\r\n" + handshake, 401},
		"the key in the query":           {"GET /fn/f/guarded?x-api-key=" + secret, handshake, 401},
		"the key as a protocol":          {"GET /fn/f/guarded", handshake + "Sec-WebSocket-Protocol: " + secret + "\r\n", 401},
		"the key as a cookie":            {"GET /fn/f/guarded", handshake + "Cookie: x-api-key=" + secret + "\r\n", 401},
		"identity headers":               {"GET /fn/f/guarded", handshake + "X-Postern-Key-Id: pak_root\r\nX-Postern-Auth-Method: basic\r\n", 401},
		"of another page":                {"GET /fn/f/guarded", shown + handshake + "Origin: https://evil.example\r\n", 403},
		"of another page, open":          {"GET /fn/f/open", handshake + "Origin: https://evil.example\r\n", 403},
		"of another function's page":     {"GET /fn/f/open", handshake + "Origin: http://other.localhost\r\n", 403},
		"of no page":                     {"GET /fn/f/open", handshake + "Origin: null\r\n", 403},
		"of two pages":                   {"GET /fn/f/open", handshake + "Origin: http://h\r\nOrigin: https://evil.example\r\n", 403},
		"another version":                {"GET /fn/f/open", with("Version: 13", "Version: 12"), 400},
		"two versions":                   {"GET /fn/f/open", handshake + "Sec-WebSocket-Version: 13\r\n", 400},
		"no nonce":                       {"GET /fn/f/open", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		"two nonces":                     {"GET /fn/f/open", handshake + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400},
		"a short nonce":                  {"GET /fn/f/open", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400},
		"a body":                         {"GET /fn/f/open", handshake + "Content-Length: 2\r\n\r\nhi", 400},
		"a plain request":                {"GET /fn/f/open", "", 426},
		"a plain request, guarded":       {"GET /fn/f/guarded", "", 401},
		"another protocol":               {"GET /fn/f/open", with("Upgrade: websocket", "Upgrade: h2c"), 426},
		"another method":                 {"POST /fn/f/open", handshake + "Content-Length: 0\r\n", 405},
		"another method by a header":     {"POST /fn/f/open", handshake + "X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n", 405},
		"at a handler":                   {"GET /fn/f/told", handshake, 400},
		"at a guarded handler":           {"GET /fn/f/secret", handshake, 401},
		"at a guarded handler, shown":    {"GET /fn/f/secret", shown + handshake, 400},
		"at nothing":                     {"GET /fn/f/nothing", shown + handshake, 404},
		"at its name below":              {"GET /fn/f/x/guarded", shown + handshake, 404},
		"at its name above":              {"GET /fn/f/open/guarded", handshake, 404},
		"in other letters":               {"GET /fn/f/OPEN", handshake, 404},
		"in other letters, guarded":      {"GET /fn/f/Guarded", handshake, 404},
		"guarded, encoded":               {"GET /fn/f/%67uarded", handshake, 401},
		"guarded, encoded twice":         {"GET /fn/f/%2567uarded", handshake, 404},
		"guarded, a slash behind":        {"GET /fn/f/guarded/", handshake, 401},
		"guarded, two slashes":           {"GET /fn/f//guarded", handshake, 401},
		"guarded, an encoded slash":      {"GET /fn/f/%2fguarded", handshake, 400},
		"guarded, a parameter":           {"GET /fn/f/guarded;x=/open", handshake, 404},
		"guarded, from open":             {"GET /fn/f/open/../guarded", handshake, 400},
		"guarded, from open, a dot":      {"GET /fn/f/open/..;/guarded", handshake, 400},
		"guarded, a NUL":                 {"GET /fn/f/guarded%00", handshake, 400},
		"guarded, a backslash":           {"GET /fn/f/open%5c..%5cguarded", handshake, 400},
		"guarded, open in the query":     {"GET /fn/f/guarded?x=/open", handshake, 401},
		"a name of JavaScript's own":     {"GET /fn/f/__proto__", shown + handshake, 404},
		"setup":                          {"GET /fn/f/setup", shown + handshake, 404},
		"the way to open it as a header": {"GET /fn/f/guarded", handshake + "X-Original-URL: /open\r\nX-Rewrite-URL: /open\r\n", 401},
	} {
		tried(t, name, c.line+c.header)
		before := g.heard()
		got := g.raw(c.line + " HTTP/1.1\r\nHost: h\r\n" + c.header + "\r\n")
		if after := g.heard(); got != c.status || after.Ran-before.Ran != map[bool]int{true: 1}[c.status == 101] {
			t.Errorf("%s: %d, want %d; the handler ran %d times", name, got, c.status, after.Ran-before.Ran)
		}
	}

	// What is sent on one that is open.
	open := func(header string) (io.ReadWriteCloser, *bufio.Reader) {
		t.Helper()
		conn := g.dial()
		conn.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { conn.Close() })
		io.WriteString(conn, "GET /fn/f/guarded HTTP/1.1\r\nHost: h\r\n"+header+handshake+"\r\n")
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		return conn, r
	}
	for name, c := range map[string]struct {
		text     string
		messages int
		code     string // in the close frame that comes; empty: any
	}{
		"right":                            {masked(1, "hello"), 1, "\x03\xe8"},
		"as long as it may be":             {masked(2, strings.Repeat("x", 1024)), 1, "\x03\xe8"},
		"a byte more":                      {masked(2, strings.Repeat("x", 1025)), 0, "\x03\xf1"},
		"much more":                        {masked(2, strings.Repeat("x", 1<<20)), 0, ""},
		"more than there is":               {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00" + strings.Repeat("x", 2048), 0, ""},
		"a length that is negative":        {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00x", 0, ""},
		"in pieces, more in all":           {"\x02\x80\x00\x00\x00\x00" + strings.Repeat("\x00\xfe\x03\xe8\x00\x00\x00\x00"+strings.Repeat("x", 1000), 4), 0, ""},
		"in pieces, whole":                 {"\x01\x82\x00\x00\x00\x00\xc3\xa4" + masked(0, "\xc3\xa4"), 1, "\x03\xe8"},
		"in pieces, within a character":    {"\x01\x81\x00\x00\x00\x00\xc3" + masked(0, "\xa4"), 1, "\x03\xe8"},
		"a piece of nothing":               {masked(0, "x"), 0, "\x03\xea"},
		"a message within another":         {"\x01\x81\x00\x00\x00\x00x" + masked(1, "y"), 0, "\x03\xea"},
		"without a mask":                   {"\x81\x05hello", 0, "\x03\xea"},
		"bits that are kept":               {"\xf1\x85\x00\x00\x00\x00hello", 0, "\x03\xea"},
		"a kind that is kept":              {masked(3, "x"), 0, "\x03\xea"},
		"a ping of 126 bytes":              {masked(9, strings.Repeat("x", 126)), 0, "\x03\xea"},
		"a ping in pieces":                 {"\x09\x81\x00\x00\x00\x00x", 0, "\x03\xea"},
		"text that is no UTF-8":            {masked(1, "\xff\xfe"), 0, "\x03\xef"},
		"text that is cut off":             {masked(1, "\xc3"), 0, "\x03\xef"},
		"text with a half of a pair":       {masked(1, "\xed\xa0\x80"), 0, "\x03\xef"},
		"a close of one byte":              {masked(8, "x"), 0, "\x03\xea"},
		"a close with a code that is none": {masked(8, "\x03\xed"), 0, "\x03\xea"},
		"a message after the close":        {masked(8, "\x03\xe8") + masked(1, "late"), 0, "\x03\xe8"},
		"a request instead":                {"GET /fn/f/secret HTTP/1.1\r\nHost: h\r\n" + shown + "\r\n", 0, ""},
		"a request behind a right message": {masked(1, "hello") + "GET /fn/f/secret HTTP/1.1\r\nHost: h\r\n" + shown + "\r\n", 1, ""},
	} {
		tried(t, name, c.text)
		before := g.heard()
		conn, r := open(shown)
		go io.WriteString(conn, c.text+masked(8, "\x03\xe8"))
		said, _ := io.ReadAll(r) // until it is closed
		conn.Close()
		eventually(t, "the handler hears of the end", func() bool { return len(g.heard().Closed) > len(before.Closed) })
		if after := g.heard(); after.Messages-before.Messages != c.messages {
			t.Errorf("%s: the handler heard %d messages, want %d", name, after.Messages-before.Messages, c.messages)
		}
		if !strings.Contains(string(said), c.code) {
			t.Errorf("%s: no close with %x: %.80q", name, c.code, said)
		}
	}

	// It ends with its key.
	tried(t, "revoked", "")
	id, secret := g.createKey("Of a while")
	conn, r := open("X-API-Key: " + secret + "\r\n")
	io.WriteString(conn, masked(1, "before"))
	if _, err := io.ReadFull(r, make([]byte, 2+len("before"))); err != nil {
		t.Fatal(err)
	}
	g.must("keys", "revoke", id)
	before := g.heard()
	io.WriteString(conn, masked(1, "after"))
	said, _ := io.ReadAll(r)
	if !strings.Contains(string(said), "\x03\xf0") {
		t.Errorf("no close with 1008: %q", said)
	}
	if after := g.heard(); after.Messages != before.Messages {
		t.Errorf("after its key was revoked %d messages went on", after.Messages-before.Messages)
	}
}
