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
// of one project never reaches anything of another. A subproject is a project
// below another one, and has none below itself; the keys of its parent act on
// it as well, its own keys on nothing else.
type Project struct {
	ID        string // "prj_" + lower-case ULID
	Name      string
	ParentID  string            // empty: not a subproject
	Labels    map[string]string // of subprojects; for whoever reads them
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time // zero: there
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
	// Generation counts the secrets that the key has had, from 1. A token
	// carries the generation of the secret that it was got with, and ends with it.
	Generation int
	// PreviousHash is the secret before the last rotation, good until
	// PreviousUntil; a zero time means that there is none.
	PreviousHash  [sha256.Size]byte
	PreviousUntil time.Time
	Scopes        []Scope
	// FunctionID is set on the key that the platform mints for a deployment
	// and gives to the function itself; empty on keys that people made.
	FunctionID string
	// ByPolicy says that a policy made the key, from its digest: a policy alone
	// changes it, but whoever may can revoke it.
	ByPolicy bool
	// ServicePlanID makes the secret the static token of an SMS service plan:
	// it is good as a bearer on paths that name the plan, and for nothing else.
	ServicePlanID string
	Groups        []string       // route groups that it opens; empty: all
	AllowedCIDRs  []netip.Prefix // empty: any address
	// RatePerSecond is the sustained number of requests a second this key may
	// make, with a burst of as many; 0 means no limit of its own.
	RatePerSecond int
	Quota         Quota
	Binding       Binding
	// CertThumbprint is the one client certificate that BindingMTLS accepts
	// (RFC 8705 §3.1, base64url of the SHA-256 of its DER form); empty: any,
	// and the token is bound to that.
	CertThumbprint string
	Metadata       map[string]string // for whoever reads it; never a secret
	CreatedAt      time.Time
	UpdatedAt      time.Time
	ExpiresAt      time.Time // zero: never
	RevokedAt      time.Time // zero: live
	// LastUsedAt and Used are written now and then, and are no part of the
	// change log.
	LastUsedAt time.Time
	Used       Usage
}

// Quota is how many requests a key may make in a period of UTC's calendar. The
// zero value sets none.
type Quota struct {
	Limit int64
	Per   Period
}

// Period is a stretch of the calendar.
type Period string

const (
	PerDay   Period = "day"
	PerMonth Period = "month"
)

