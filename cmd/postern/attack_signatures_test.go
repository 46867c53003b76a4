package main_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Callbacks that count themselves, and what they were given.
const answering = `
let ran = 0; let failed = 0;
const sum = async (b: Uint8Array) => Buffer.from(await crypto.subtle.digest('SHA-256', b)).toString('hex');
export const status = () => ({ ran, failed });
export default {
  ice: async (c: any, data: any, r: any) => { ran++; return { length: r?.rawBody?.length, sum: r ? await sum(r.rawBody) : '' }; },
  notify: () => { if (++failed === 1) throw new Error('the first time'); ran++; return {}; },
};
`

const (
	voiceSecret = "BeIukql3pTKJ8RGL5zo0DA=="
	otherSecret = "AAAAAAAAAAAAAAAAAAAAAA=="
)

// deployVoice deploys a function that answers callbacks of the application with
// that secret; without a secret if that is empty.
func (g *target) deployVoice(name, secret string) {
	g.Helper()
	variables := map[string]string{}
	if secret != "" {
		variables = map[string]string{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": secret}
	}
	manifest, err := json.Marshal(map[string]any{"name": name, "runtime": "node", "variables": variables})
	if err != nil {
		g.Fatal(err)
	}
	g.deployed(string(manifest), "export const auth = [];\n"+answering)
}

// voiceCall is a signed voice callback: what is signed, before anybody changes it.
type voiceCall struct {
	method, path, kind, body string
	at                       time.Time
	secret                   string
}

func callback(path, body string) voiceCall {
	return voiceCall{"POST", path, "application/json", body, time.Now(), voiceSecret}
}

// sign is the headers of the callback, Content-Type aside.
func (c voiceCall) sign() (authorization, stamp string) {
	key, err := base64.StdEncoding.DecodeString(c.secret)
	if err != nil {
		panic(err)
	}
	digest := ""
	if c.body != "" {
		sum := md5.Sum([]byte(c.body))
		digest = base64.StdEncoding.EncodeToString(sum[:])
	}
	stamp = c.at.UTC().Format("2006-01-02T15:04:05.0000000Z")
	m := hmac.New(sha256.New, key)
	io.WriteString(m, c.method+"\n"+digest+"\n"+c.kind+"\nx-timestamp:"+stamp+"\n"+c.path)
	return "application app:" + base64.StdEncoding.EncodeToString(m.Sum(nil)), stamp
}

// request is the callback as it is sent; later headers are added as they are.
func (c voiceCall) request(authorization, stamp string, more ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\nAuthorization: %s\r\nX-Timestamp: %s\r\n%s\r\n%s",
		c.method, c.path, c.kind, len(c.body), authorization, stamp, strings.Join(more, ""), c.body)
}

func (c voiceCall) signed(more ...string) string {
	authorization, stamp := c.sign()
	return c.request(authorization, stamp, more...)
}

// voiceRan is how often the callbacks of a function ran.
func (g *target) voiceRan(name string) (n int) {
	g.Helper()
	res, err := g.client.Get(g.gateway + "/fn/" + name + "/status")
	if err != nil {
		g.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Ran int }
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != 200 {
		g.Fatal(res.Status, err)
	}
	return got.Ran
}

