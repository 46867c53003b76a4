package platform

import "time"

// KeyState is how an access key stands at a time.
type KeyState string

// The states of a key, of which it has one.
const (
	KeyLive     KeyState = "live"
	KeyExpiring KeyState = "expiring" // it is live, and ends within ExpiringWithin
	KeyExpired  KeyState = "expired"
	KeyRevoked  KeyState = "revoked" // whether it would have expired or not
)

// ExpiringWithin is how long before its end a key is told of as expiring.
const ExpiringWithin = 30 * 24 * time.Hour

// StateAt is how the key stands at a time.
func (k AccessKey) StateAt(t time.Time) KeyState {
	switch {
	case !k.RevokedAt.IsZero():
		return KeyRevoked
	case !k.LiveAt(t):
		return KeyExpired
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(t.Add(ExpiringWithin)):
		return KeyExpiring
	}
	return KeyLive
}

// KeyQuery says which access keys of a project are wanted. The zero value asks
// for those that people made and that are not revoked, oldest first.
type KeyQuery struct {
	// Text is a part of the display name, whatever its case, or the beginning of
	// the ID, prefix included. It is literal; what no name can have finds nothing.
	Text string
	// State is that at Now; empty: all but revoked keys. Live keys are those that
	// expire soon, too.
	State     KeyState
	Now       time.Time
	Functions bool   // those that functions were given, too
	Plans     bool   // only those of service plans
	Newest    bool   // first; the order is that of IDs
	After     string // the ID of the last key of the page before
	Limit     int
}
