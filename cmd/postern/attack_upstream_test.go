package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// behind is a server behind the gateway, which counts who comes to it.
type behind struct {
	requests, sockets, messages, ended atomic.Int64
}

func (b *behind) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		b.requests.Add(1)
		fmt.Fprintln(w, r.URL.Path)
		return
	}
	b.sockets.Add(1)
	defer b.ended.Add(1)
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	c.SetReadLimit(-1)
	for {
		kind, m, err := c.Read(r.Context())
		if err != nil {
			return
		}
		b.messages.Add(1)
		if err := c.Write(r.Context(), kind, m); err != nil {
			return
		}
	}
}

func (b *behind) seen() [3]int64 {
	return [3]int64{b.requests.Load(), b.sockets.Load(), b.messages.Load()}
}

// over waits until nobody talks to it any more.
func (b *behind) over(t *testing.T) {
	t.Helper()
	eventually(t, "the WebSockets behind the gateway have ended", func() bool { return b.ended.Load() == b.sockets.Load() })
}

// newBehind puts a server behind a target's gateway, at /fn/api.
func newBehind(t *testing.T, g *target) *behind {
	t.Helper()
	b := new(behind)
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	text := "version: 1\nupstreams:\n  api:\n    url: " + server.URL + "\n    websocket: { origins: [https://shop.example], messageLimit: 1KiB }\n" +
		"    routes:\n      GET /socket: {}\n      GET /open: { auth: none }\n      /orders/{id}: {}\n  plain:\n    url: " + server.URL + "\n    routes:\n      GET /socket: {}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.must("apply", "-f", file)
	return b
}

