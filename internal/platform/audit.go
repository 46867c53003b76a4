package platform

import "time"

// AuditEvent is one decision, or many alike: who asked at which door for what,
// and what was said. It holds no secret and no part of a request's body, query
// or header.
type AuditEvent struct {
	ID string // "evt_" + lower-case ULID of At; sorts by time
	At time.Time
	// ProjectID is whose log the event is in; empty where no project is known,
	// as when no function answers at an address.
	ProjectID string
	Door      Door
	Action    string // the operation's ID; "invoke" at the gateway
	Target    string // what it was done to, such as functions/orders; at the gateway the function's slug
	Outcome   Outcome
	Code      string // the problem's code; empty when allowed
	Status    int    // the answer's
	KeyID     string // of a recognised key of the project; else empty
	Method    string // how the credential was shown
	RequestID string
	Remote    string // the peer's address and port
	// Count is how many decisions the event stands for: 1, or more where a
	// flood was summed up.
	Count  int64
	Detail map[string]string
}

// Door is where a request came in.
type Door string

// The doors.
const (
	DoorControl Door = "control"
	DoorGateway Door = "gateway"
	DoorToken   Door = "token"
)

// Outcome is what became of a request.
type Outcome string

// The outcomes.
const (
	OutcomeAllowed Outcome = "allowed" // and done
	OutcomeRefused Outcome = "refused" // nothing was done
	OutcomeFailed  Outcome = "failed"  // allowed, and not done or only in part
)

// AuditFilter says which events are wanted; a zero field asks for nothing.
type AuditFilter struct {
	Since     time.Time // at or after
	Until     time.Time // before
	KeyID     string
	Action    string
	Outcome   Outcome
	Code      string
	RequestID string
	Without   []string // actions that are not wanted
	// Text is a part of action, target, who or code, whatever its case, or of the
	// name of a key or user of NamesOf. It is literal.
	Text    string
	NamesOf []string // the projects whose names may be found
	From    string   // no event with an ID before this
}

// Named is what the ID of an access key or of a user stands for now.
type Named struct {
	Name      string
	ProjectID string
	State     KeyState // a user is live, or revoked once removed
}
