package main_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The frames of HTTP/2 that an attacker writes by hand (RFC 9113 §6).
const (
	frameData, frameHeaders, frameReset, frameSettings   = 0, 1, 3, 4
	framePing, frameGoAway, frameWindow, frameContinue   = 6, 7, 8, 9
	endStream, endHeaders                                = 1, 4
	preface                                              = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	statusReset, statusGoAway, statusClosed, statusNever = -1, -2, -3, -4
)

func frame(kind, flags byte, stream uint32, payload string) string {
	n := len(payload)
	return string([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}) + payload
}

// number is an integer of HPACK with a prefix of that many bits (RFC 7541 §5.1).
func number(first byte, bits, n int) string {
	most := 1<<bits - 1
	if n < most {
		return string([]byte{first | byte(n)})
	}
	b := []byte{first | byte(most)}
	for n -= most; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return string(append(b, byte(n)))
}

// field is a header field as it stands, in no table.
func field(name, value string) string {
	return "\x00" + number(0, 7, len(name)) + name + number(0, 7, len(value)) + value
}

// fields is a header block of names and values.
func fields(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(field(pairs[i], pairs[i+1]))
	}
	return b.String()
}

// frames is a connection of HTTP/2 made by hand.
type frames struct {
	net.Conn
	g *target
}

func (g *target) frames() *frames {
	g.Helper()
	config := g.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", g.addr, config)
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	f := &frames{conn, g}
	f.send(preface + frame(frameSettings, 0, 0, "") + frame(frameSettings, 1, 0, ""))
	return f
}

// send reports whether the server still took it.
func (f *frames) send(text string) bool {
	_, err := io.WriteString(f.Conn, text)
	return err == nil
}