// exchange sends bytes and returns the answer with its body.
func (g *target) exchange(request string) (int, string) {
	g.Helper()
	conn, err := net.DialTimeout("tcp", g.addr, time.Minute)
	if err != nil {
		g.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go io.WriteString(conn, request)
	answers := bufio.NewReader(conn)
	res, err := http.ReadResponse(answers, nil)
	for err == nil && res.StatusCode == http.StatusContinue {
		res, err = http.ReadResponse(answers, nil)
	}
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func TestAttack_Signatures(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployVoice("calls", voiceSecret)
	g.deployVoice("others", otherSecret)
	g.deployVoice("unset", "")
	const path = "/fn/calls/ice"
	const text = `{"event":"ice","callid":"c-%d"}`
	n := 0
	fresh := func() voiceCall { n++; return callback(path, fmt.Sprintf(text, n)) }
	with := func(change func(*voiceCall)) string { // changed before it is signed
		c := fresh()
		change(&c)
		return c.signed()
	}
	after := func(change func(*voiceCall)) string { // changed when it is
		c := fresh()
		authorization, stamp := c.sign()
		change(&c)
		return c.request(authorization, stamp)
	}
	shown := func(change func(authorization string) string, more ...string) string {
		c := fresh()
		authorization, stamp := c.sign()
		return c.request(change(authorization), stamp, more...)
	}
	once := fresh().signed()
	moved := fresh()
	moved.path = "/fn/others/ice"
	unsignedKey := g.basic
	for _, tc := range []struct {
		name, function, request string
		status                  int
		runs                    bool
	}{
		{"signed", "calls", once, 200, true},
		{"the same again", "calls", once, 401, false},
		{"not signed", "calls", "POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 401, false},
		{"with an access key instead", "calls", shown(func(string) string { return unsignedKey }), 401, false},
		{"with an access key beside", "calls", shown(func(a string) string { return a }, "X-API-Key: "+g.key["POSTERN_KEY_SECRET"]+"\r\n"), 200, true},
		{"four minutes old", "calls", with(func(c *voiceCall) { c.at = c.at.Add(-4 * time.Minute) }), 200, true},
		{"stale", "calls", with(func(c *voiceCall) { c.at = c.at.Add(-6 * time.Minute) }), 401, false},
		{"of the future", "calls", with(func(c *voiceCall) { c.at = c.at.Add(6 * time.Minute) }), 401, false},
		{"another body", "calls", after(func(c *voiceCall) { c.body = strings.Replace(c.body, "c-", "d-", 1) }), 401, false},
		{"a byte more", "calls", after(func(c *voiceCall) { c.body += " " }), 401, false},
		{"no body any more", "calls", after(func(c *voiceCall) { c.body = "" }), 401, false},
		{"signed without a body", "calls", with(func(c *voiceCall) { c.body = "" }), 400, false}, // let in, and no callback
		{"another path of the same handler", "calls", after(func(c *voiceCall) { c.path = "/fn/calls/x/ice" }), 401, false},
		{"a double slash", "calls", after(func(c *voiceCall) { c.path = "/fn/calls//ice" }), 401, false},
		{"the path with an escape, signed decoded", "calls", after(func(c *voiceCall) { c.path = "/fn/calls/%69ce" }), 200, true},
		{"the path with an escaped slash", "calls", after(func(c *voiceCall) { c.path = "/fn/calls%2fice" }), 400, false},
		{"below the function's own address", "calls", with(func(c *voiceCall) { c.path = "/ice" }), 404, false},
		{"another method", "calls", after(func(c *voiceCall) { c.method = "PUT" }), 401, false},
		{"another content type", "calls", after(func(c *voiceCall) { c.kind = "text/plain" }), 401, false},
		{"by the key of another function", "calls", with(func(c *voiceCall) { c.secret = otherSecret }), 401, false},
		{"to another function", "others", after(func(c *voiceCall) { c.path = "/fn/others/ice" }), 401, false},
		{"signed for another function by the wrong key", "others", moved.signed(), 401, false},
		{"to a function without a secret", "unset", with(func(c *voiceCall) { c.path = "/fn/unset/ice" }), 401, false},
		{"the scheme in another case", "calls", shown(func(a string) string { return "aPPlication" + a[len("application"):] }), 200, true},
		{"the scheme twice", "calls", shown(func(a string) string { return "application " + a }), 401, false},
		{"a tab after the scheme", "calls", shown(func(a string) string { return strings.Replace(a, " ", "\t", 1) }), 401, false},
		{"two spaces after the scheme", "calls", shown(func(a string) string { return strings.Replace(a, " ", "  ", 1) }), 401, false},
		{"without padding", "calls", shown(func(a string) string { return strings.TrimSuffix(a, "=") }), 401, false},
		{"more padding", "calls", shown(func(a string) string { return a + "=" }), 401, false},
		{"a MiB in the header", "calls", shown(func(a string) string { return a + strings.Repeat("a", 1<<20) }), 431, false},
		{"half a MiB of it", "calls", shown(func(a string) string { return a + strings.Repeat("a", 8<<10) }), 401, false},
		{"bad UTF-8 in the header", "calls", shown(func(a string) string { return a + "\xff" }), 401, false},
		{"two Authorization headers", "calls", shown(func(a string) string { return a }, "Authorization: Basic x\r\n"), 400, false},
		{"two timestamps", "calls", shown(func(a string) string { return a }, "X-Timestamp: 2026-01-02T03:04:05Z\r\n"), 401, false},
		{"two content types", "calls", shown(func(a string) string { return a }, "Content-Type: text/plain\r\n"), 401, false},
		{"a body above the limit", "calls", with(func(c *voiceCall) { c.body = strings.Repeat(" ", 6<<20+1) }), 413, false},
		{"an open handler's name in the query", "calls", after(func(c *voiceCall) { c.path = path + "?x=/health" }), 200, true}, // nobody signs it
	} {
		tried(t, tc.name, "")
		before := g.voiceRan(tc.function)
		status, body := g.exchange(tc.request)
		if ran := g.voiceRan(tc.function) - before; status != tc.status || (ran == 1) != tc.runs || ran > 1 {
			t.Errorf("%s: %d %s, ran %d times; want %d", tc.name, status, body, ran, tc.status)
		}
		if status == 401 && !strings.Contains(body, `"signature_required"`) {
			t.Errorf("%s: the refusal differs: %s", tc.name, body)
		}
	}
}

// The handler gets the bytes that were verified, however they came.
func TestCallback_VerifiedBytes(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployVoice("calls", voiceSecret)
	for name, body := range map[string]string{"small": `{"a":1}`, "of 200 KiB": `{"a":"` + strings.Repeat("x", 200<<10) + `"}`, "not quite a frame": `{"a":"` + strings.Repeat("x", 64<<10-9) + `"}`} {
		want := fmt.Sprintf(`"sum":"%x"`, sha256.Sum256([]byte(body)))
		c := callback("/fn/calls/ice", body)
		if status, got := g.exchange(c.signed()); status != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s; want %s", name, status, got, want)
		}
		c.at = c.at.Add(time.Second)
		authorization, stamp := c.sign()
		half := len(body) / 2
		chunked := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\nAuthorization: %s\r\nX-Timestamp: %s\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
			c.path, c.kind, authorization, stamp, half, body[:half], len(body)-half, body[half:])
		if status, got := g.exchange(chunked); status != 200 || !strings.Contains(got, want) {
			t.Errorf("%s, in chunks: %d %s", name, status, got)
		}
	}
}

// A callback whose handler failed may come again, byte for byte; one that was
// answered may not.
func TestCallback_FailedComesAgain(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployVoice("calls", voiceSecret)
	request := callback("/fn/calls/notify", `{"event":"notify"}`).signed()
	for try, want := range []int{500, 200, 401, 401} {
		if status, body := g.exchange(request); status != want {
			t.Errorf("try %d: %d %s, want %d", try, status, body, want)
		}
	}
	if n := g.voiceRan("calls"); n != 1 {
		t.Errorf("it ran %d times to its end", n)
	}
	var refused struct{ RequestID string }
	_, body := g.exchange(request)
	if err := json.Unmarshal([]byte(body), &refused); err != nil {
		t.Fatal(body, err)
	}
	if why := g.must("explain", refused.RequestID); !strings.Contains(why, "the callback was taken before") {
		t.Errorf("the owner is not told why: %s", why)
	}
	if log := g.log(); strings.Contains(log, voiceSecret) {
		t.Errorf("the log tells the secret: %s", log)
	}
}

// Of one callback sent many times at once, one runs.
func TestCallback_OnceOfMany(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployVoice("calls", voiceSecret)
	request := callback("/fn/calls/ice", `{"event":"ice"}`).signed()
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{} // guarded by mu
	for range 30 {
		wg.Go(func() {
			status := g.raw(request)
			mu.Lock()
			statuses[status]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if n := g.voiceRan("calls"); n != 1 || statuses[200] != 1 || statuses[401] != 29 {
		t.Errorf("it ran %d times: %v", n, statuses)
	}
}
