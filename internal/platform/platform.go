// Package platform holds the nouns of Postern and their rules: projects, access
// keys, functions, deployments, handlers and guards, and the change log that
// tells gateways about them.
//
// It imports the standard library only and does nothing: no I/O, no clock, no
// randomness. Behaviour lives in the packages named after what they do.
package platform

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"
)

// Project is the unit of tenancy: it owns keys and functions, and a credential
// of one project never reaches anything of another.
type Project struct {
	ID        string // "prj_" + lower-case ULID
	Name      string
	CreatedAt time.Time
}

// Scope is what a key may be used for. A key for invoking is no key for
// controlling; a key that may do both carries both.
type Scope string

const (
	ScopeInvoke  Scope = "invoke"  // open guarded handlers at the gateway
	ScopeControl Scope = "control" // use the control-plane API of its project
)

// AccessKey is one credential of a project. The secret itself is never kept:
// only its SHA-256, which is enough because secrets are 256-bit random
// (docs/decisions/0004-key-format-and-fast-hash.md).
type AccessKey struct {
	ID          string // "pak_" + lower-case ULID
	ProjectID   string
	DisplayName string // unique among the live keys of its project
	SecretHash  [sha256.Size]byte
	Scopes      []Scope
	// FunctionID is set on the key that the platform mints for a deployment
	// and gives to the function itself; empty on keys that people made.
	FunctionID   string
	AllowedCIDRs []netip.Prefix // empty: any address
	// RatePerSecond is the sustained number of requests a second this key may
	// make, with a burst of as many; 0 means no limit of its own.
	RatePerSecond int
	CreatedAt     time.Time
	ExpiresAt     time.Time // zero: never
	RevokedAt     time.Time // zero: live
}

// LiveAt reports whether the key is neither revoked nor expired at t. A key is
// dead at the very instant of its expiry.
func (k *AccessKey) LiveAt(t time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || t.Before(k.ExpiresAt))
}

// Function is a named thing that answers requests. Its ID and slug are stable
// over deploys.
type Function struct {
	ID        string // "fn-" + lower-case ULID
	ProjectID string
	Name      string // unique in its project
	Slug      string // unique on the installation; the address
	// ActiveDeploymentID is the deployment that serves; empty before the first.
	ActiveDeploymentID string
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// Deployment is one immutable version of a function: an artefact and what its
// module declared when it was smoke-tested. What was deployed is what runs.
type Deployment struct {
	ID          string // "dep_" + lower-case ULID
	FunctionID  string
	ProjectID   string
	Number      int    // 1, 2, 3 … within the function
	Artefact    string // hex SHA-256 of the artefact archive
	Runtime     string // "node"
	Declaration Declaration
	Handlers    []Handler         // the declaration with guards decided
	Variables   map[string]string // the manifest's plain variables
	// KeyID names the access key that the function itself is given;
	// SealedKeySecret is that key's secret, sealed (package secret).
	KeyID           string
	SealedKeySecret []byte
	CreatedAt       time.Time
}

// Guard says how calls to a handler are checked before it may run. The zero
// value is GuardKey: what nobody decided is closed.
type Guard uint8

const (
	GuardKey       Guard = iota // an access key of the project with ScopeInvoke
	GuardOpen                   // nobody is asked
	GuardSignature              // a provider's signature over the request
)

// HandlerKind says by which rule requests find a handler.
type HandlerKind uint8

const (
	HandlerCustom   HandlerKind = iota // last path segment equals its name
	HandlerRoot                        // GET / : the export "home" or a default function
	HandlerService                     // /webhook/<service> for the export <service>Webhook
	HandlerCallback                    // ice, ace, pie, dice, notify on any path
)

// BodyMode says how a handler takes its request body.
type BodyMode uint8

const (
	BodyBuffered BodyMode = iota // read whole and parsed before the handler runs
	BodyStream                   // handed over as a stream while it arrives
)

// Handler is one routable export of a function, with how it is guarded. It is
// recorded at deploy time; a worker that later reports another set is refused.
type Handler struct {
	Name      string
	Kind      HandlerKind
	Guard     Guard
	Body      BodyMode
	BodyLimit int64         // bytes; 0 means the gateway's default
	Timeout   time.Duration // 0 means the gateway's default
}

// ChangeKind names what a change is about.
type ChangeKind string

const (
	ChangeKey      ChangeKind = "key"      // an access key was made, altered or revoked
	ChangeFunction ChangeKind = "function" // a function was made, switched or deleted
)

// Change is one row of the ordered change log. Seq grows by one for each row;
// a reader that sees a gap reloads everything.
type Change struct {
	Seq  int64
	Kind ChangeKind
	ID   string // the key's or function's ID
	At   time.Time
}

// Declaration is what a module says of itself when it is loaded: its routable
// exports and its auth export. It is taken by the smoke test of a deploy and
// compared with what every later worker reports.
type Declaration struct {
	Handlers []DeclaredHandler // sorted by name
	Auth     AuthDeclaration
}

// DeclaredHandler is one routable export as the runtime found it.
type DeclaredHandler struct {
	Name string
	Kind HandlerKind
}

// AuthDeclaration is a module's auth export. The zero value says that there is none.
type AuthDeclaration struct {
	Present bool
	All     bool     // export const auth = '*'
	Names   []string // export const auth = [...], in the order written
}

// Equal reports whether two declarations say the same.
func (d Declaration) Equal(o Declaration) bool {
	return slices.Equal(d.Handlers, o.Handlers) && d.Auth.Present == o.Auth.Present &&
		d.Auth.All == o.Auth.All && slices.Equal(d.Auth.Names, o.Auth.Names)
}

// DeployInput is everything that one deploy writes.
type DeployInput struct {
	// Function needs ID, ProjectID and Name. A new function gets its slug here:
	// its name where that is free on the installation, else with a short suffix.
	Function   Function
	Deployment Deployment // Number is given here
	Key        AccessKey  // the function's own
	// ExpectActive is the deployment that the deploy means to replace; empty
	// for the first. When another is active the deploy has been raced.
	ExpectActive string
	// OldKeyExpiresAt is when the keys of earlier deployments end; their calls
	// in flight may use them until then.
	OldKeyExpiresAt time.Time
}

// DeployResult is what a deploy wrote.
type DeployResult struct {
	Function   Function
	Deployment Deployment
	Seq        int64
}
