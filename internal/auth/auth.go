// Package auth recognises callers and decides what they may do.
//
// [Directory] holds every live key in memory; [Authenticate] finds out who is
// calling from a request's header fields; [Decide] says whether they may. All
// of it is memory and arithmetic: no I/O, no lock.
//
// An unknown key and a wrong secret take the same way: the secret is hashed,
// the hash is looked up, and nothing is found. There is no step at which the
// two could be told apart.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/netip"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

// The refusals. They are values, so that refusing allocates nothing.
var (
	ErrNone        = fault.New(fault.Unauthenticated, "this handler needs an access key, and the request shows none")
	ErrInvalid     = fault.New(fault.Unauthenticated, "the access key is not valid")
	ErrDuplicate   = fault.New(fault.Invalid, "the request has more than one Authorization or X-API-Key header").WithCode("duplicate_credentials")
	ErrConflicting = fault.New(fault.Invalid, "Authorization and X-API-Key do not name the same access key").WithCode("conflicting_credentials")
	ErrScope       = fault.New(fault.Denied, "the access key has not the scope that this needs")
	ErrProject     = fault.New(fault.Denied, "the access key is not of this project")
	ErrAddress     = fault.New(fault.Denied, "the access key may not be used from this address")
)

// Key is what the gateway needs to know of an access key, kept small because
// there may be a million.
type Key struct {
	ID         string
	ProjectID  string
	FunctionID string
	Rate       *limit.Rate // nil: no limit of its own
	cidrs      []netip.Prefix
	hash       [sha256.Size]byte
	expires    int64 // Unix microseconds; 0: never
	perSecond  int32
	invoke     bool
	control    bool
}

func newKey(k *platform.AccessKey) *Key {
	out := &Key{ID: k.ID, ProjectID: k.ProjectID, FunctionID: k.FunctionID, cidrs: k.AllowedCIDRs, hash: k.SecretHash, perSecond: int32(k.RatePerSecond)}
	if !k.ExpiresAt.IsZero() {
		out.expires = k.ExpiresAt.UnixMicro()
	}
	for _, s := range k.Scopes {
		out.invoke = out.invoke || s == platform.ScopeInvoke
		out.control = out.control || s == platform.ScopeControl
	}
	if k.RatePerSecond > 0 {
		out.Rate = limit.New(k.RatePerSecond)
	}
	return out
}

// Scopes is the key's scopes joined by a space, as RFC 6749 §3.3 writes them.
func (k *Key) Scopes() string {
	switch {
	case k.invoke && k.control:
		return "invoke control"
	case k.invoke:
		return "invoke"
	case k.control:
		return "control"
	}
	return ""
}

// live reports whether the key is not expired. Revoked keys are not in a directory.
func (k *Key) live(now time.Time) bool { return k.expires == 0 || now.UnixMicro() < k.expires }

// Method is how a credential was shown.
type Method string

// The methods.
const (
	MethodNone   Method = "none"
	MethodBasic  Method = "basic"
	MethodAPIKey Method = "apikey"
)

// Principal is who was recognised. Key is nil for an open handler.
type Principal struct {
	Key    *Key
	Method Method
}

// CheckDuplicates refuses a request that shows credentials twice: two readers
// could each pick another one. It is for every request, open handlers included.
func CheckDuplicates(header map[string][]string) error {
	if len(header["Authorization"]) > 1 || len(header["X-Api-Key"]) > 1 {
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
	switch {
	case byBasic == nil:
		return Principal{byKey, MethodAPIKey}, nil
	case byKey != nil && byKey != byBasic:
		return Principal{}, ErrConflicting
	}
	return Principal{byBasic, MethodBasic}, nil
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
	k := d.byHash(sha256.Sum256(secret))
	if k == nil || subtle.ConstantTimeCompare([]byte(k.ID), plain[:accesskey.IDLen]) != 1 || !k.live(now) {
		return nil
	}
	return k
}

// bySecret returns the key whose secret is given, or nil.
func bySecret(d *Directory, secret string, now time.Time) *Key {
	if !accesskey.WellFormed(secret) {
		return nil
	}
	var plain [accesskey.SecretLen]byte
	k := d.byHash(sha256.Sum256(plain[:copy(plain[:], secret)]))
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
}

// Decide says whether a recognised principal may do what need describes. It
// refuses in doubt: an address that does not parse is not an allowed one.
func Decide(p Principal, need Need) error {
	k := p.Key
	switch {
	case k == nil:
		return ErrNone
	case need.Scope == platform.ScopeInvoke && !k.invoke, need.Scope == platform.ScopeControl && !k.control:
		return ErrScope
	case need.Scope != platform.ScopeInvoke && need.Scope != platform.ScopeControl:
		return ErrScope
	case k.ProjectID != need.ProjectID:
		return ErrProject
	case len(k.cidrs) > 0 && !allowed(k.cidrs, need.RemoteAddr):
		return ErrAddress
	}
	return nil
}

func allowed(cidrs []netip.Prefix, remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := ap.Addr().Unmap().WithZone("") // ::ffff:10.0.0.1 is 10.0.0.1
	for _, c := range cidrs {
		if c.Contains(addr) {
			return true
		}
	}
	return false
}
