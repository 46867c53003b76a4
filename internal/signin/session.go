package signin

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"postern.dev/postern/internal/platform"
)

const (
	// Lifetime is how long a session is good at most, and Idle how long without
	// a request.
	Lifetime = 12 * time.Hour
	Idle     = time.Hour
	// renewEvery is how often a session that is in use is written again.
	renewEvery = 5 * time.Minute
	// leeway is how far another node's clock may be ahead.
	leeway = 5 * time.Second
)

// Session is one sign-in. Its ID is new each time, and chosen here alone: a
// value from before a sign-in is worth nothing after it.
type Session struct {
	id          [32]byte
	began, seen int64 // Unix seconds
}

// A sealed session: a version, when it began, when it was seen last, its ID,
// and the signature over these. The length is a multiple of three, so its text
// has no padding and no spare bits.
const (
	version    = 1
	signedLen  = 1 + 8 + 8 + 32
	sessionLen = signedLen + 32
)

// Begin makes a session.
func Begin(now time.Time) Session {
	s := Session{began: now.Unix(), seen: now.Unix()}
	rand.Read(s.id[:])
	return s
}

// Seal is the value of the session's cookie.
func (p *Pair) Seal(s Session) string {
	b := make([]byte, 0, sessionLen)
	b = append(b, version)
	b = binary.BigEndian.AppendUint64(b, uint64(s.began))
	b = binary.BigEndian.AppendUint64(b, uint64(s.seen))
	b = append(b, s.id[:]...)
	return encoding.EncodeToString(append(b, p.sign("session", b)...))
}

// Open is the session of a cookie's value, if it is one of this pair and has
// not ended by itself. Whether it was ended is not known here.
func (p *Pair) Open(value string, now time.Time) (s Session, ok bool) {
	if len(value) != encoding.EncodedLen(sessionLen) {
		return Session{}, false
	}
	b, err := encoding.DecodeString(value)
	if err != nil || len(b) != sessionLen || b[0] != version {
		return Session{}, false
	}
	if subtle.ConstantTimeCompare(p.sign("session", b[:signedLen]), b[signedLen:]) != 1 {
		return Session{}, false
	}
	s.began, s.seen = int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint64(b[9:]))
	copy(s.id[:], b[17:])
	return s, s.Left(now) > 0 && now.Add(leeway).Unix() >= s.seen
}

// Left is how long the session is good for if it is not used.
func (s Session) Left(now time.Time) time.Duration {
	end := min(s.began+int64(Lifetime/time.Second), s.seen+int64(Idle/time.Second))
	return time.Duration(end-now.Unix()) * time.Second
}

// Renewed is the session as seen now; ok is false while the difference is not
// worth a cookie.
func (s Session) Renewed(now time.Time) (next Session, ok bool) {
	if now.Unix()-s.seen < int64(renewEvery/time.Second) {
		return s, false
	}
	s.seen = now.Unix()
	return s, true
}

// Token is the session in the list of what was revoked.
func (s Session) Token() platform.RevokedToken {
	return platform.RevokedToken{ID: "ses_" + encoding.EncodeToString(s.id[:]), ExpiresAt: time.Unix(s.began, 0).Add(Lifetime).UTC()}
}
