package httpx

import "math/rand/v2"

const requestIDAlphabet = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base 32

// NewRequestID returns "req_" and 20 characters of 100 random bits: enough to
// never meet one's double in any log, and cheap enough for each request. It is
// a name, not a secret.
func NewRequestID() string {
	var b [24]byte
	copy(b[:], "req_")
	for _, at := range [2]int{4, 14} {
		for i, n := 0, rand.Uint64(); i < 10; i++ {
			b[at+i] = requestIDAlphabet[n&31]
			n >>= 5
		}
	}
	return string(b[:])
}