// next reads a frame.
func (f *frames) next() (kind byte, stream uint32, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(f.Conn, head[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(f.Conn, payload)
	return head[3], uint32(head[5]&0x7f)<<24 | uint32(head[6])<<16 | uint32(head[7])<<8 | uint32(head[8]), payload, err
}

// answer is the status of the answer to a stream, or how it was refused.
func (f *frames) answer(stream uint32) int {
	for {
		kind, of, payload, err := f.next()
		switch {
		case errors.Is(err, net.ErrClosed) || err != nil && !errors.Is(err, io.EOF) && strings.Contains(err.Error(), "timeout"):
			return statusNever
		case err != nil:
			return statusClosed
		case kind == frameGoAway:
			return statusGoAway
		case kind == frameReset && of == stream:
			return statusReset
		case kind == frameHeaders && of == stream:
			return status(payload)
		}
	}
}

// status is that of a header block which is the first of its connection: from
// HPACK's static table, in plain text, or one in Huffman's code.
func status(block []byte) int {
	if len(block) == 0 {
		return 0
	}
	if i := int(block[0]) - 0x88; i >= 0 && i < 7 {
		return []int{200, 204, 206, 304, 400, 404, 500}[i]
	}
	if block[0]&0xf8 != 0x48 {
		return 0
	}
	if bytes.HasPrefix(block[1:], []byte("\x82\x68\x01")) {
		return 401
	}
	n := 0
	fmt.Sscan(string(block[2:min(5, len(block))]), &n)
	return n
}

// What HTTP/2 forbids in a head runs nothing, with the right key in it.
func TestAttack_HTTP2Heads(t *testing.T) {
	t.Parallel()
	g := newSecureTarget(t)
	secret := g.key["POSTERN_KEY_SECRET"]
	start := []string{":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/fn/f/webhook", "x-api-key", secret}
	with := func(more ...string) string { return fields(append(slices.Clone(start), more...)...) }
	without := func(name string) string {
		pairs := slices.Clone(start)
		i := slices.Index(pairs, name)
		return fields(slices.Delete(pairs, i, i+2)...)
	}
	instead := func(name, value string) string {
		pairs := slices.Clone(start)
		pairs[slices.Index(pairs, name)+1] = value
		return fields(pairs...)
	}
	broken := []int{400, statusReset, statusGoAway, statusClosed}
	for name, c := range map[string]struct {
		block  string
		status []int
		runs   bool
	}{
		"right":                                {with(), fine, true},
		"te: trailers":                         {with("te", "trailers"), fine, true},
		"the same host twice":                  {with("host", "h"), fine, true},
		"another Host":                         {with("host", "f.localhost"), ambiguous, false},
		"two Hosts":                            {with("host", "h", "host", "h"), ambiguous, false},
		"connection":                           {with("connection", "close"), broken, false},
		"connection that names a header":       {with("connection", "x-api-key"), broken, false},
		"keep-alive":                           {with("keep-alive", "timeout=5"), broken, false},
		"proxy-connection":                     {with("proxy-connection", "close"), broken, false},
		"transfer-encoding":                    {with("transfer-encoding", "chunked"), broken, false},
		"upgrade":                              {with("upgrade", "h2c"), broken, false},
		"te: gzip":                             {with("te", "gzip"), broken, false},
		"te: trailers, gzip":                   {with("te", "trailers, gzip"), broken, false},
		"two te":                               {with("te", "trailers", "te", "gzip"), broken, false},
		"two methods":                          {with(":method", "POST"), broken, false},
		"two paths":                            {fields(":path", "/fn/f/status") + with(), broken, false},
		"pseudo-header behind another":         {fields("x-a", "a") + with(), broken, false},
		"unknown pseudo-header":                {fields(":x", "a") + with(), broken, false},
		"status in a request":                  {fields(":status", "200") + with(), broken, false},
		"protocol":                             {fields(":protocol", "websocket") + with(), broken, false},
		"no method":                            {without(":method"), broken, false},
		"no scheme":                            {without(":scheme"), broken, false},
		"no path":                              {without(":path"), broken, false},
		"no authority":                         {without(":authority"), ambiguous, false},
		"no authority but a Host":              {without(":authority") + field("host", "h"), fine, true},
		"empty path":                           {instead(":path", ""), broken, false},
		"path without a slash":                 {instead(":path", "fn/f/webhook"), broken, false},
		"absolute path":                        {instead(":path", "https://h/fn/f/webhook"), broken, false},
		"space in the path":                    {instead(":path", "/fn/f/webhook HTTP/1.1"), broken, false},
		"line break in the path":               {instead(":path", "/fn/f/webhook\r\nX-A: a"), broken, false},
		"another scheme":                       {instead(":scheme", "ftp"), broken, false},
		"scheme of a request in clear":         {instead(":scheme", "http"), []int{200, 400, statusReset}, true},
		"authority with a user":                {instead(":authority", "u:p@h"), broken, false},
		"authority with a line break":          {instead(":authority", "h\r\nx: y"), broken, false},
		"authority with a path":                {instead(":authority", "h/fn/f"), append(broken, 200), true},
		"method with a space":                  {instead(":method", "GET /fn/f/webhook HTTP/1.1\r\n\r\nGET"), append(broken, 501), false},
		"CONNECT":                              {instead(":method", "CONNECT"), append(broken, 405), false},
		"name in capitals":                     {with("X-A", "a"), broken, false},
		"name with a colon":                    {with("x:a", "a"), broken, false},
		"name with a line break":               {with("x\r\na", "a"), broken, false},
		"empty name":                           {with("", "a"), broken, false},
		"value with a line break":              {with("x-a", "a\r\nb: c"), broken, false},
		"value with LF":                        {with("x-a", "a\nb"), broken, false},
		"value with NUL":                       {with("x-a", "a\x00b"), broken, false},
		"two keys":                             {with("x-api-key", secret), ambiguous, false},
		"a length of a body that is not there": {with("content-length", "5"), ambiguous, false},
		"a length that is no number":           {with("content-length", "+0"), ambiguous, false},
		"two lengths":                          {with("content-length", "0", "content-length", "0"), ambiguous, false},
		"a length of nothing":                  {with("content-length", "0"), fine, true},
		"200 fields":                           {with(slices.Repeat([]string{"x-a", "a"}, 199)...), fine, true},
		"201 fields":                           {with(slices.Repeat([]string{"x-a", "a"}, 200)...), ambiguous, false},
		"1,500 fields":                         {with(slices.Repeat([]string{"x-a", "a"}, 1500)...), ambiguous, false},
		// A field of 4,000 bytes in the table, and then by its number, which is one byte.
		"a bomb":          {with() + "\x40\x03x-b" + number(0, 7, 3000) + strings.Repeat("b", 3000) + strings.Repeat("\xbe", 5000), append(broken, 431), false},
		"a wrong index":   {with() + "\xff\xff\xff\xff\x0f", broken, false},
		"an unended text": {with() + "\x00\x7f", broken, false},
	} {
		tried(t, name, c.block)
		before, _ := g.ran()
		f := g.frames()
		f.send(frame(frameHeaders, endStream|endHeaders, 1, c.block))
		got := f.answer(1)
		f.Close()
		after, paths := g.ran()
		if !slices.Contains(c.status, got) {
			t.Errorf("%s: %d, want one of %v", name, got, c.status)
		}
		if (after > before) != (c.runs && got == 200) {
			t.Errorf("%s: a guarded handler ran %d times, for %v", name, after-before, paths[before:])
		}
	}
}

// Bodies and trailers that do not go with their head.
func TestAttack_HTTP2Bodies(t *testing.T) {
	t.Parallel()
	g := newSecureTarget(t)
	secret := g.key["POSTERN_KEY_SECRET"]
	post := func(more ...string) string {
		return frame(frameHeaders, endHeaders, 1, fields(append([]string{":method", "POST", ":scheme", "https", ":authority", "h", ":path", "/fn/f/webhook"}, more...)...))
	}
	key := []string{"x-api-key", secret}
	broken := []int{400, statusReset, statusGoAway, statusClosed}
	for name, c := range map[string]struct {
		text   string
		status []int
		runs   bool
	}{
		"right":                                     {post(key...) + frame(frameData, endStream, 1, "hello"), fine, true},
		"longer than its length":                    {post(append(key, "content-length", "2")...) + frame(frameData, endStream, 1, "hello"), broken, false},
		"shorter than its length":                   {post(append(key, "content-length", "9")...) + frame(frameData, endStream, 1, "hello"), broken, false},
		"two lengths":                               {post(append(key, "content-length", "5", "content-length", "2")...) + frame(frameData, endStream, 1, "hello"), broken, false},
		"a length that is none":                     {post(append(key, "content-length", "0x5")...) + frame(frameData, endStream, 1, "hello"), broken, false},
		"key in a trailer":                          {post() + frame(frameData, 0, 1, "hello") + frame(frameHeaders, endStream|endHeaders, 1, fields("x-api-key", secret)), refused, false},
		"pseudo-header in trailer":                  {post(key...) + frame(frameData, 0, 1, "hello") + frame(frameHeaders, endStream|endHeaders, 1, fields(":path", "/fn/f/status")), broken, false},
		"a head that goes on and on without an end": {frame(frameHeaders, endStream, 1, fields(":method", "GET")) + frame(frameData, 0, 1, "x"), broken, false},
		"data on no stream":                         {frame(frameData, endStream, 1, "hello"), broken, false},
		"a stream of an even number":                {frame(frameHeaders, endStream|endHeaders, 2, fields(":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/fn/f/webhook", "x-api-key", secret)), broken, false},
		"a frame beyond what was agreed":            {frame(frameHeaders, endStream|endHeaders, 1, strings.Repeat("x", 1<<20)), broken, false},
	} {
		tried(t, name, c.text)
		before, _ := g.ran()
		f := g.frames()
		f.send(c.text)
		got := f.answer(1)
		f.Close()
		after, paths := g.ran()
		if !slices.Contains(c.status, got) {
			t.Errorf("%s: %d, want one of %v", name, got, c.status)
		}
		if (after > before) != c.runs {
			t.Errorf("%s: a guarded handler ran %d times, for %v", name, after-before, paths[before:])
		}
	}
}

// Floods of frames end their connection, or are work that is bounded; nobody
// else waits for it.
func TestAttack_HTTP2Floods(t *testing.T) {
	t.Parallel()
	g := newSecureTarget(t)
	head := fields(":method", "GET", ":scheme", "https", ":authority", "h", ":path", "/fn/f/webhook")
	const most = 200_000
	flood := func(name string, n int, ends bool, text func(stream uint32) string) {
		t.Helper()
		tried(t, name, "")
		f := g.frames()
		ended := make(chan struct{})
		go func() { io.Copy(io.Discard, f.Conn); close(ended) }()
		var batch strings.Builder
		sent := 0
		for ; sent < n; sent++ {
			batch.WriteString(text(uint32(2*sent + 1)))
			if batch.Len() > 16<<10 || sent == n-1 {
				if !f.send(batch.String()) {
					break
				}
				batch.Reset()
			}
		}
		if ends {
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Errorf("%s: after %d the connection has not ended", name, sent)
			}
		}
		began := time.Now()
		res, err := g.client.Get(g.gateway + "/fn/f/health")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res.Body.Close()
		if took := time.Since(began); res.StatusCode != 200 || took > time.Minute {
			t.Errorf("%s: beside it a call got %d after %s", name, res.StatusCode, took)
		}
		f.Close()
	}
	flood("rapid reset", 20_000, false, func(stream uint32) string {
		return frame(frameHeaders, endStream|endHeaders, stream, head) + frame(frameReset, 0, stream, "\x00\x00\x00\x08")
	})
	flood("continuations", most, true, func(stream uint32) string {
		if stream == 1 {
			return frame(frameHeaders, endStream, 1, head)
		}
		return frame(frameContinue, 0, 1, field("x-a", strings.Repeat("a", 1000)))
	})
	flood("empty continuations", most, false, func(stream uint32) string {
		if stream == 1 {
			return frame(frameHeaders, endStream, 1, head)
		}
		return frame(frameContinue, 0, 1, "")
	})
	flood("pings", 50_000, false, func(uint32) string { return frame(framePing, 0, 0, "12345678") })
	flood("settings", 50_000, false, func(uint32) string { return frame(frameSettings, 0, 0, "") })
	flood("windows", 50_000, true, func(uint32) string { return frame(frameWindow, 0, 0, "\x7f\xff\xff\xff") })
	flood("streams without an end", 20_000, false, func(stream uint32) string { return frame(frameHeaders, endHeaders, stream, head) })
	if n, paths := g.ran(); n != 0 {
		t.Errorf("a guarded handler ran %d times, for %v", n, paths)
	}
}
