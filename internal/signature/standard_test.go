package signature_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"postern.dev/postern/internal/signature"
)

// The reference library signs, and what it signed passes here; what our sender
// signs passes there. Each refuses what the other refuses.
func TestStandard_ReferenceLibrary(t *testing.T) {
	t.Parallel()
	lib, err := standardwebhooks.NewWebhook("whsec_" + secret)
	if err != nil {
		t.Fatal(err)
	}
	s := senders()[4]
	at := time.Now().Truncate(time.Second) // the library knows no other clock
	for i, text := range []string{body, "", "{\"a\":\"\xff\"}", strings.Repeat("x", 1<<20), "1.2.3"} {
		id := fmt.Sprint("msg_", i)
		line, err := lib.Sign(id, at, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set(standardwebhooks.HeaderWebhookID, id)
		h.Set(standardwebhooks.HeaderWebhookTimestamp, unix(at))
		h.Set(standardwebhooks.HeaderWebhookSignature, line)
		r := signature.Request{Method: "POST", Path: "/x", Header: h, Body: []byte(text), Now: at}
		if d, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys("whsec_" + secret)}).Verify(t.Context(), &r); err != nil || d.ID != id || !d.At.Equal(at) {
			t.Errorf("signed by the library: %+v, %v", d, err)
		}

		ours := signature.Request{Method: "POST", Path: "/x", Header: http.Header{}, Body: []byte(text), Now: at}
		s.sign(secret, &ours, at)
		if err := lib.Verify(ours.Body, ours.Header); err != nil {
			t.Errorf("signed by us: %v", err)
		}
		s.sign(otherSecret, &ours, at)
		if err := lib.Verify(ours.Body, ours.Header); err == nil {
			t.Error("the library takes another key's")
		}
		if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &ours); err != signature.ErrSignature {
			t.Errorf("another key's: %v", err)
		}
	}
}

func TestStandard_Lists(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	message := "msg_1." + unix(now) + "." + body
	good := "v1," + b64(sum(sha256.New, decoded(secret), message))
	wrong := "v1," + b64(make([]byte, 32))
	ed := b64(ed25519.Sign(private, []byte(message)))
	pub := "whpk_" + b64(public)
	for _, tc := range []struct {
		name, list, secret string
		want               error
	}{
		{"the second of two", wrong + " " + good, secret, nil},
		{"a version to come", "v2,abc " + good, secret, nil},
		{"a version to come, of 5 KiB", "v2," + strings.Repeat("a", 5<<10) + " " + good, secret, signature.ErrMalformed},
		{"none but a version to come", "v2,abc", secret, signature.ErrMalformed},
		{"no version", good[3:], secret, signature.ErrMalformed},
		{"no comma", "v1" + good[3:], secret, signature.ErrMalformed},
		{"two commas", "v1," + good[2:], secret, signature.ErrMalformed},
		{"two spaces", wrong + "  " + good, secret, signature.ErrMalformed},
		{"the version in upper case", "V" + good[1:], secret, signature.ErrMalformed},
		{"a broken one beside a good one", "v1,abc " + good, secret, signature.ErrMalformed},
		{"eight", strings.Repeat(wrong+" ", 7) + good, secret, nil},
		{"nine", strings.Repeat(wrong+" ", 8) + good, secret, signature.ErrMalformed},
		{"public key", "v1a," + ed, pub, nil},
		{"public key, with an HMAC before", wrong + " v1a," + ed, pub, nil},
		{"public key, as an HMAC", "v1," + ed, pub, signature.ErrMalformed},
		{"public key, taken for a secret", "v1," + b64(sum(sha256.New, string(public), message)), pub, signature.ErrSignature},
		{"public key, taken for a text", "v1," + b64(sum(sha256.New, pub, message)), pub, signature.ErrSignature},
		{"an HMAC, as the other version", "v1a," + good[3:], pub, signature.ErrMalformed},
		{"of all zeros", "v1a," + b64(make([]byte, 64)), pub, signature.ErrSignature},
		{"public key's, for a secret", "v1a," + ed, secret, signature.ErrSignature},
	} {
		r := signature.Request{Method: "POST", Path: "/x", Body: []byte(body), Now: now,
			Header: http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {unix(now)}, "Webhook-Signature": {tc.list}}}
		if _, err := verifier(t, signature.Config{Scheme: signature.Standard(), Keys: senders()[4].keys(tc.secret)}).Verify(t.Context(), &r); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestStandard_IDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]error{"msg_1": nil, "é": signature.ErrMalformed, "a b": signature.ErrMalformed, strings.Repeat("a", 256): nil, strings.Repeat("a", 257): signature.ErrMalformed} {
		r := signature.Request{Method: "POST", Path: "/x", Body: []byte(body), Now: now, Header: http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {unix(now)},
			"Webhook-Signature": {"v1," + b64(sum(sha256.New, decoded(secret), id+"."+unix(now)+"."+body))}}}
		if _, err := verifier(t, signature.Config{Scheme: signature.Standard(), Keys: senders()[4].keys(secret)}).Verify(t.Context(), &r); err != want {
			t.Errorf("an ID of %d bytes: %v, want %v", len(id), err, want)
		}
	}
}

// With dots on its sides, an ID or a nonce with a dot inside would let bytes
// move between it and the body.
func TestDotsAreBoundaries(t *testing.T) {
	t.Parallel()
	mac := b64(sum(sha256.New, decoded(secret), "msg.1."+unix(now)+"."+body))
	r := signature.Request{Method: "POST", Path: "/x", Body: []byte(body), Now: now, Header: http.Header{"Webhook-Id": {"msg.1"}, "Webhook-Timestamp": {unix(now)}, "Webhook-Signature": {"v1," + mac}}}
	if _, err := verifier(t, signature.Config{Scheme: signature.Standard(), Keys: senders()[4].keys(secret)}).Verify(t.Context(), &r); err != signature.ErrMalformed {
		t.Errorf("a dot in an ID: %v", err)
	}
	// {"a":1.5}.01FJ.<time>, cut at the dot of the number.
	mac = b64(sum(sha256.New, secret, `{"a":1.5}.01FJ.`+unix(now)))
	r = signature.Request{Method: "POST", Path: "/x", Body: []byte(`{"a":1`), Now: now, Header: http.Header{"X-Sinch-Webhook-Signature": {mac},
		"X-Sinch-Webhook-Signature-Nonce": {"5}.01FJ"}, "X-Sinch-Webhook-Signature-Timestamp": {unix(now)}}}
	if _, err := verifier(t, signature.Config{Scheme: signature.Conversation(), Keys: senders()[2].keys(secret)}).Verify(t.Context(), &r); err != signature.ErrMalformed {
		t.Errorf("a dot in a nonce: %v", err)
	}
}