// Begin is when the period began in which t lies, in UTC.
func (p Period) Begin(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	if p == PerMonth {
		d = 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// End is when the period ends in which t lies, in UTC.
func (p Period) End(t time.Time) time.Time {
	if p == PerMonth {
		return p.Begin(t).AddDate(0, 1, 0)
	}
	return p.Begin(t).AddDate(0, 0, 1)
}

// Usage is how many requests a key has made since its quota's period began.
type Usage struct {
	Since time.Time
	Count int64
}

// Binding says what a key's tokens are bound to. A bound key opens nothing by
// its bare secret, and who takes one of its tokens from a log or a wire has
// nothing. With the secret itself a thief gets tokens bound to a key of his
// own, unless CertThumbprint names the one certificate.
type Binding string

const (
	BindingNone Binding = ""
	BindingDPoP Binding = "dpop" // to a key of the client's (RFC 9449)
	BindingMTLS Binding = "mtls" // to the client's certificate (RFC 8705)
)

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
	// ParentProjectID is the parent of its project, where that is a subproject;
	// known of active functions only.
	ParentProjectID string
	Name            string // unique in its project
	Slug            string // unique on the installation; the address
	// ActiveDeploymentID is the deployment that serves; empty before the first.
	ActiveDeploymentID string
	// CandidateID is the deployment that gets CandidatePercent of the calls
	// beside the active one; empty: none does.
	CandidateID      string
	CandidatePercent int // 1 to 99 with a candidate, else 0
	CreatedAt        time.Time
	UpdatedAt        time.Time
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
	Variables   map[string]string // plain settings: the manifest's, and over them .env's
	// SecretNames are the secrets that it declares. It gets those of its own
	// function in any case, and what its project shares only where it is named here.
	SecretNames []string
	// RestoredFrom is the number of the deployment that this one is again; 0: it
	// is new.
	RestoredFrom int
	// ActiveAt is when it became the active one; zero: it never was.
	ActiveAt time.Time
	// EndedBecause says why the platform itself ended it as a candidate; empty:
	// it did not.
	EndedBecause string
	Visibility   Visibility
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
	HandlerFile                        // exactly the path of a file in public/; no worker is asked
	HandlerSocket                      // a WebSocket at exactly the path that is its name
)

// BodyMode says how a handler takes its request body.
type BodyMode uint8

const (
	BodyBuffered BodyMode = iota // read whole and parsed before the handler runs
	BodyStream                   // handed over as a stream while it arrives
)

// Handler is one routable export of a function, or a file that it serves, with
// how it is guarded. It is recorded at deploy time; a worker that later reports
// another set is refused.
type Handler struct {
	Name  string // of a file its name in the artefact: "public/logo.png"
	Kind  HandlerKind
	Guard Guard
	Body  BodyMode
	// Loosened says that a policy opened it where it is found by its name: auth
	// none.
	Loosened bool `json:",omitempty"`
	// Rule is that of the addresses where it is found by its name.
	Rule
	// Routes are where it answers, and nowhere else; without any it answers
	// where its kind says.
	Routes []Route `json:",omitempty"`
	File   *File   `json:",omitempty"` // of HandlerFile
}

// File is a file that a function serves, as it is in the artefact.
type File struct {
	Size int64
	Hash string // hex SHA-256
}

// Route is an address of a handler that the manifest names, with how it is
// guarded there.
type Route struct {
	Pattern string // "GET /customers/{customerId}"; without a method any will do
	Guard   Guard
	// Loosened says that the manifest or a policy opened this very route: auth
	// none.
	Loosened bool `json:",omitempty"`
	// Rule is the route's own; where its BodyLimit and Timeout are zero those
	// of the handler hold.
	Rule
}

// ChangeKind names what a change is about.
type ChangeKind string

const (
	ChangeKey      ChangeKind = "key"      // an access key was made, altered or revoked
	ChangeFunction ChangeKind = "function" // a function was made, switched or deleted
	ChangeSigning  ChangeKind = "signing"  // a signing key was made, retired or removed
	ChangeToken    ChangeKind = "token"    // one access token was revoked
	ChangePolicy   ChangeKind = "policy"   // a project's policy was applied; the ID is the project's
	ChangeProject  ChangeKind = "project"  // a subproject was made, altered or deleted; the ID is its parent's
	ChangeSecret   ChangeKind = "secret"   // secrets were changed; the ID is the function's, or that of the project that shares them
)

// Change is one row of the ordered change log. Seq grows by one for each row;
// a reader that sees a gap reloads everything.
type Change struct {
	Seq  int64
	Kind ChangeKind
	ID   string // of the key, the function, the signing key or the token
	At   time.Time
}

// Declaration is what a module says of itself when it is loaded: its routable
// exports and its auth export. It is taken by the smoke test of a deploy and
// compared with what every later worker reports.
type Declaration struct {
	Handlers []DeclaredHandler // sorted by name
	Auth     AuthDeclaration
	Style    Style    `json:",omitempty"`
	Sockets  []string `json:",omitempty"` // the paths of its WebSockets, sorted
}

// Style is how handlers are called.
type Style string

const (
	StyleContext Style = ""      // handler(context, request)
	StyleEvent   Style = "event" // handler(event, context)
)

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

// Known reports whether anything was declared.
func (d Declaration) Known() bool { return len(d.Handlers)+len(d.Sockets) > 0 }

// Equal reports whether two declarations say the same.
func (d Declaration) Equal(o Declaration) bool {
	return slices.Equal(d.Handlers, o.Handlers) && d.Auth.Present == o.Auth.Present &&
		d.Auth.All == o.Auth.All && slices.Equal(d.Auth.Names, o.Auth.Names) && d.Style == o.Style && slices.Equal(d.Sockets, o.Sockets)
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
	// Percent makes it a candidate, which gets so many of a hundred calls beside
	// the active one; 0: it becomes the active one. Either takes the place of the
	// candidate that there is.
	Percent int
	// ExpectCandidate is that candidate. Another one means that the deploy has
	// been raced; none, because it was ended meanwhile, does not.
	ExpectCandidate string
	// ExpectPolicy is the number of the project's policy that the handlers were
	// checked against; 0: it had none.
	ExpectPolicy int
	// Secrets are set and removed in the same moment; the zero value changes none.
	Secrets SecretInput
	// OldKeyExpiresAt is when the keys of earlier deployments end; their calls
	// in flight may use them until then. That of the active one lives on beside a
	// candidate.
	OldKeyExpiresAt time.Time
}

// PromoteInput gives a function's candidate another part of the calls.
type PromoteInput struct {
	FunctionID string
	// ExpectActive and ExpectCandidate are the deployments that it is meant for:
	// when there are others, it has been raced.
	ExpectActive, ExpectCandidate string
	// Percent of the calls is what the candidate gets from now on. 100 makes it
	// the active one, 0 ends it.
	Percent int
	// Because is why the platform ends it; empty: somebody asked for it.
	Because string
	// OldKeyExpiresAt is when the key ends of the deployment that goes.
	OldKeyExpiresAt time.Time
	At              time.Time
}

// DeployResult is what a deploy wrote.
type DeployResult struct {
	Function   Function
	Deployment Deployment
	Seq        int64
}

// SigningKey signs access tokens while it is the newest that is active, and
// verifies them until it expires.
type SigningKey struct {
	KID       string
	Algorithm string // "EdDSA" or "ES256"
	Public    []byte // PKIX, DER
	Sealed    []byte // the private key in PKCS #8, sealed under KID (package secret)
	CreatedAt time.Time
	ActiveAt  time.Time // published from CreatedAt on, used from here on
	ExpiresAt time.Time // zero: it has not been replaced yet
}

// UnreadableError says that something is stored and cannot be read: its row was
// damaged, or written by hand. It must be taken as gone, never as what it was.
type UnreadableError struct {
	ID  string
	Err error
}

func (e *UnreadableError) Error() string { return e.ID + " cannot be read: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *UnreadableError) Unwrap() error { return e.Err }

// RevokedToken is an access token that was ended before its time.
type RevokedToken struct {
	ID        string // its jti
	ExpiresAt time.Time
}
