package signature_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"time"

	"postern.dev/postern/internal/signature"
)

// The senders of this file are written from the protocols, and share nothing
// with what they test.

const (
	secret   = "BeIukql3pTKJ8RGL5zo0DA==" // is base64, and a text
	body     = `{"event":"ice","callid":"c-1","eventId":"e-1"}`
	jsonType = "application/json"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func sum(h func() hash.Hash, secret, message string) []byte {
	m := hmac.New(h, []byte(secret))
	m.Write([]byte(message))
	return m.Sum(nil)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func decoded(secret string) string {
	b, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// sender is one scheme's, with the headers that its signature needs.
type sender struct {
	name    string
	scheme  signature.Scheme
	keyID   string
	headers []string
	timed   bool
	sign    func(secret string, r *signature.Request, at time.Time)
}

func signVoice(word string) func(string, *signature.Request, time.Time) {
	return func(secret string, r *signature.Request, at time.Time) {
		h := http.Header(r.Header)
		digest := ""
		if len(r.Body) > 0 {
			m := md5.Sum(r.Body)
			digest = b64(m[:])
		}
		stamp := at.Format("2006-01-02T15:04:05.000Z")
		text := r.Method + "\n" + digest + "\n" + h.Get("Content-Type") + "\nx-timestamp:" + stamp + "\n" + r.Path
		h.Set("X-Timestamp", stamp)
		h.Set("Authorization", word+" app:"+b64(sum(sha256.New, decoded(secret), text)))
	}
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

var custom64 = signature.Custom{Name: "shop", Header: "X-Shop-Hmac", Encoding: "base64", TimestampHeader: "X-Shop-Time", Signed: "{body}\n{timestamp}", SecretEncoding: "base64"}

func senders() []sender {
	must := func(d signature.Custom) signature.Scheme {
		s, err := d.Scheme()
		if err != nil {
			panic(err)
		}
		return s
	}
	return []sender{
		{"voice v1", signature.VoiceV1(), "app", []string{"Authorization", "X-Timestamp"}, true, signVoice("application")},
		{"voice v2", signature.VoiceV2(), "app", []string{"Authorization", "X-Timestamp"}, true, signVoice("service")},
		{"conversation", signature.Conversation(), "", []string{"X-Sinch-Webhook-Signature", "X-Sinch-Webhook-Signature-Nonce", "X-Sinch-Webhook-Signature-Timestamp"}, true,
			func(secret string, r *signature.Request, at time.Time) {
				h := http.Header(r.Header)
				h.Set("X-Sinch-Webhook-Signature-Nonce", "01FJ")
				h.Set("X-Sinch-Webhook-Signature-Timestamp", unix(at))
				h.Set("X-Sinch-Webhook-Signature", b64(sum(sha256.New, secret, string(r.Body)+".01FJ."+unix(at))))
			}},
		{"numbers", signature.Numbers(), "", []string{"X-Sinch-Signature"}, false, func(secret string, r *signature.Request, _ time.Time) {
			http.Header(r.Header).Set("X-Sinch-Signature", hex.EncodeToString(sum(sha1.New, secret, string(r.Body))))
		}},
		{"standard webhooks", signature.Standard(), "", []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}, true,
			func(secret string, r *signature.Request, at time.Time) {
				h := http.Header(r.Header)
				h.Set("Webhook-Id", "msg_1")
				h.Set("Webhook-Timestamp", unix(at))
				h.Set("Webhook-Signature", "v1,"+b64(sum(sha256.New, decoded(secret), "msg_1."+unix(at)+"."+string(r.Body))))
			}},
		{"stripe", must(signature.Stripe), "", []string{"Stripe-Signature"}, true, func(secret string, r *signature.Request, at time.Time) {
			http.Header(r.Header).Set("Stripe-Signature", "t="+unix(at)+",v1="+hex.EncodeToString(sum(sha256.New, secret, unix(at)+"."+string(r.Body))))
		}},
		{"github", must(signature.GitHub), "", []string{"X-Hub-Signature-256"}, false, func(secret string, r *signature.Request, _ time.Time) {
			http.Header(r.Header).Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(sha256.New, secret, string(r.Body))))
		}},
		{"slack", must(signature.Slack), "", []string{"X-Slack-Signature", "X-Slack-Request-Timestamp"}, true, func(secret string, r *signature.Request, at time.Time) {
			h := http.Header(r.Header)
			h.Set("X-Slack-Request-Timestamp", unix(at))
			h.Set("X-Slack-Signature", "v0="+hex.EncodeToString(sum(sha256.New, secret, "v0:"+unix(at)+":"+string(r.Body))))
		}},
		{"a custom one", must(custom64), "", []string{"X-Shop-Hmac", "X-Shop-Time"}, true, func(secret string, r *signature.Request, at time.Time) {
			h := http.Header(r.Header)
			h.Set("X-Shop-Time", unix(at))
			h.Set("X-Shop-Hmac", b64(sum(sha256.New, decoded(secret), string(r.Body)+"\n"+unix(at))))
		}},
	}
}

// request is a good one of the sender, made and received at a time.
func (s sender) request(at time.Time) signature.Request {
	r := signature.Request{Method: "POST", Path: "/webhook/x", Header: http.Header{"Content-Type": {jsonType}}, Body: []byte(body), Now: at}
	s.sign(secret, &r, at)
	return r
}

func (s sender) keys(secrets ...string) (keys []signature.Key) {
	for _, text := range secrets {
		keys = append(keys, signature.Key{ID: s.keyID, Secret: signature.NewSecret(text)})
	}
	return keys
}
