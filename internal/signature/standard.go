package signature

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"hash"
	"strings"
)

// Standard is the scheme of Standard Webhooks: webhook-id, webhook-timestamp
// and webhook-signature, in which there may be several: v1 is an HMAC, with a
// secret in base64 (whsec_…), v1a Ed25519, with a public key (whpk_…). Versions
// that are not known are passed over.
func Standard() Scheme { return standard{} }

// standard signs ID, time and body, with dots between.
type standard struct{}

func (standard) Name() string           { return "standard-webhooks" }
func (standard) hash() func() hash.Hash { return sha256.New }

func (standard) key(secret string) (k key, err error) {
	if strings.HasPrefix(secret, "whsk_") {
		return k, errors.New("it is a private key, which is the sender's alone; the public one begins with whpk_")
	}
	if text, ok := strings.CutPrefix(secret, "whpk_"); ok {
		k.public, err = lenientBase64(text)
		if err == nil && len(k.public) != ed25519.PublicKeySize {
			err = errors.New("it is no Ed25519 public key")
		}
		return k, err
	}
	k.secret, err = lenientBase64(strings.TrimPrefix(secret, "whsec_"))
	return k, err
}

func (standard) read(r *Request) (c claim, err error) {
	id, err1 := one(r, "Webhook-Id")
	stamp, err2 := one(r, "Webhook-Timestamp")
	list, err3 := one(r, "Webhook-Signature")
	if err = cmp.Or(err1, err2, err3); err != nil {
		return c, err
	}
	at, timed := unixSeconds(stamp)
	if !timed || !isUndotted(id) {
		return c, ErrMalformed
	}
	c = claim{at: at, id: id, contents: []content{{head: id + "." + stamp + ".", body: r.Body}}}
	for part := range strings.SplitSeq(list, " ") {
		version, text, _ := strings.Cut(part, ",")
		p, good := proof{}, true
		switch version {
		case "v1":
			p.sum, good = canonicalBase64(text, sha256.Size)
		case "v1a":
			p.public = true
			p.sum, good = canonicalBase64(text, ed25519.SignatureSize)
		case "":
			return c, ErrMalformed
		default:
			continue
		}
		if c.proofs = append(c.proofs, p); !good || len(c.proofs) > maxProofs {
			return c, ErrMalformed
		}
	}
	if len(c.proofs) == 0 {
		return c, ErrMalformed
	}
	return c, nil
}
