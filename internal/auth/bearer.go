package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
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
	projectID  string
	audience   []string
	expires    time.Time
	generation int
	invoke     bool
	control    bool
	jkt, x5t   string

	key     *Key      // nil: of another issuer
	again   time.Time // of another issuer: when to verify it again
	signing *token.KeySet
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

// good checks what may change while a token is in memory.
func (t *Token) good(d *Directory, now time.Time) error {
	switch {
	case t.key != nil && (!t.key.live(now) || !t.key.honours(t.generation, now)), d.revoked.has(t.id):
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

// revoked are the tokens that were ended one by one.
type revoked struct {
	mu  sync.Mutex // of writers
	ids atomic.Pointer[map[string]time.Time]
}

func (r *revoked) has(id string) bool {
	ids := r.ids.Load()
	if ids == nil {
		return false
	}
	_, ok := (*ids)[id]
	return ok
}

// add adds tokens, and forgets those that have expired meanwhile.
func (r *revoked) add(now time.Time, tokens []platform.RevokedToken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[string]time.Time{}
	if old := r.ids.Load(); old != nil {
		next = maps.Clone(*old)
		maps.DeleteFunc(next, func(_ string, expires time.Time) bool { return expires.Add(leeway).Before(now) })
	}
	for _, t := range tokens {
		next[t.ID] = t.ExpiresAt
	}
	r.ids.Store(&next)
}
