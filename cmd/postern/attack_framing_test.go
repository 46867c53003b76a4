package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answers sends bytes on one connection and returns the status of every
// answer until the server closes it or has nothing more to say.
func (g *target) answers(request string) (statuses []int) {
	g.Helper()
	conn, err := net.DialTimeout("tcp", g.addr, 5*time.Second)
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, request) // a large request may be answered before it is read
	r := bufio.NewReader(conn)
	// The first answer is waited for; more are not expected and come at once.
	for patience := 10 * time.Second; ; patience = 500 * time.Millisecond {
		conn.SetReadDeadline(time.Now().Add(patience))
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		statuses = append(statuses, res.StatusCode)
		if err != nil {
			return statuses
		}
	}
}

// What two readers of one request could read differently is refused, or read
// in one way and the connection closed; the rest of it is never a request.
func TestAttack_Framing(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	shown := "Authorization: " + g.basic + "\r\n"
	post := func(path, header, body string) string {
		return "POST /fn/f" + path + " HTTP/1.1\r\nHost: h\r\n" + shown + header + "\r\n" + body
	}
	// The request that is hidden in a body carries the right key: if it is ever
	// read as a request, the handler runs.
	hidden := "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n" + shown + "\r\n"
	chunk := func(s string) string { return strconv.FormatInt(int64(len(s)), 16) + "\r\n" + s + "\r\n" }
	const chunked = "Transfer-Encoding: chunked\r\n"
	for name, c := range map[string]struct {
		request string
		first   []int
		runs    int // at most
	}{
		"length and chunked, hidden behind the chunks": {post("/status", "Content-Length: "+strconv.Itoa(5+len(hidden))+"\r\n"+chunked, "0\r\n\r\n"+hidden), []int{200, 400}, 0},
		"chunked and length, hidden inside the chunk":  {post("/status", chunked+"Content-Length: 4\r\n", chunk(hidden)+"0\r\n\r\n"), []int{200, 400}, 0},
		"two lengths":                      {post("/webhook", "Content-Length: 0\r\nContent-Length: 5\r\n", "hello"), ambiguous, 0},
		"two lengths in one":               {post("/webhook", "Content-Length: 0, 5\r\n", "hello"), ambiguous, 0},
		"negative length":                  {post("/webhook", "Content-Length: -1\r\n", ""), ambiguous, 0},
		"signed length":                    {post("/webhook", "Content-Length: +5\r\n", "hello"), ambiguous, 0},
		"hexadecimal length":               {post("/webhook", "Content-Length: 0x5\r\n", "hello"), ambiguous, 0},
		"length beyond 63 bits":            {post("/webhook", "Content-Length: 9223372036854775808\r\n", "hello"), ambiguous, 0},
		"length beyond the limit":          {post("/webhook", "Content-Length: 9223372036854775807\r\n", "hello"), []int{413}, 0},
		"unknown encoding":                 {post("/webhook", "Transfer-Encoding: xchunked\r\n", hidden), []int{400, 501}, 0},
		"two encodings":                    {post("/webhook", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), []int{400, 501}, 0},
		"two encoding headers":             {post("/webhook", chunked+"Transfer-Encoding: identity\r\n", "0\r\n\r\n"), []int{400, 501}, 0},
		"space before the colon":           {post("/webhook", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), ambiguous, 0},
		"vertical tab before the encoding": {post("/webhook", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), []int{400, 501}, 0},
		"folded header":                    {post("/webhook", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), []int{400, 501, 200}, 1},
		"NUL in a header":                  {post("/webhook", "X-A: a\x00b\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"bare CR in a header":              {post("/webhook", "X-A: a\rX-B: b\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"space in a header's name":         {post("/webhook", "X A: a\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"header without a name":            {post("/webhook", ": a\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"signed chunk":                     {post("/webhook", chunked, "+5\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk with a prefix":              {post("/webhook", chunked, "0x5\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk of 2^64":                    {post("/webhook", chunked, "10000000000000000\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk longer than it says":        {post("/webhook", chunked, "2\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk shorter than a request":     {post("/webhook", chunked, strconv.FormatInt(int64(len(hidden)-20), 16)+"\r\n"+hidden+"\r\n0\r\n\r\n"), ambiguous, 0},
		"aborted body, then a request":     {strings.Replace(post("/webhook", "Content-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), shown, "", 1), refused, 0},
		"large refused body of requests":   {strings.Replace(post("/webhook", "Content-Length: "+strconv.Itoa(4000*len(hidden))+"\r\n", strings.Repeat(hidden, 4000)), shown, "", 1), append(refused, 0), 0},
		"body beyond the limit":            {post("/webhook", "Content-Length: 104857600\r\n", strings.Repeat(hidden, 4000)), append([]int{413}, 0), 0},
		"HTTP/1.0 with chunks":             {strings.Replace(post("/status", chunked, "0\r\n\r\n"+hidden), "HTTP/1.1", "HTTP/1.0", 1), []int{200, 400}, 0},
		"key in a trailer":                 {strings.Replace(post("/webhook", chunked, "0\r\n"+shown+"\r\n"), shown, "", 1), refused, 0},
		"HTTP/0.9":                         {"GET /fn/f/webhook\r\n", ambiguous, 0},
		"HTTP/1.9":                         {strings.Replace(hidden, "HTTP/1.1", "HTTP/1.9", 1), []int{400, 505, 200}, 1},
		"HTTP/3.0":                         {strings.Replace(hidden, "HTTP/1.1", "HTTP/3.0", 1), []int{400, 505}, 0},
		"two spaces in the request line":   {strings.Replace(hidden, "GET /", "GET  /", 1), ambiguous, 0},
		"tab in the request line":          {strings.Replace(hidden, "GET /", "GET\t/", 1), ambiguous, 0},
		"space in the target":              {strings.Replace(hidden, "/webhook", "/web hook", 1), ambiguous, 0},
	} {
		before, _ := g.ran()
		got := g.answers(c.request)
		after, paths := g.ran()
		first := 0
		if len(got) > 0 {
			first = got[0]
		}
		if !slices.Contains(c.first, first) {
			t.Errorf("%s: answers %v, want first one of %v", name, got, c.first)
		}
		if after-before > c.runs {
			t.Errorf("%s: a guarded handler ran %d times, at most %d: %v; answers %v", name, after-before, c.runs, paths[before:], got)
		}
	}
}

// What a caller says about itself is not what the gateway says about it.
func TestAttack_SpoofedTrust(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	secret := g.key["POSTERN_KEY_SECRET"]
	g.try([]attempt{{"spoofing with the key", "GET /fn/f/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
		"Authorization: " + g.basic + "\r\nX-API-Key: " + secret + "\r\nProxy-Authorization: " + g.basic + "\r\n" +
		"X-Postern-Key-Id: pak_forged\r\nx-postern-project-id: prj_forged\r\nX-Postern-Scopes: control\r\nX-POSTERN-Anything: forged\r\n" +
		"X-Mine: kept\r\nX-Hop: taken\r\nConnection: close, x-hop\r\n\r\n", fine, true}})
	_, _, headers := g.told()
	for name, value := range headers {
		if strings.Contains(value, "forged") || strings.Contains(value, secret) || strings.Contains(value, strings.TrimPrefix(g.basic, "Basic ")) {
			t.Errorf("the handler saw %s", name)
		}
		if slices.Contains([]string{"authorization", "x-api-key", "proxy-authorization", "x-hop", "connection"}, name) {
			t.Errorf("the handler saw the header %s", name)
		}
	}
	if headers["x-mine"] != "kept" {
		t.Errorf("the handler did not see its own header: %v", headers)
	}

	// A key that may be used from one address only is not moved there by a header.
	_, bound := g.createKey("Bound", "--from", "192.0.2.0/24")
	for _, header := range []string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1", "CF-Connecting-IP: 192.0.2.1", "X-Client-IP: 192.0.2.1"} {
		g.try([]attempt{{header, "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: " + bound + "\r\n" + header + "\r\nConnection: close\r\n\r\n", []int{403}, false}})
	}
	// Nor is a rate stretched by pretending to be many.
	_, slow := g.createKey("Slow", "--rate", "1")
	limited := 0
	for i := range 8 {
		if g.raw("GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: "+slow+"\r\nX-Forwarded-For: 192.0.2."+strconv.Itoa(i)+"\r\nConnection: close\r\n\r\n") == 429 {
			limited++
		}
	}
	if limited < 4 {
		t.Errorf("%d of 8 calls at once were over a rate of 1/s", limited)
	}
}
