// Package auth recognises callers and decides what they may do.
//
// [Directory] holds every live key in memory; an [Authenticator] finds out who
// is calling from a request's header fields; [Decide] says whether they may.
// All of it is memory and arithmetic: no I/O, and no lock that all requests
// share.
//
// An unknown key and a wrong secret take the same way: the secret is hashed,
// the hash is looked up, and nothing is found. There is no step at which the
// two could be told apart. A token is verified with the same directory, and
// lives no longer than the secret that it was got with.
package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// The refusals. They are values, so that refusing allocates nothing.
var (
	ErrNone        = fault.New(fault.Unauthenticated, "this handler needs an access key, and the request shows none")
	ErrInvalid     = fault.New(fault.Unauthenticated, "the access key is not valid")
	ErrToken       = fault.New(fault.Unauthenticated, "the access token is not valid here").WithCode("token_invalid")
	ErrExpired     = fault.New(fault.Unauthenticated, "the access token has expired").WithCode("token_expired")
	ErrProof       = fault.New(fault.Unauthenticated, "the access token is bound to a key, and the request does not prove that the caller has it").WithCode("dpop_invalid")
	ErrBare        = fault.New(fault.Unauthenticated, "the secret of this access key opens nothing by itself; its tokens do").WithCode("token_required")
	ErrDuplicate   = fault.New(fault.Invalid, "the request has more than one Authorization, X-API-Key or DPoP header").WithCode("duplicate_credentials")
	ErrConflicting = fault.New(fault.Invalid, "Authorization and X-API-Key do not name the same access key").WithCode("conflicting_credentials")
	ErrScope       = fault.New(fault.Denied, "the access key has not the scope that this needs")
	ErrProject     = fault.New(fault.Denied, "the access key is not of this project")
	ErrGroup       = fault.New(fault.Denied, "the access key is not for this group of routes")
	ErrAdmin       = fault.New(fault.Denied, "this route is for access keys of its group or with its scopes, and not for the function's own user")
	ErrAddress     = fault.New(fault.Denied, "the access key may not be used from this address")
)

// Method is how a credential was shown.
type Method string

// The methods.
const (
	MethodNone   Method = "none"
	MethodBasic  Method = "basic"
	MethodAPIKey Method = "apikey"
	MethodBearer Method = "bearer"
	MethodDPoP   Method = "dpop" // a bearer that is bound to a key
	MethodPlan   Method = "serviceplan"
	// MethodSignature is of a callback that its sender has signed. Nobody who
	// has a key is behind it.
	MethodSignature Method = "signature"
	// MethodAdmin is of a function's own user (package signin), by Basic or with
	// a browser's session. Nobody who has a key is behind it.
	MethodAdmin Method = "admin"
	// MethodFunction is how a bearer is told of that is a function's token for
	// calls of other functions.
	MethodFunction Method = "function"
	// MethodSession is of a session of the console, of a user or of a key. No
	// header of a request shows one: it comes by WithSession alone.
	MethodSession Method = "session"
)

// Principal is who was recognised. Key is nil for an open handler, for the
// bearer of another issuer's token, for a function's own user, and for a user of
// the console.
type Principal struct {
	Key    *Key
	Method Method
	Token  *Token // what was shown, when that was a token
	Admin  *Admin // of MethodAdmin, and else nil
	User   *User  // of MethodSession, where a person signed in without a key

	begun int // of MethodSession with a key: which of its secrets was shown
}

// Admin is a function's own user. They open the function's handlers and routes
// that are in no other group than that named like it, with the scope invoke,
// and nothing else.
type Admin struct{ ProjectID, Group string }

func (a *Admin) decide(need Need) error {
	if need.Scope != platform.ScopeInvoke || need.ProjectID != a.ProjectID || need.Group != a.Group {
		return ErrAdmin
	}
	return nil
}

// ProjectID is the project that the principal belongs to.
func (p Principal) ProjectID() string {
	switch {
	case p.Key != nil:
		return p.Key.ProjectID()
	case p.Token != nil:
		return p.Token.projectID
	case p.Admin != nil:
		return p.Admin.ProjectID
	case p.User != nil:
		return p.User.ProjectID
	}
	return ""
}

// ID is the key's ID, or the user's; of another issuer's token it is that
// issuer, "#" and the subject, which neither looks like. The text of a key's ID
// is made for each call.
func (p Principal) ID() string {
	switch {
	case p.Key != nil:
		return p.Key.ID()
	case p.Token != nil:
		return p.Token.subject
	case p.User != nil:
		return p.User.ID
	}
	return ""
}

// Scopes is what the principal may do, joined by a space: never more than its
// key, and never more than its token.
func (p Principal) Scopes() string {
	return scopes(p.may(platform.ScopeInvoke), p.may(platform.ScopeControl))
}

func (p Principal) may(s platform.Scope) bool {
	if p.User != nil {
		return p.alone() && (s == platform.ScopeInvoke || s == platform.ScopeControl)
	}
	if p.Admin != nil {
		return s == platform.ScopeInvoke && p.Key == nil && p.Token == nil
	}
	if p.Key == nil && p.Token == nil || p.Key != nil && !p.Key.Has(s) {
		return false
	}
	return p.Token == nil || s == platform.ScopeInvoke && p.Token.invoke || s == platform.ScopeControl && p.Token.control
}