// masked is a frame as a client sends it: final, under a mask of nothing.
func masked(opcode byte, payload string) string {
	switch n := len(payload); {
	case n < 126:
		return string([]byte{0x80 | opcode, 0x80 | byte(n), 0, 0, 0, 0}) + payload
	case n < 1<<16:
		return string([]byte{0x80 | opcode, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
	default:
		return string([]byte{0x80 | opcode, 0x80 | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
	}
}

const handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// A server behind the gateway hears nothing of who is refused.
func TestAttack_Upstreams(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	b := newBehind(t, g)
	shown := "Authorization: " + g.basic + "\r\n"
	const hidden = "GET /orders/9 HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, c := range map[string]struct {
		line, header string
		status       []int
		seen         int64
	}{
		"right":                      {"GET /fn/api/orders/1", shown, fine, 1},
		"open":                       {"GET /fn/api/open", "", fine, 1},
		"nothing shown":              {"GET /fn/api/orders/1", "", refused, 0},
		"identity headers":           {"GET /fn/api/orders/1", "X-Postern-Key-Id: pak_root\r\nX-Postern-Auth-Method: basic\r\n", refused, 0},
		"a wrong secret":             {"GET /fn/api/orders/1", "X-API-Key: psk_x\r\n", refused, 0},
		"the key twice":              {"GET /fn/api/orders/1", shown + shown, ambiguous, 0},
		"a path beside its routes":   {"GET /fn/api/admin", shown, nowhere, 0},
		"above it":                   {"GET /fn/api/orders/..", shown, ambiguous, 0},
		"above it, encoded":          {"GET /fn/api/orders/%2e%2e/admin", shown, ambiguous, 0},
		"above it, by a parameter":   {"GET /fn/api/orders/..;/admin", shown, ambiguous, 0},
		"above it, encoded twice":    {"GET /fn/api/orders/%252e%252e", shown, fine, 1}, // a name with percent signs
		"an encoded slash":           {"GET /fn/api/orders/1%2fadmin", shown, ambiguous, 0},
		"a backslash":                {"GET /fn/api/orders/1%5cadmin", shown, ambiguous, 0},
		"a line break":               {"GET /fn/api/orders/1%0d%0aX:%20y", shown, ambiguous, 0},
		"open, then guarded":         {"GET /fn/api/open/../orders/1", "", ambiguous, 0},
		"open, in another letter":    {"GET /fn/api/OPEN", "", nowhere, 0},
		"another method":             {"POST /fn/api/open", "Content-Length: 0\r\n", []int{405}, 0},
		"another method by a header": {"POST /fn/api/open", "X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n", []int{405}, 0},
		"an absolute target":         {"GET http://10.0.0.1/fn/api/orders/1", shown, ambiguous, 0},
		"length and chunked":         {"POST /fn/api/orders/1", shown + "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n", ambiguous, 0},
		"another encoding":           {"POST /fn/api/orders/1", shown + "Transfer-Encoding: xchunked\r\n", ambiguous, 0},
		"two lengths":                {"POST /fn/api/orders/1", shown + "Content-Length: 0\r\nContent-Length: 40\r\n", ambiguous, 0},
		"health":                     {"GET /fn/api/health", shown, nowhere, 0},
	} {
		tried(t, name, c.line)
		before := b.seen()
		request := c.line + " HTTP/1.1\r\nHost: h\r\n" + c.header + "Connection: close\r\n\r\n"
		if strings.HasPrefix(c.line, "POST") {
			request += hidden
		}
		got := g.raw(request)
		ok := false
		for _, s := range c.status {
			ok = ok || s == got
		}
		if after := b.seen(); !ok || after[0]-before[0] != c.seen {
			t.Errorf("%s: %d, want %v; the server behind saw %d", name, got, c.status, after[0]-before[0])
		}
	}
}

// A WebSocket is opened by who may, from pages that may, and ends with what it
// was opened with; the server behind hears no handshake that was refused, and no
// message that was above the limit or came after the end.
func TestAttack_WebSockets(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	b := newBehind(t, g)
	shown := "Authorization: " + g.basic + "\r\n"
	with := func(from, to string) string { return strings.Replace(handshake, from, to, 1) }
	for name, c := range map[string]struct {
		path, header string
		status       int
	}{
		"right":                        {"/fn/api/socket", shown + handshake, 101},
		"of a page of its own":         {"/fn/api/socket", shown + handshake + "Origin: http://h\r\n", 101},
		"of a page that is listed":     {"/fn/api/socket", shown + handshake + "Origin: https://shop.example\r\n", 101},
		"nothing shown":                {"/fn/api/socket", handshake, 401},
		"a wrong secret":               {"/fn/api/socket", "X-API-Key: psk_x\r\n" + handshake, 401},
		"the key in the query":         {"/fn/api/socket?x-api-key=" + g.key["POSTERN_KEY_SECRET"], handshake, 401},
		"the key as a protocol":        {"/fn/api/socket", handshake + "Sec-WebSocket-Protocol: " + g.key["POSTERN_KEY_SECRET"] + "\r\n", 401},
		"the key as a cookie":          {"/fn/api/socket", handshake + "Cookie: x-api-key=" + g.key["POSTERN_KEY_SECRET"] + "\r\n", 401},
		"of another page":              {"/fn/api/socket", shown + handshake + "Origin: https://evil.example\r\n", 403},
		"of a page that begins alike":  {"/fn/api/socket", shown + handshake + "Origin: https://shop.example.evil.example\r\n", 403},
		"of a page in other letters":   {"/fn/api/socket", shown + handshake + "Origin: https://shop.example/\r\n", 403},
		"of a page in clear":           {"/fn/api/socket", shown + handshake + "Origin: http://shop.example\r\n", 403},
		"of no page":                   {"/fn/api/socket", shown + handshake + "Origin: null\r\n", 403},
		"of two pages":                 {"/fn/api/socket", shown + handshake + "Origin: https://shop.example\r\nOrigin: https://evil.example\r\n", 403},
		"of a listed page, no key":     {"/fn/api/socket", handshake + "Origin: https://shop.example\r\n", 401},
		"another version":              {"/fn/api/socket", shown + with("Version: 13", "Version: 12"), 400},
		"two versions":                 {"/fn/api/socket", shown + handshake + "Sec-WebSocket-Version: 13\r\n", 400},
		"no nonce":                     {"/fn/api/socket", shown + with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		"two nonces":                   {"/fn/api/socket", shown + handshake + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400},
		"a short nonce":                {"/fn/api/socket", shown + with("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400},
		"a body":                       {"/fn/api/socket", shown + handshake + "Content-Length: 2\r\n\r\nhi", 400},
		"another protocol":             {"/fn/api/socket", shown + with("Upgrade: websocket", "Upgrade: h2c"), 200}, // a request like others
		"two protocols":                {"/fn/api/socket", shown + with("Upgrade: websocket", "Upgrade: websocket, h2c"), 101},
		"where none is taken":          {"/fn/plain/socket", shown + handshake, 400},
		"at a handler":                 {"/fn/f/open/nothing", shown + handshake, 404},
		"at a handler, nothing shown":  {"/fn/f/webhook", handshake, 401},
		"on a path beside its routes":  {"/fn/api/sockets", shown + handshake, 404},
		"on a path with dots":          {"/fn/api/x/../socket", shown + handshake, 400},
		"on a guarded path, from open": {"/fn/api/open/../socket", handshake, 400},
	} {
		tried(t, name, c.path)
		before := b.seen()
		ran, _ := g.ran()
		got := g.raw("GET " + c.path + " HTTP/1.1\r\nHost: h\r\n" + c.header + "\r\n")
		after := b.seen()
		if got != c.status || after[1]-before[1] != map[bool]int64{true: 1}[c.status == 101] || after[0]-before[0] != map[bool]int64{true: 1}[c.status == 200] {
			t.Errorf("%s: %d, want %d; the server behind saw %v, then %v", name, got, c.status, before, after)
		}
		if now, _ := g.ran(); now != ran {
			t.Errorf("%s: a guarded handler ran", name)
		}
	}

	// What is sent on one that is open.
	open := func(header string) (io.ReadWriteCloser, *bufio.Reader) {
		t.Helper()
		conn := g.dial()
		conn.SetDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { conn.Close() })
		io.WriteString(conn, "GET /fn/api/socket HTTP/1.1\r\nHost: h\r\n"+header+handshake+"\r\n")
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		return conn, r
	}
	for name, c := range map[string]struct {
		text     string
		messages int64
	}{
		"right":                            {masked(1, "hello"), 1},
		"as long as it may be":             {masked(2, strings.Repeat("x", 1024)), 1},
		"a byte more":                      {masked(2, strings.Repeat("x", 1025)), 0},
		"much more":                        {masked(2, strings.Repeat("x", 1<<20)), 0},
		"more than there is":               {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00" + strings.Repeat("x", 2048), 0},
		"a length that is negative":        {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00x", 0},
		"in pieces, more in all":           {"\x02\x80\x00\x00\x00\x00" + strings.Repeat("\x00\xfe\x03\xe8\x00\x00\x00\x00"+strings.Repeat("x", 1000), 4), 0},
		"a piece of nothing":               {masked(0, "x"), 0},
		"without a mask":                   {"\x81\x05hello", 0},
		"bits that are kept":               {"\xf1\x85\x00\x00\x00\x00hello", 0},
		"a kind that is kept":              {masked(3, "x"), 0},
		"a ping of 126 bytes":              {masked(9, strings.Repeat("x", 126)), 0},
		"a ping in pieces":                 {"\x09\x81\x00\x00\x00\x00x", 0},
		"text that is no UTF-8":            {masked(1, "\xff\xfe"), 0},
		"a close of one byte":              {masked(8, "x"), 0},
		"a message after the close":        {masked(8, "\x03\xe8") + masked(1, "late"), 0},
		"a request instead":                {"GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n" + shown + "\r\n", 0},
		"a request behind a right message": {masked(1, "hello") + "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n" + shown + "\r\n", 1},
	} {
		tried(t, name, c.text)
		ran, _ := g.ran()
		before := b.seen()
		conn, r := open(shown)
		go io.WriteString(conn, c.text+masked(8, "\x03\xe8"))
		io.Copy(io.Discard, r) // until it is closed
		conn.Close()
		b.over(t)
		after := b.seen()
		if name == "text that is no UTF-8" { // the gateway passes bytes on, and may leave this to who reads the text
			after[2] = before[2]
		}
		if after[2]-before[2] != c.messages {
			t.Errorf("%s: the server behind was sent %d messages, want %d", name, after[2]-before[2], c.messages)
		}
		if now, _ := g.ran(); now != ran {
			t.Errorf("%s: a guarded handler ran", name)
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
	before := b.seen()
	io.WriteString(conn, masked(1, "after"))
	io.Copy(io.Discard, r)
	b.over(t)
	if after := b.seen(); after[2] != before[2] {
		t.Errorf("after its key was revoked %d messages went on", after[2]-before[2])
	}
}
