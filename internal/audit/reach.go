package audit

import (
	"net/netip"
	"time"

	"postern.dev/postern/internal/platform"
)

// Door names what of a function, or of an upstream, is guarded in one way: a
// route, or all addresses of a handler that is found by its name.
type Door struct {
	Of      string // the function or the upstream
	Handler string // empty: the answer that is built in
	Pattern string // of a route; empty: the handler is found by its name
}

// Reaching asks which keys open which doors of a project.
type Reaching struct {
	ProjectID string
	// CallerID is the project of whoever asks; keys of others than these two are none.
	CallerID string
	Doors    []Door
	Keys     []platform.AccessKey // as they are stored
	// Remote is the address and port that they are used from; empty: one that
	// key and door both take, where there is one.
	Remote string
}

// Reach is what becomes of a key at a door, before any limit.
type Reach struct {
	Opens  bool
	Reason Reason
	Why    string
	// From is from where callers may come, the first few of it, and More how many
	// networks there are beyond; empty: from anywhere.
	From []netip.Prefix
	More int
}

// Reason says in a word what decided.
type Reason string

// The reasons. Of the first two a door opens.
const (
	ReasonKey        Reason = "key"        // the key does
	ReasonOpen       Reason = "open"       // nobody is asked
	ReasonSignature  Reason = "signature"  // of its sender; no key is looked at, so none opens it
	ReasonEnded      Reason = "ended"      // the key has expired or was revoked
	ReasonCredential Reason = "credential" // it cannot be shown in a way that the door takes
	ReasonScope      Reason = "scope"
	ReasonProject    Reason = "project"
	ReasonGroup      Reason = "group"
	ReasonAddress    Reason = "address"
	ReasonPrivate    Reason = "private" // other functions of the project alone may call
	ReasonShut       Reason = "shut"    // the policy does not fit
	ReasonUnknown    Reason = "unknown" // the gateway does not know the door, or the key
)

// Rate is one of the rates of a project's doors, with what is used of it now.
type Rate struct {
	Doors []Door // that share it
	Limit platform.RateLimit
	// Left is what a rate for all callers together still allows at once, and Reset
	// how long it takes until all is there again.
	Left  int64
	Reset time.Duration
	// Callers have taken of a rate that each of them has for themselves, lately; and
	// Spent of these have nothing left.
	Callers, Spent int
}

// KeyUse is what is used now of the limits of a key; nil: it has no such limit.
type KeyUse struct {
	RateLeft, QuotaLeft *int64
}
