package main_test

import (
	"bufio"
	"io"
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
	conn := g.dial()
	defer conn.Close()
	go io.WriteString(conn, request) // a large request may be answered before it is read
	r := bufio.NewReader(conn)
	// The first answer is waited for; more are not expected and come at once.
	for patience := time.Minute; ; patience = 500 * time.Millisecond {
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

// What two readers of one request could read differently is refused, and the
// rest of it is never a request.
func TestAttack_Framing(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]func(*testing.T) *target{"in clear": newTarget, "inside TLS": newSecureTarget} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attackFraming(t, target(t))
		})
	}
}

func attackFraming(t *testing.T, g *target) {
	shown := "Authorization: " + g.basic + "\r\n"
	post := func(path, header, body string) string {
		return "POST /fn/f" + path + " HTTP/1.1\r\nHost: h\r\n" + shown + header + "\r\n" + body
	}
	// The request that is hidden in a body carries the right key: if it is ever
	// read as a request, the handler runs.
	hidden := "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\n" + shown + "\r\n"
	chunk := func(s string) string { return strconv.FormatInt(int64(len(s)), 16) + "\r\n" + s + "\r\n" }
	const chunked = "Transfer-Encoding: chunked\r\n"
	simple := func(start, header string) string { return start + "\r\nHost: h\r\n" + shown + header + "\r\n" }
	const line = "GET /fn/f/webhook HTTP/1.1"
	for name, c := range map[string]struct {
		request string
		first   []int
		runs    int
	}{
		"length and chunked, hidden behind the chunks": {post("/status", "Content-Length: "+strconv.Itoa(5+len(hidden))+"\r\n"+chunked, "0\r\n\r\n"+hidden), ambiguous, 0},
		"chunked and length, hidden inside the chunk":  {post("/status", chunked+"Content-Length: 4\r\n", chunk(hidden)+"0\r\n\r\n"), ambiguous, 0},
		"two lengths":                      {post("/webhook", "Content-Length: 0\r\nContent-Length: 5\r\n", "hello"), ambiguous, 0},
		"two equal lengths":                {post("/webhook", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), ambiguous, 0},
		"two lengths in one":               {post("/webhook", "Content-Length: 0, 5\r\n", "hello"), ambiguous, 0},
		"two equal lengths in one":         {post("/webhook", "Content-Length: 5, 5\r\n", "hello"), ambiguous, 0},
		"negative length":                  {post("/webhook", "Content-Length: -1\r\n", ""), ambiguous, 0},
		"signed length":                    {post("/webhook", "Content-Length: +5\r\n", "hello"), ambiguous, 0},
		"signed length of nothing":         {post("/webhook", "Content-Length: +0\r\n", ""), ambiguous, 0},
		"hexadecimal length":               {post("/webhook", "Content-Length: 0x5\r\n", "hello"), ambiguous, 0},
		"length with a space behind":       {post("/webhook", "Content-Length: 5 \r\n", "hello"), ambiguous, 0},
		"length with a tab":                {post("/webhook", "Content-Length:\t5\r\n", "hello"), ambiguous, 0},
		"empty length":                     {post("/webhook", "Content-Length:\r\n", ""), ambiguous, 0},
		"length by an alias":               {post("/webhook", "Content_Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), ambiguous, 0},
		"length as hop-by-hop":             {post("/webhook", "Connection: content-length\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), ambiguous, 0},
		"length beyond 63 bits":            {post("/webhook", "Content-Length: 9223372036854775808\r\n", "hello"), ambiguous, 0},
		"length beyond the limit":          {post("/webhook", "Content-Length: 999999999999999999\r\n", "hello"), []int{413}, 0},
		"unknown encoding":                 {post("/webhook", "Transfer-Encoding: xchunked\r\n", hidden), ambiguous, 0},
		"encoding in capitals":             {post("/webhook", "Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), ambiguous, 0},
		"encoding by an alias":             {post("/webhook", "Transfer_Encoding: chunked\r\n", "0\r\n\r\n"), ambiguous, 0},
		"two encodings":                    {post("/webhook", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), ambiguous, 0},
		"two encoding headers":             {post("/webhook", chunked+"Transfer-Encoding: identity\r\n", "0\r\n\r\n"), ambiguous, 0},
		"the same encoding twice":          {post("/webhook", chunked+chunked, "0\r\n\r\n"), ambiguous, 0},
		"space before the colon":           {post("/webhook", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), ambiguous, 0},
		"vertical tab before the encoding": {post("/webhook", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), ambiguous, 0},
		"folded encoding":                  {post("/webhook", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), ambiguous, 0},
		"folded header":                    {simple(line, "X-A: a\r\n b\r\n"), ambiguous, 0},
		"header folded with a tab":         {simple(line, "X-A: a\r\n\tb\r\n"), ambiguous, 0},
		"first header folded":              {line + "\r\n Host: h\r\n" + shown + "\r\n", ambiguous, 0},
		"bare LF behind the request line":  {strings.Replace(simple(line, ""), "1.1\r\n", "1.1\n", 1), ambiguous, 0},
		"bare LF behind a header":          {simple(line, "X-A: a\n"), ambiguous, 0},
		"bare LF behind the head":          {strings.TrimSuffix(simple(line, ""), "\r\n") + "\n", ambiguous, 0},
		"bare LF everywhere":               {strings.ReplaceAll(simple(line, ""), "\r\n", "\n"), ambiguous, 0},
		"NUL in a header":                  {post("/webhook", "X-A: a\x00b\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"bare CR in a header":              {post("/webhook", "X-A: a\rX-B: b\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"space in a header's name":         {post("/webhook", "X A: a\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"header without a name":            {post("/webhook", ": a\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"header without a colon":           {post("/webhook", "X-A\r\nContent-Length: 0\r\n", ""), ambiguous, 0},
		"signed chunk":                     {post("/webhook", chunked, "+5\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk with a prefix":              {post("/webhook", chunked, "0x5\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk of 2^64":                    {post("/webhook", chunked, "10000000000000000\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk longer than it says":        {post("/webhook", chunked, "2\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk shorter than a request":     {post("/webhook", chunked, strconv.FormatInt(int64(len(hidden)-20), 16)+"\r\n"+hidden+"\r\n0\r\n\r\n"), ambiguous, 0},
		"chunk with an extension":          {post("/webhook", chunked, "5;a=b\r\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"extension that ends in a bare LF": {post("/webhook", chunked, "5;\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"extension of the last chunk":      {post("/webhook", chunked, "0;a\r\n\r\n"), ambiguous, 0},
		"bare LF behind a chunk's size":    {post("/webhook", chunked, "5\nhello\r\n0\r\n\r\n"), ambiguous, 0},
		"bare LF behind a chunk":           {post("/webhook", chunked, "5\r\nhello\n0\r\n\r\n"), ambiguous, 0},
		"bare LF at the end":               {post("/webhook", chunked, "0\r\n\n"), ambiguous, 0},
		"chunk without a size":             {post("/webhook", chunked, "\r\n0\r\n\r\n"), ambiguous, 0},
		"trailer":                          {post("/webhook", chunked, "0\r\nX-A: a\r\n\r\n"), ambiguous, 0},
		"trailer with a length":            {post("/webhook", chunked, "0\r\nContent-Length: "+strconv.Itoa(len(hidden))+"\r\n\r\n"+hidden), ambiguous, 0},
		"aborted body, then a request":     {strings.Replace(post("/webhook", "Content-Length: "+strconv.Itoa(len(hidden))+"\r\n", hidden), shown, "", 1), refused, 0},
		"large refused body of requests":   {strings.Replace(post("/webhook", "Content-Length: "+strconv.Itoa(4000*len(hidden))+"\r\n", strings.Repeat(hidden, 4000)), shown, "", 1), append(refused, 0), 0},
		"refused chunks of requests":       {strings.Replace(post("/webhook", chunked, strings.Repeat(chunk(hidden), 4000)+"0\r\n\r\n"), shown, "", 1), append(refused, 0), 0},
		"body beyond the limit":            {post("/webhook", "Content-Length: 104857600\r\n", strings.Repeat(hidden, 4000)), append([]int{413}, 0), 0},
		"HTTP/1.0 with chunks":             {strings.Replace(post("/status", chunked, "0\r\n\r\n"+hidden), "HTTP/1.1", "HTTP/1.0", 1), ambiguous, 0},
		"HTTP/1.0, then a request":         {strings.Replace(strings.Replace(hidden, "HTTP/1.1", "HTTP/1.0", 1), "webhook", "status", 1) + hidden, fine, 0},
		"key in a trailer":                 {strings.Replace(post("/webhook", chunked, "0\r\n"+shown+"\r\n"), shown, "", 1), refused, 0},
		"HTTP/0.9":                         {"GET /fn/f/webhook\r\n", ambiguous, 0},
		"HTTP/1.9":                         {strings.Replace(hidden, "HTTP/1.1", "HTTP/1.9", 1), ambiguous, 0},
		"HTTP/3.0":                         {strings.Replace(hidden, "HTTP/1.1", "HTTP/3.0", 1), ambiguous, 0},
		"HTTP/2.0":                         {strings.Replace(hidden, "HTTP/1.1", "HTTP/2.0", 1), ambiguous, 0},
		"two spaces in the request line":   {strings.Replace(hidden, "GET /", "GET  /", 1), ambiguous, 0},
		"tab in the request line":          {strings.Replace(hidden, "GET /", "GET\t/", 1), ambiguous, 0},
		"space in the target":              {strings.Replace(hidden, "/webhook", "/web hook", 1), ambiguous, 0},
		"space behind the version":         {strings.Replace(hidden, "HTTP/1.1", "HTTP/1.1 ", 1), ambiguous, 0},
		"empty line before the request":    {"\r\n" + hidden, ambiguous, 0},
		"201 header lines":                 {simple(line, strings.Repeat("X-A: a\r\n", 199)), ambiguous, 0},
		"200 header lines":                 {simple(line, strings.Repeat("X-A: a\r\n", 198)), fine, 1},
		"10,000 header lines":              {simple(line, strings.Repeat("X-A: a\r\n", 10_000)), ambiguous, 0},
		"UTF-8 in a header":                {simple(line, "X-Name: Zo\xc3\xab\r\n"), fine, 1},
		"chunks, then a request":           {post("/webhook", chunked, chunk("5")+"0\r\n\r\n") + hidden, fine, 2},
	} {
		tried(t, name, c.request)
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
		if after-before != c.runs {
			t.Errorf("%s: a guarded handler ran %d times, want %d: %v; answers %v", name, after-before, c.runs, paths[before:], got)
		}
	}
	res, err := http.Get(g.control + "/metrics") // on loopback without TLS
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if !strings.Contains(string(text), `postern_connections_refused_total{listener="gateway",reason="framing"}`) {
		t.Error("the metrics do not count what was refused")
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
