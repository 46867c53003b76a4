package audit

import (
	"net/netip"

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
	// From is from where callers may come; empty: from anywhere.
	From []netip.Prefix
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
