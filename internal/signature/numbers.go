package signature

import (
	"crypto/sha1"
	"hash"
)

// Numbers is the scheme of Numbers callbacks: X-Sinch-Signature.
//
// It signs the body and no time. What protects from a replay is the memory
// alone: the very same body, and with it the same eventId, is taken once in
// Config.Keep. A copy that is kept for longer is taken again; a handler for
// which that matters keeps the event IDs it has seen (Verdict.ID).
func Numbers() Scheme { return numbers{} }

type numbers struct{}

func (numbers) Name() string           { return "numbers" }
func (numbers) hash() func() hash.Hash { return sha1.New }

func (numbers) key(secret string) (key, error) { return key{secret: []byte(secret)}, nil }

func (numbers) read(r *Request) (c claim, err error) {
	text, err := one(r, "X-Sinch-Signature")
	if err != nil {
		return c, err
	}
	sum, good := canonicalHex(text, sha1.Size)
	if !good {
		return c, ErrMalformed
	}
	return claim{idMember: "eventId", contents: []content{{body: r.Body}}, proofs: []proof{{sum: sum}}}, nil
}
