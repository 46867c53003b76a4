package main_test

import (
	"bufio"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hookCase is one callback and what must become of it.
type hookCase struct {
	name, path string
	sign       func(*hook) []string
	before     func(*hook) // changed before it is signed
	after      func(*hook) // changed when it is
	status     int
	runs       bool
}

func TestAttack_Callbacks(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployHooked("hooks", "ours")
	g.deployHooked("theirs", "another")
	n := 0
	old := func(d time.Duration) func(*hook) { return func(h *hook) { h.at = h.at.Add(-d) } }
	line := func(i int, change func(string) string) func(*hook) {
		return func(h *hook) {
			name, value, _ := strings.Cut(h.headers[i], ": ")
			h.headers[i] = name + ": " + change(value)
		}
	}
	more := func(lines ...string) func(*hook) {
		return func(h *hook) { h.headers = append(h.headers, lines...) }
	}
	body := func(text string) func(*hook) { return func(h *hook) { h.body = text } }
	path := func(p string) func(*hook) { return func(h *hook) { h.path = p } }
	method := func(m string) func(*hook) { return func(h *hook) { h.method = m } }
	secret := func(s string) func(*hook) { return func(h *hook) { h.secret = s } }
	longer := strings.Repeat("x", 6<<20+1)
	cases := []hookCase{
		{"stripe", "/stripe", stripeSigns, nil, nil, 200, true},
		{"stripe, the old secret", "/stripe", stripeSigns, secret("old"), nil, 200, true},
		{"github", "/github", githubSigns, nil, nil, 200, true},
		{"slack", "/slack/T1", slackSigns, nil, nil, 200, true},
		{"standard webhooks", "/standard", standardSigns, nil, nil, 200, true},
		{"a scheme of its own", "/own", ownSigns, nil, nil, 200, true},
		{"conversation", "/webhook/conversation", conversationSigns, nil, nil, 200, true},
		{"numbers", "/webhook/numbers", numbersSigns, nil, nil, 200, true},
		{"voice v2", "/webhook/voice", voice2Signs, nil, nil, 200, true},
		{"sms, without a secret", "/webhook/sms", conversationSigns, nil, nil, 401, false},
		{"an empty secret", "/unset", stripeSigns, secret(""), nil, 401, false},

		{"four seconds before it is stale", "/stripe", stripeSigns, old(5*time.Minute - 4*time.Second), nil, 200, true},
		{"a second stale", "/stripe", stripeSigns, old(5*time.Minute + time.Second), nil, 401, false},
		{"a second before it is of the future", "/stripe", stripeSigns, old(-5*time.Minute + time.Second), nil, 200, true},
		{"of the future", "/stripe", stripeSigns, old(-5*time.Minute - 8*time.Second), nil, 401, false},
		{"within a window of its own", "/short", stripeSigns, old(20 * time.Second), nil, 200, true},
		{"outside of a window of its own", "/short", stripeSigns, old(31 * time.Second), nil, 401, false},
		{"voice, a second stale", "/webhook/voice", voice2Signs, old(5*time.Minute + time.Second), nil, 401, false},
		{"of 1970", "/stripe", stripeSigns, func(h *hook) { h.at = time.Unix(0, 0) }, nil, 401, false},
		{"of a time before", "/slack/T1", slackSigns, func(h *hook) { h.at = time.Unix(-1, 0) }, nil, 401, false},
		{"a time with a sign", "/slack/T1", slackSigns, nil, line(0, func(v string) string { return "+" + v }), 401, false},

		{"another body", "/stripe", stripeSigns, nil, body(`{"id":"evt_x"}`), 401, false},
		{"a byte less", "/github", githubSigns, nil, func(h *hook) { h.body = h.body[1:] }, 401, false},
		{"no body any more", "/github", githubSigns, nil, body(""), 401, false},
		{"an empty body, signed", "/github", githubSigns, body(""), nil, 200, true},
		{"another time, not signed", "/slack/T1", slackSigns, nil, line(0, func(string) string { return fmt.Sprint(time.Now().Unix() + 1) }), 401, false},
		{"another ID", "/standard", standardSigns, nil, line(0, func(string) string { return "msg_2" }), 401, false},
		{"another nonce", "/webhook/conversation", conversationSigns, nil, line(0, func(v string) string { return v + "9" }), 401, false},
		{"another algorithm", "/webhook/conversation", conversationSigns, nil, line(2, func(string) string { return "none" }), 401, false},
		{"voice, another path of the handler", "/webhook/voice", voice2Signs, nil, path("/x/webhook/voice"), 404, false},
		{"voice, another content type", "/webhook/voice", voice2Signs, nil, more("Content-Type: text/plain"), 401, false},

		{"of another function", "/stripe", stripeSigns, secret("another"), nil, 401, false},
		{"to another route", "/stripe", stripeSigns, nil, path("/fn/hooks/github"), 401, false},
		{"to another scheme's handler", "/own", stripeSigns, nil, nil, 401, false},
		{"with another sender's header as well", "/stripe", stripeSigns, nil, more("X-Hub-Signature-256: sha256=00"), 200, true},
		{"with another sender's header only", "/stripe", githubSigns, nil, nil, 401, false},
		{"with sha1 of the same secret", "/github", func(h *hook) []string {
			return []string{"X-Hub-Signature: sha1=" + hex.EncodeToString(mac(sha1.New, h.secret, h.body))}
		}, nil, nil, 401, false},
		{"with stripe's test scheme", "/stripe", stripeSigns, nil, line(0, func(v string) string { return strings.Replace(v, "v1=", "v0=", 1) }), 401, false},
		{"not signed", "/stripe", func(*hook) []string { return nil }, nil, nil, 401, false},
		{"an empty signature", "/stripe", func(*hook) []string { return []string{"Stripe-Signature: "} }, nil, nil, 401, false},
		{"with an access key instead", "/stripe", func(*hook) []string { return []string{"Authorization: " + g.basic} }, nil, nil, 401, false},
		{"a signature for a key", "/key", stripeSigns, method("GET"), nil, 401, false},

		{"hex in upper case", "/github", githubSigns, nil, line(0, func(v string) string { return "sha256=" + strings.ToUpper(v[7:]) }), 401, false},
		{"the prefix in upper case", "/github", githubSigns, nil, line(0, func(v string) string { return "SHA256=" + v[7:] }), 401, false},
		{"hex cut short", "/github", githubSigns, nil, line(0, func(v string) string { return v[:len(v)-2] }), 401, false},
		{"base64 without padding", "/own", ownSigns, nil, line(1, func(v string) string { return strings.TrimRight(v, "=") }), 401, false},
		{"base64 with another last bit", "/own", ownSigns, nil, line(1, func(v string) string { return otherBits(v) }), 401, false},
		{"base64 of the other alphabet", "/own", ownSigns, func(h *hook) { h.body = bodyWith(h, "+/") }, line(1, func(v string) string { return strings.NewReplacer("+", "-", "/", "_").Replace(v) }), 401, false},
		{"the header's name in upper case", "/github", githubSigns, nil, func(h *hook) { h.headers[0] = strings.ToUpper(h.headers[0][:19]) + h.headers[0][19:] }, 200, true},
		{"the header's name with underscores", "/github", githubSigns, nil, func(h *hook) { h.headers[0] = strings.ReplaceAll(h.headers[0][:19], "-", "_") + h.headers[0][19:] }, 401, false},
		{"two signatures", "/github", githubSigns, nil, func(h *hook) { h.headers = append(h.headers, h.headers[0]) }, 401, false},
		{"two signatures, the first bad", "/github", githubSigns, nil, func(h *hook) { h.headers = append([]string{"X-Hub-Signature-256: sha256=00"}, h.headers...) }, 401, false},
		{"two times", "/slack/T1", slackSigns, nil, func(h *hook) { h.headers = append(h.headers, h.headers[0]) }, 401, false},
		{"two times in one header", "/stripe", stripeSigns, nil, line(0, func(v string) string { return v + ",t=1" }), 401, false},
		{"a bad proof beside the good one", "/stripe", stripeSigns, nil, line(0, func(v string) string { return v + ",v1=" + strings.Repeat("0", 64) }), 200, true},
		{"nine proofs", "/stripe", stripeSigns, nil, line(0, func(v string) string { return v + strings.Repeat(",v1="+strings.Repeat("0", 64), 8) }), 401, false},
		{"lists that somebody joined", "/stripe", stripeSigns, nil, line(0, func(v string) string { return v + ", " + v }), 401, false},
		{"a signature of 8 KiB", "/stripe", stripeSigns, nil, line(0, func(v string) string { return v + strings.Repeat(",x=y", 2<<10) }), 401, false},
		{"in a trailer", "/github", func(*hook) []string { return []string{"Trailer: X-Hub-Signature-256"} }, nil, nil, 401, false},
		{"hop by hop", "/github", githubSigns, nil, more("Connection: close, x-hub-signature-256"), 200, true},

		{"in chunks", "/github", githubSigns, nil, func(h *hook) { h.chunked = true }, 200, true},
		{"in chunks, another body", "/github", githubSigns, nil, func(h *hook) { h.chunked, h.body = true, h.body+" " }, 401, false},
		{"when asked to go on", "/github", githubSigns, nil, func(h *hook) { h.expect = true }, 200, true},
		{"a body over the limit", "/github", githubSigns, body(longer), nil, 413, false},
		{"a body over the limit, in chunks", "/github", githubSigns, body(longer), func(h *hook) { h.chunked = true }, 413, false},
		{"a body over the limit of the route", "/small", stripeSigns, body(strings.Repeat("x", 65)), nil, 413, false},
		{"a body as large as the route takes", "/small", stripeSigns, body(strings.Repeat("1", 64)), nil, 200, true},
		{"no JSON, though it says so", "/github", githubSigns, body("{"), nil, 400, false},

		{"GET where only POST is", "/stripe", stripeSigns, method("GET"), nil, 405, false},
		{"HEAD where only POST is", "/stripe", stripeSigns, method("HEAD"), nil, 405, false},
		{"OPTIONS, signed, where all are", "/any", stripeSigns, method("OPTIONS"), nil, 200, true},
		{"GET, not signed, where all are", "/any", func(*hook) []string { return nil }, method("GET"), nil, 401, false},
		{"HEAD, not signed, where all are", "/any", func(*hook) []string { return nil }, method("HEAD"), nil, 401, false},
		{"a handler with routes by its name", "/hook", stripeSigns, nil, nil, 404, false},
		{"a dot segment", "/x/../stripe", stripeSigns, nil, nil, 400, false},
		{"an escaped letter of the path", "/%73tripe", stripeSigns, nil, nil, 200, true}, // no path is signed
		{"the open handler's name behind it", "/stripe/status", func(*hook) []string { return nil }, nil, nil, 200, false},
	}
	for _, tc := range cases {
		n++
		h := &hook{method: "POST", path: "/fn/hooks" + tc.path, body: fmt.Sprintf(`{"id":"evt_%d","eventId":"e_%d"}`, n, n), secret: "ours", at: time.Now()}
		if tc.before != nil {
			tc.before(h)
		}
		h.headers = tc.sign(h)
		if tc.after != nil {
			tc.after(h)
		}
		before, _ := g.hookStatus("hooks")
		request := h.text()
		tried(t, tc.name, "")
		status, answer := g.exchange(request)
		after, last := g.hookStatus("hooks")
		if ran := after - before; status != tc.status || (ran == 1) != tc.runs || ran > 1 {
			t.Errorf("%s: %d %s, ran %d times; want %d", tc.name, status, answer, ran, tc.status)
			continue
		}
		if status == 401 && h.path != "/fn/hooks/key" && h.method != "HEAD" && !strings.Contains(answer, `"signature_required"`) {
			t.Errorf("%s: the refusal differs: %s", tc.name, answer)
		}
		if !tc.runs {
			continue
		}
		if last.Identity["method"] != "signature" || last.Identity["scheme"] == "" || last.Length != len(h.body) {
			t.Errorf("%s: the handler was told %+v", tc.name, last)
		}
		if status, _ := g.exchange(request); status != 401 { // each is taken once
			t.Errorf("%s, again: %d", tc.name, status)
		}
		if again, _ := g.hookStatus("hooks"); again != after {
			t.Errorf("%s, again: ran", tc.name)
		}
	}
	if ran, _ := g.hookStatus("theirs"); ran != 0 {
		t.Errorf("the other function ran %d times", ran)
	}
}

// otherBits is the base64 of the same bytes with another bit in what is cut off.
func otherBits(v string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := len(strings.TrimRight(v, "=")) - 1
	i := strings.IndexByte(alphabet, v[at])
	return v[:at] + string(alphabet[i^1]) + v[at+1:]
}

// bodyWith looks for a body whose signature has one of these characters.
func bodyWith(h *hook, chars string) string {
	for i := 0; ; i++ {
		body := fmt.Sprintf(`{"n":%d}`, i)
		if s := base64.StdEncoding.EncodeToString(mac(sha256.New, h.secret, h.unix()+"/"+body)); strings.ContainsAny(s, chars) {
			return body
		}
	}
}

// What a handler is told of its sender.
func TestCallback_Identity(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	said := g.deployHooked("hooks", "ours")
	for _, want := range []string{"smsWebhook: every callback is refused until the function has SMS_WEBHOOK_SECRET", "POST /unset: every callback is refused until the function has EMPTY"} {
		if !strings.Contains(said, want) {
			t.Errorf("the deploy does not say %q: %s", want, said)
		}
	}
	if regexp.MustCompile(`warning.*STD`).MatchString(said) || strings.Contains(said, "ours") {
		t.Errorf("the deploy says too much: %s", said)
	}
	for _, tc := range []struct {
		path, scheme string
		sign         func(*hook) []string
		id           any
	}{
		{"/stripe", "stripe", stripeSigns, "evt_1"}, {"/github", "github", githubSigns, nil}, {"/slack/T1", "slack", slackSigns, nil}, {"/standard", "standard-webhooks", standardSigns, "msg_1"},
		{"/own", "custom", ownSigns, nil}, {"/webhook/conversation", "conversation", conversationSigns, "01FJA8"}, {"/webhook/numbers", "numbers", numbersSigns, "e_1"}, {"/webhook/voice", "voice-v2", voice2Signs, nil},
	} {
		h := &hook{method: "POST", path: "/fn/hooks" + tc.path, body: `{"id":"evt_1","eventId":"e_1"}`, secret: "ours", at: time.Now()}
		h.headers = append(tc.sign(h), "X-Postern-Scheme: forged", "X-Postern-Message-Id: forged")
		if status, answer := g.exchange(h.text()); status != 200 {
			t.Errorf("%s: %d %s", tc.path, status, answer)
			continue
		}
		_, last := g.hookStatus("hooks")
		if who := last.Identity; who["method"] != "signature" || who["scheme"] != tc.scheme || who["messageId"] != tc.id || who["keyId"] != "" {
			t.Errorf("%s: the handler was told %v", tc.path, who)
		}
	}
}

// A sender whose callback failed sends the same bytes again, and they are taken;
// also after the server was killed. What was answered is not taken again.
func TestCallback_OverRestarts(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployHooked("hooks", "ours")
	failing := &hook{method: "POST", path: "/fn/hooks/failing", body: `{"n":1}`, secret: "ours"}
	failing.headers = githubSigns(failing)
	for try, want := range []int{503, 200, 401} {
		if status, body := g.exchange(failing.text()); status != want {
			t.Errorf("try %d: %d %s", try, status, body)
		}
	}
	taken := &hook{method: "POST", path: "/fn/hooks/stripe", body: `{"id":"evt_1"}`, secret: "ours", at: time.Now()}
	taken.headers = stripeSigns(taken)
	if status, body := g.exchange(taken.text()); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	refused := &hook{method: "POST", path: "/fn/hooks/failing", body: `{"n":2}`, secret: "ours"}
	refused.headers = githubSigns(refused)
	if status, body := g.exchange(refused.text()); status != 503 {
		t.Fatalf("%d %s", status, body)
	}
	g.kill()
	g.start()
	g.addr = strings.TrimPrefix(g.gateway, "http://")
	for name, h := range map[string]*hook{"with a time": taken, "without one": failing} {
		if status, body := g.exchange(h.text()); status != 401 {
			t.Errorf("%s, after a restart: %d %s", name, status, body)
		}
	}
	if ran, _ := g.hookStatus("hooks"); ran != 0 {
		t.Errorf("%d replays ran after the restart", ran)
	}
	// The new worker fails its first call as well; both are given back.
	for try, want := range []int{503, 200, 401} {
		if status, body := g.exchange(refused.text()); status != want {
			t.Errorf("what had failed, try %d after the restart: %d %s", try, status, body)
		}
	}
}

// Who has read that it failed may send again at once, before the rest of the
// answer has come.
func TestCallback_AgainAtOnce(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployHooked("hooks", "ours")
	h := &hook{method: "POST", path: "/fn/hooks/heavy", body: `{"n":1}`, secret: "ours"}
	h.headers = githubSigns(h)
	for try := range 20 {
		conn := g.dial()
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(conn, h.text())
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 500 ") {
			t.Fatalf("try %d: %q, %v", try, line, err)
		}
	}
	if ran, _ := g.hookStatus("hooks"); ran != 20 {
		t.Errorf("of 20 tries %d ran", ran)
	}
}

