package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// Token is a verified access token. It is immutable.
type Token struct {
	id         string
	issuer     string // of another issuer; empty: ours
	subject    string
	packed     [16]byte // of another issuer: the subject's
	projectID  string
	audience   []string
	expires    time.Time
	generation int
	invoke     bool
	control    bool
	jkt, x5t   string

	key     identity  // of another issuer: none
	again   time.Time // of another issuer: when to verify it again
	kid     string    // what signed it, where that is a key of ours
	signing *signing
	sum     [sha256.Size]byte
}

func newToken(d *Directory, c token.Claims) *Token {
	return &Token{id: c.ID, audience: c.Audience, expires: c.ExpiresAt, jkt: c.JKT, x5t: c.X5T, signing: d.signing}
}

// ID is the token's jti.
func (t *Token) ID() string { return t.id }

// Issuer is the issuer, where that is not Postern itself.
func (t *Token) Issuer() string { return t.issuer }

// ExpiresAt is when the token ends, unless its key ends before.
func (t *Token) ExpiresAt() time.Time { return t.expires }

// Audience is for which doors the token is good.
func (t *Token) Audience() []string { return t.audience }

// meant reports whether the token is for one of the audiences. Another issuer's
// token was checked for the audience that is configured for the issuer.
func (t *Token) meant(audiences []string) bool {
	if t.issuer != "" {
		return true
	}
	for _, a := range t.audience {
		if slices.Contains(audiences, a) {
			return true
		}
	}
	return false
}

// good checks what may change while a token is in memory. Of another issuer's
// there is no key.
func (t *Token) good(d *Directory, k *Key, now time.Time) error {
	switch {
	case k != nil && (!k.live(now) || !k.honours(t.generation, now) || t.signing.ended(t.kid, now)), d.revoked.has(t.id):
		return ErrToken
	case !now.Before(t.expires):
		return ErrExpired
	}
	return nil
}

// cacheSlots bounds the memory for verified tokens. A token that falls on a
// taken slot takes it over; then the other one is verified again.
const cacheSlots = 1 << 14

// cache remembers verified tokens by their hash. It takes no lock. Only tokens
// that were good get in, so nobody fills it with rubbish.
type cache struct {
	slots [cacheSlots]atomic.Pointer[Token]
}

func hashToken(raw string) [sha256.Size]byte {
	var buf [maxCached]byte
	if len(raw) > len(buf) {
		return sha256.Sum256([]byte(raw))
	}
	return sha256.Sum256(buf[:copy(buf[:], raw)])
}

// maxCached is the length up to which hashing a token allocates nothing.
const maxCached = 2048

func (c *cache) slot(sum [sha256.Size]byte) *atomic.Pointer[Token] {
	return &c.slots[binary.BigEndian.Uint64(sum[:8])%cacheSlots]
}

func (c *cache) get(sum [sha256.Size]byte) *Token {
	if t := c.slot(sum).Load(); t != nil && t.sum == sum {
		return t
	}
	return nil
}

func (c *cache) put(sum [sha256.Size]byte, t *Token) {
	t.sum = sum
	c.slot(sum).Store(t)
}

// revoked are the tokens that were ended one by one. A tenant may end a great
// many: ending one more costs the same, or all changes would wait for it.
type revoked struct {
	ids   sync.Map // of jti to when the token expires, a time.Time
	mu    sync.Mutex
	swept time.Time // guarded by mu
}

func (r *revoked) has(id string) bool {
	_, ok := r.ids.Load(id)
	return ok
}

// sweepEvery is how often tokens that have expired are forgotten.
const sweepEvery = time.Minute

// add adds tokens, and now and then forgets those that have expired.
func (r *revoked) add(now time.Time, tokens []platform.RevokedToken) {
	for _, t := range tokens {
		r.ids.Store(t.ID, t.ExpiresAt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.swept) < sweepEvery {
		return
	}
	r.swept = now
	r.ids.Range(func(id, expires any) bool {
		if expires.(time.Time).Add(leeway).Before(now) {
			r.ids.Delete(id)
		}
		return true
	})
}