// CheckDuplicates refuses a request that shows credentials twice: two readers
// could each pick another one. It is for every request, open handlers included.
func CheckDuplicates(header map[string][]string) error {
	if len(header["Authorization"]) > 1 || len(header["X-Api-Key"]) > 1 || len(header["Dpop"]) > 1 {
		return ErrDuplicate
	}
	return nil
}

// Authenticate recognises the caller by HTTP Basic (RFC 7617) or X-API-Key.
// Header names are in net/http's canonical form, each credential header at
// most once (CheckDuplicates).
func Authenticate(d *Directory, header map[string][]string, now time.Time) (Principal, error) {
	authorization, apiKey := header["Authorization"], header["X-Api-Key"]
	if len(authorization) == 0 && len(apiKey) == 0 {
		return Principal{}, ErrNone
	}
	var byBasic, byKey *Key
	if len(authorization) > 0 {
		if byBasic = basic(d, authorization[0], now); byBasic == nil {
			return Principal{}, ErrInvalid
		}
	}
	if len(apiKey) > 0 {
		if byKey = bySecret(d, apiKey[0], now); byKey == nil {
			return Principal{}, ErrInvalid
		}
	}
	p := Principal{Key: byBasic, Method: MethodBasic}
	switch {
	case byBasic == nil:
		p = Principal{Key: byKey, Method: MethodAPIKey}
	case byKey != nil && byKey != byBasic:
		return Principal{}, ErrConflicting
	}
	if !p.Key.bare() {
		return Principal{}, ErrBare
	}
	return p, nil
}

// strictBase64 refuses what lenient decoders read in two ways.
var strictBase64 = base64.StdEncoding.Strict()

// The lengths of the one credential that can be right. It is a multiple of
// three, so its encoding has no padding.
const (
	plainLen   = accesskey.IDLen + 1 + accesskey.SecretLen
	encodedLen = (plainLen + 2) / 3 * 4
)

// basic returns the key that an Authorization value shows, or nil.
func basic(d *Directory, value string, now time.Time) *Key {
	const scheme = "basic "
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return nil
	}
	token := strings.TrimLeft(value[len(scheme):], " ") // RFC 9110 §11.4: one or more spaces
	if len(token) != encodedLen {
		return nil
	}
	var encoded [encodedLen]byte
	var plain [plainLen]byte
	n, err := strictBase64.Decode(plain[:], encoded[:copy(encoded[:], token)])
	if err != nil || n != plainLen || plain[accesskey.IDLen] != ':' {
		return nil // n is less where the decoder skipped line breaks
	}
	secret := plain[accesskey.IDLen+1:]
	if !accesskey.WellFormed(secret) {
		return nil
	}
	k, _ := d.byHash(sha256.Sum256(secret), now)
	if k == nil || !k.named(plain[:accesskey.IDLen]) || !k.live(now) {
		return nil
	}
	return k
}

// Client returns the key that an ID and a secret name, and the generation of
// the secret; nil when there is none, when the secret is wrong, and when the key
// has ended. Which of these it was cannot be told, by the time it takes either.
func Client(d *Directory, id, secret string, now time.Time) (k *Key, generation int) {
	if !accesskey.WellFormed(secret) {
		return nil, 0
	}
	k, generation = d.byHash(sha256.Sum256([]byte(secret)), now)
	if k == nil || !k.named([]byte(id)) || !k.live(now) || k.rest().planID != "" {
		return nil, 0
	}
	return k, generation
}

// bySecret returns the key whose secret is given, or nil.
func bySecret(d *Directory, secret string, now time.Time) *Key {
	if !accesskey.WellFormed(secret) {
		return nil
	}
	var plain [accesskey.SecretLen]byte
	k, _ := d.byHash(sha256.Sum256(plain[:copy(plain[:], secret)]), now)
	if k == nil || !k.live(now) {
		return nil
	}
	return k
}

// Need is what an act asks of whoever does it.
type Need struct {
	ProjectID string
	Scope     platform.Scope
	// RemoteAddr is the peer's address and port, as net/http gives it.
	RemoteAddr string
	// ParentID is the parent of the project, where that is a subproject.
	ParentID string
	// Group is the group of the route; empty where routes are not the matter.
	Group string
}

// Decide says whether a recognised principal may do what need describes. It
// refuses in doubt: an address that does not parse is not an allowed one.
func Decide(p Principal, need Need) error {
	own := p.ProjectID()
	switch {
	case p.User != nil && !p.alone():
		return ErrNone
	case p.User != nil:
		return p.User.decide(need)
	case p.Admin != nil:
		return p.Admin.decide(need)
	case p.Key == nil && p.Token == nil:
		return ErrNone
	case !p.may(need.Scope):
		return ErrScope
	case own == "" || own != need.ProjectID && own != need.ParentID:
		return ErrProject
	case p.Key == nil:
		return nil
	}
	switch m := p.Key.rest(); {
	case len(m.groups) > 0 && need.Scope == platform.ScopeInvoke && !slices.Contains(m.groups, need.Group):
		return ErrGroup
	case !p.Key.AllowedFrom(need.RemoteAddr):
		return ErrAddress
	}
	return nil
}

func allowed(cidrs []netip.Prefix, remote string) bool {
	addr := platform.CallerAddr(remote)
	for _, c := range cidrs {
		if c.Contains(addr) {
			return true
		}
	}
	return false
}

// AllowedFrom reports whether the key may be used from an address, given as
// net/http does.
func (k *Key) AllowedFrom(remote string) bool {
	m := k.rest()
	return len(m.cidrs) == 0 || allowed(m.cidrs, remote)
}