// A sender that stops in the middle of a body, or says it slowly, has its
// callback neither taken nor remembered.
func TestCallback_CutOff(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployHooked("hooks", "ours")
	h := &hook{method: "POST", path: "/fn/hooks/github", body: `{"n":1}`, secret: "ours"}
	h.headers = githubSigns(h)
	text := h.text()
	for range 3 {
		conn := g.dial()
		io.WriteString(conn, text[:len(text)-1])
		conn.Close()
	}
	conn := g.dial()
	defer conn.Close()
	io.WriteString(conn, text[:len(text)-3])
	if status, body := g.exchange(text); status != 200 { // while the slow one waits
		t.Fatalf("%d %s", status, body)
	}
	io.WriteString(conn, text[len(text)-3:])
	if res, err := readAnswer(conn); err != nil || res != http.StatusUnauthorized {
		t.Errorf("the slow copy: %d, %v", res, err)
	}
	// Who could not be let in whatever the body is is not asked for one.
	for name, headers := range map[string][]string{"not signed": nil, "unreadable": {"X-Hub-Signature-256: sha256=00"}, "no body is wanted": {"X-Hub-Signature-256: sha1=" + strings.Repeat("0", 64)}} {
		conn := g.dial()
		defer conn.Close()
		io.WriteString(conn, "POST /fn/hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n"+strings.Join(append(headers, "", ""), "\r\n"))
		if res, err := readAnswer(conn); err != nil || res != http.StatusUnauthorized {
			t.Errorf("%s, before the body: %d, %v", name, res, err)
		}
	}
	if ran, _ := g.hookStatus("hooks"); ran != 1 {
		t.Errorf("it ran %d times", ran)
	}
}

// readAnswer is the status of the first answer on a connection.
func readAnswer(conn net.Conn) (status int, err error) {
	conn.SetDeadline(time.Now().Add(time.Minute))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}
