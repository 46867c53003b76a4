package signature

import (
	"cmp"
	"crypto/sha256"
	"hash"
	"strings"
)

// Conversation is the scheme of Conversation and SMS callbacks: the headers
// x-sinch-webhook-signature, -signature-nonce, -signature-timestamp and, if the
// sender says it, -signature-algorithm.
func Conversation() Scheme { return conversation{} }

// conversation signs body, nonce and time, with dots between.
type conversation struct{}

func (conversation) Name() string           { return "conversation" }
func (conversation) hash() func() hash.Hash { return sha256.New }

func (conversation) key(secret string) (key, error) { return key{secret: []byte(secret)}, nil }

func (conversation) read(r *Request) (c claim, err error) {
	text, err1 := one(r, "X-Sinch-Webhook-Signature")
	nonce, err2 := one(r, "X-Sinch-Webhook-Signature-Nonce")
	stamp, err3 := one(r, "X-Sinch-Webhook-Signature-Timestamp")
	algorithm, err4 := optional(r, "X-Sinch-Webhook-Signature-Algorithm")
	if err = cmp.Or(err1, err2, err3, err4); err != nil {
		return c, err
	}
	sum, good := canonicalBase64(text, sha256.Size)
	at, timed := unixSeconds(stamp)
	// The header does not choose the algorithm; it may only name the one there is.
	if !good || !timed || !isUndotted(nonce) || algorithm != "" && !strings.EqualFold(algorithm, "HmacSHA256") {
		return c, ErrMalformed
	}
	signed := content{body: r.Body, tail: "." + nonce + "." + stamp}
	return claim{at: at, id: nonce, contents: []content{signed}, proofs: []proof{{sum: sum}}}, nil
}
