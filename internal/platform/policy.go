package platform

import "time"

// Policy is what the operator of a project has decided above what its functions
// say of themselves. It is one document, applied as a whole.
type Policy struct {
	ProjectID string
	// ParentProjectID is the parent of its project, where that is a subproject;
	// known of policies that are in force only.
	ParentProjectID string
	Number          int    // 1, 2, 3 … within the project
	Document        []byte // as it was applied; of policies in force it is left out
	Functions       []FunctionPolicy
	Groups          []GroupPolicy
	Upstreams       []Upstream
	AppliedAt       time.Time
	AppliedBy       string // the ID of the key
}

// ActiveFunction is a function with what of it serves.
type ActiveFunction struct {
	Function   Function
	Deployment Deployment
	Candidate  *Deployment // that which gets a part of the calls; nil: none does
}

// ListedFunction is a function as a list has it.
type ListedFunction struct {
	ActiveFunction
	Newest int // the number of its last deployment, whether that serves or not
}

// Serving lists the deployments that get calls.
func (f *ActiveFunction) Serving() []Deployment {
	if f.Candidate == nil {
		return []Deployment{f.Deployment}
	}
	return []Deployment{f.Deployment, *f.Candidate}
}

// PolicyApply is an apply as it is asked for.
type PolicyApply struct {
	ProjectID string
	// Expect is the number that must be in force; 0: none, below 0: any.
	Expect int
	At     time.Time
	DryRun bool     // do all of it, and take it back
	KeyIDs []string // that the policy names
}

// PolicyState is what an apply finds, and must fit.
type PolicyState struct {
	Current   *Policy // nil: the project has none
	Functions []ActiveFunction
	Upstreams []Upstream  // their IDs, names and slugs alone
	Keys      []AccessKey // the live keys that a policy made, and those that the new one names
}

// PolicyInput is everything that one apply writes.
type PolicyInput struct {
	// Policy needs no Number. An upstream needs an ID for the case that there is
	// none of its name yet; its slug is given here.
	Policy Policy
	// Keys are the keys that the policy makes, with their digests. One that it
	// made before and that is not among them is revoked.
	Keys []AccessKey
}

// PolicyResult is what an apply wrote.
type PolicyResult struct {
	Policy Policy
	// Unchanged says that document and keys are what they were, and nothing was
	// written.
	Unchanged bool
	Seq       int64
}

// FunctionPolicy governs the function of a name. It names handlers and routes
// exactly and none of its own, so that what is matched at a request is the
// function's table and nothing else.
type FunctionPolicy struct {
	Name       string
	Visibility Visibility `json:",omitempty"`
	// Rule is over all handlers; it loosens nothing.
	Rule     Rule
	Handlers []Governed `json:",omitempty"` // by name, with all routes of the handler
	Routes   []Governed `json:",omitempty"` // by pattern, letter for letter
}

// Governed is a rule over one handler or route.
type Governed struct {
	Name  string
	Guard *Guard `json:",omitempty"` // nil: as the function says; GuardOpen loosens
	Rule
}

// GroupPolicy is what all routes of a group share.
type GroupPolicy struct {
	Name string
	Rule
}

// Upstream is an HTTP server that callers reach through the gateway's steps as
// they reach a function. It has an address like one: its slug is unique on the
// installation.
type Upstream struct {
	ID         string // "up-" + lower-case ULID; stable while the name is
	ProjectID  string
	Name       string
	Slug       string
	URL        string // "http://10.0.0.5:9000/base"; https too
	Visibility Visibility
	// Routes are all that callers reach of it. A route that is not open asks
	// for a key.
	Routes []UpstreamRoute
	// PreserveHost sends the caller's Host on, instead of that of URL.
	PreserveHost bool `json:",omitempty"`
	// ConnectTimeout bounds how long it may take until a connection stands; 0: 5 s.
	ConnectTimeout time.Duration `json:",omitempty"`
	// Retries is how often a request without a body that may be repeated (RFC
	// 9110 §9.2.2) is sent again when nothing of an answer has come; at most 5.
	Retries int `json:",omitempty"`
	// MaxInFlight bounds the requests that wait for it; 0: 1,000.
	MaxInFlight int `json:",omitempty"`
	Breaker     Breaker
	WebSocket   *WebSocketPolicy `json:",omitempty"` // nil: upgrades are refused
}

// UpstreamRoute is an address of an upstream.
type UpstreamRoute struct {
	Pattern string // as of a manifest's route
	Guard   Guard
	Rule
}

// Breaker stops asking a server that does not answer. The zero value takes the
// defaults that stand beside its fields.
type Breaker struct {
	Failures int           `json:",omitempty"` // 5: of so many one after another it opens
	Open     time.Duration `json:",omitempty"` // 10 s: then one request tries
}

// WebSocketPolicy is who may open a WebSocket, and how large a message may be.
type WebSocketPolicy struct {
	Origins      []string      `json:",omitempty"` // beside the own one; "*": any
	MessageLimit int64         `json:",omitempty"` // bytes; 0: 1 MiB
	Idle         time.Duration `json:",omitempty"` // 10 min: after so long without a message it is closed
}
