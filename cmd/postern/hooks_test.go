package main_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
)

// Handlers of all senders, which count themselves; /status, which is open, tells
// the count and who the last caller was.
const hooked = `
export const auth = [];
let ran = 0; let failed = 0; let last: any = null;
const count = (c: any, r: any) => { ran++; last = { identity: r.identity, path: r.path, length: r.rawBody.length }; return {}; };
export const conversationWebhook = count; export const smsWebhook = count; export const numbersWebhook = count; export const voiceWebhook = count;
export const hook = count; export const other = count; export const short = count; export const own = count; export const small = count; export const unset = count;
export const failing = (c: any, r: any) => { if (++failed % 2 === 1) return { statusCode: 503, body: {} }; return count(c, r); };
export const heavy = () => { ran++; return { statusCode: 500, body: 'x'.repeat(300000) }; };
export const status = () => ({ ran, last });
`

const hookedManifest = `{
  "name": %q, "runtime": "node",
  "variables": {"CONVERSATION_WEBHOOK_SECRET": "talk", "NUMBERS_CALLBACK_SECRET": "numbers", "VOICE_SERVICE_ID": "app", "VOICE_SERVICE_SECRET": "BeIukql3pTKJ8RGL5zo0DA==", "S": %q, "OLD": "old", "STD": "whsec_Y2hhbmdlLW1lLXBsZWFzZQ==", "EMPTY": ""},
  "handlers": {"own": {"signature": {"scheme": "custom", "secrets": ["S"], "custom": {"header": "X-Own", "timestampHeader": "X-Own-Time", "signed": "{timestamp}/{body}", "encoding": "base64"}}}},
  "routes": [
    {"path": "POST /stripe", "handler": "hook", "auth": "signature", "signature": {"scheme": "stripe", "secrets": ["S", "OLD"]}},
    {"path": "POST /github", "handler": "hook", "auth": "signature", "signature": {"scheme": "github", "secrets": ["S"]}},
    {"path": "POST /slack/{team}", "handler": "hook", "auth": "signature", "signature": {"scheme": "slack", "secrets": ["S"]}},
    {"path": "POST /standard", "handler": "hook", "auth": "signature", "signature": {"scheme": "standard-webhooks", "secrets": ["STD"]}},
    {"path": "GET /key", "handler": "hook", "auth": "key"},
    {"path": "POST /short", "handler": "short", "auth": "signature", "signature": {"scheme": "stripe", "secrets": ["S"], "window": "30s"}},
    {"path": "POST /small", "handler": "small", "auth": "signature", "bodyLimit": 64, "signature": {"scheme": "stripe", "secrets": ["S"]}},
    {"path": "/any", "handler": "other", "auth": "signature", "signature": {"scheme": "stripe", "secrets": ["S"]}},
    {"path": "POST /unset", "handler": "unset", "auth": "signature", "signature": {"scheme": "stripe", "secrets": ["EMPTY"]}},
    {"path": "POST /failing", "handler": "failing", "auth": "signature", "signature": {"scheme": "github", "secrets": ["S"]}},
    {"path": "POST /heavy", "handler": "heavy", "auth": "signature", "signature": {"scheme": "github", "secrets": ["S"]}}
  ]
}`

// deployHooked deploys the handlers of all senders, whose secret S is that.
func (g *target) deployHooked(name, secret string) (said string) {
	g.Helper()
	return g.deployed(fmt.Sprintf(hookedManifest, name, secret), hooked)
}

// hookStatus is how often handlers of a function ran, and what the last was given.
func (g *target) hookStatus(name string) (ran int, last struct {
	Identity map[string]any
	Path     string
	Length   int
}) {
	g.Helper()
	res, err := g.client.Get(g.gateway + "/fn/" + name + "/status")
	if err != nil {
		g.Fatal(err)
	}
	defer res.Body.Close()
	out := struct {
		Ran  *int
		Last any
	}{&ran, &last}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != 200 {
		g.Fatal(res.Status, err)
	}
	return ran, last
}

func mac(h func() hash.Hash, secret, text string) []byte {
	m := hmac.New(h, []byte(secret))
	io.WriteString(m, text)
	return m.Sum(nil)
}

// hook is a callback before it is sent: whatever a case changes is changed
// before or after it is signed.
type hook struct {
	method, path, body, secret string
	at                         time.Time
	headers                    []string // lines
	chunked, expect            bool
	sign                       func(h *hook) []string
}

func (h *hook) unix() string { return fmt.Sprint(h.at.Unix()) }

// The senders, written from their protocols.
var (
	stripeSigns = func(h *hook) []string {
		return []string{"Stripe-Signature: t=" + h.unix() + ",v1=" + hex.EncodeToString(mac(sha256.New, h.secret, h.unix()+"."+h.body))}
	}
	githubSigns = func(h *hook) []string {
		return []string{"X-Hub-Signature-256: sha256=" + hex.EncodeToString(mac(sha256.New, h.secret, h.body))}
	}
	slackSigns = func(h *hook) []string {
		return []string{"X-Slack-Request-Timestamp: " + h.unix(), "X-Slack-Signature: v0=" + hex.EncodeToString(mac(sha256.New, h.secret, "v0:"+h.unix()+":"+h.body))}
	}
	standardSigns = func(h *hook) []string {
		return []string{"webhook-id: msg_1", "webhook-timestamp: " + h.unix(), "webhook-signature: v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, "change-me-please", "msg_1."+h.unix()+"."+h.body))}
	}
	ownSigns = func(h *hook) []string {
		return []string{"X-Own-Time: " + h.unix(), "X-Own: " + base64.StdEncoding.EncodeToString(mac(sha256.New, h.secret, h.unix()+"/"+h.body))}
	}
	conversationSigns = func(h *hook) []string {
		return []string{"x-sinch-webhook-signature-nonce: 01FJA8", "x-sinch-webhook-signature-timestamp: " + h.unix(), "x-sinch-webhook-signature-algorithm: HmacSHA256",
			"x-sinch-webhook-signature: " + base64.StdEncoding.EncodeToString(mac(sha256.New, "talk", h.body+".01FJA8."+h.unix()))}
	}
	numbersSigns = func(h *hook) []string {
		return []string{"X-Sinch-Signature: " + hex.EncodeToString(mac(sha1.New, "numbers", h.body))}
	}
	voice2Signs = func(h *hook) []string {
		c := voiceCall{h.method, h.path, "application/json", h.body, h.at, voiceSecret}
		authorization, stamp := c.sign()
		return []string{"Authorization: service" + strings.TrimPrefix(authorization, "application"), "X-Timestamp: " + stamp}
	}
)

// text is the request as it is sent.
func (h *hook) text() string {
	lines := append([]string{h.method + " " + h.path + " HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json"}, h.headers...)
	body := h.body
	if h.chunked {
		lines = append(lines, "Transfer-Encoding: chunked")
		body = fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 1, h.body[:1], len(h.body)-1, h.body[1:])
	} else {
		lines = append(lines, fmt.Sprint("Content-Length: ", len(body)))
	}
	if h.expect {
		lines = append(lines, "Expect: 100-continue")
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}
