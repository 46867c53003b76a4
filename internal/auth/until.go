package auth

import "time"

// Until is the next moment at which what was said of a principal may end without
// any change that is told of: its key or its token expires, the grace of a secret
// that was rotated is over, or another issuer or a session has to be asked again. Zero: never.
func (p Principal) Until(now time.Time) (until time.Time) {
	at := func(t time.Time) {
		if t.After(now) && (until.IsZero() || t.Before(until)) {
			until = t
		}
	}
	if k := p.Key; k != nil {
		at(k.ExpiresAt())
		if m := k.rest(); m.previousUntil != 0 {
			at(time.UnixMicro(m.previousUntil))
		}
	}
	if t := p.Token; t != nil {
		at(t.expires)
		if t.issuer != "" {
			at(now.Add(foreignFor))
		}
	}
	if p.Method == MethodSession {
		at(now.Add(sessionFor))
	}
	return until
}

// Generation is which of its key's secrets the principal goes back to: a token
// that is made for it lives no longer than that. Of a bare secret it is not
// told, and the key's newest is taken.
func (p Principal) Generation() int {
	switch {
	case p.Key == nil:
		return 0
	case p.Token != nil:
		return p.Token.generation
	case p.begun != 0:
		return p.begun
	}
	return int(p.Key.generation)
}
