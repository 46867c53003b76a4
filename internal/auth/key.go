package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

// Key is what the gateway needs to know of an access key, kept small because
// there may be a million: no pointer is in it (what it points to is at the head
// of its slab), and its ID is not kept as text. It is immutable but for its use.
type Key struct {
	record
	lastUsed atomic.Uint32 // Unix seconds
	slot     uint16        // its place in its slab
}

// record is what is copied when a key is moved.
type record struct {
	hash       [sha256.Size]byte
	id         [16]byte // as packID has it
	expires    int64    // Unix microseconds; 0: never
	serial     uint64   // no other form of a key in the lineage has or had it
	generation int32
	project    uint16 // in the slab's projects
	flags      uint8
}

// The flags of a key.
const (
	mayInvoke uint8 = 1 << iota
	mayControl
	isRare // it has a part that few keys have
	isOdd  // its ID has not the form of one, and is among what few keys have
)

// identity is a key as it is: after any change but a move the key has another.
// It keeps nothing in memory that the key is in.
type identity struct {
	lineage *lineage
	serial  uint64
	id      [16]byte
}

func (k *Key) identity() identity { return identity{k.slab().lineage, k.serial, k.id} }

// more is the part of a key that few keys have.
type more struct {
	id            string // where it has not the form of one
	functionID    string
	planID        string
	groups        []string
	cidrs         []netip.Prefix
	quota         *limit.Quota
	rate          *limit.Rate
	perSecond     int
	previous      [sha256.Size]byte
	previousUntil int64 // Unix microseconds; 0: there is no previous secret
	binding       platform.Binding
	thumbprint    string
}

var nothingMore more

// read takes the key from what is stored, and from an older form of it what must
// survive a change: its rate, what was used of its quota, and when it was used last.
func (k *Key) read(from *platform.AccessKey, old *Key) {
	var form bool
	if k.id, form = packID(from.ID); !form {
		k.flags |= isOdd
	}
	k.hash, k.generation, k.expires, k.project = from.SecretHash, int32(max(from.Generation, 1)), micros(from.ExpiresAt), k.slab().intern(from.ProjectID)
	for _, s := range from.Scopes {
		switch s {
		case platform.ScopeInvoke:
			k.flags |= mayInvoke
		case platform.ScopeControl:
			k.flags |= mayControl
		}
	}
	if !from.LastUsedAt.IsZero() {
		k.lastUsed.Store(uint32(from.LastUsedAt.Unix()))
	}
	was := &nothingMore
	if old != nil {
		was = old.rest()
		k.lastUsed.Store(max(k.lastUsed.Load(), old.lastUsed.Load()))
	}
	if m := newMore(from, was); m != nil {
		k.slab().keep(k, m)
	}
}

// newMore is the part of a key that few keys have; nil if it has none.
func newMore(k *platform.AccessKey, was *more) *more {
	m := more{functionID: k.FunctionID, planID: k.ServicePlanID, groups: k.Groups, cidrs: k.AllowedCIDRs, perSecond: k.RatePerSecond,
		previous: k.PreviousHash, previousUntil: micros(k.PreviousUntil), binding: k.Binding, thumbprint: k.CertThumbprint}
	_, form := packID(k.ID)
	if !form {
		m.id = k.ID
	}
	if k.RatePerSecond > 0 {
		if m.rate = was.rate; was.perSecond != m.perSecond {
			m.rate = limit.New(k.RatePerSecond)
		}
	}
	if k.Quota.Limit > 0 {
		m.quota = limit.NewQuota(k.Quota.Limit, k.Quota.Per, k.Used.Since, k.Used.Count)
		if was.quota != nil && m.quota.Same(was.quota) {
			m.quota = was.quota
		}
	}
	if form && m.functionID == "" && m.planID == "" && len(m.groups) == 0 && len(m.cidrs) == 0 && m.perSecond <= 0 && m.quota == nil && m.previousUntil == 0 && m.binding == "" && m.thumbprint == "" {
		return nil
	}
	return &m
}

// packID is an ID in 16 bytes: of one that has not the form of an ID, a hash,
// which no ID has but by a chance of one in 2¹²⁸.
func packID(id string) (packed [16]byte, form bool) {
	if packed, form = accesskey.PackID(id); !form {
		sum := sha256.Sum256([]byte(id))
		packed = [16]byte(sum[:])
	}
	return packed, form
}

// ID is the key's ID. The text is made for each call: one allocation.
func (k *Key) ID() string {
	if k.flags&isOdd != 0 {
		return k.rest().id
	}
	text := accesskey.UnpackID(k.id)
	return string(text[:])
}

// named reports whether an ID is the key's, in constant time.
func (k *Key) named(id []byte) bool {
	if k.flags&isOdd != 0 {
		return subtle.ConstantTimeCompare([]byte(k.rest().id), id) == 1
	}
	text := accesskey.UnpackID(k.id)
	return subtle.ConstantTimeCompare(text[:], id) == 1
}

// ProjectID is the project that the key is of.
func (k *Key) ProjectID() string { return k.slab().project(k.project) }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMicro(), 1)
}

// rest is the part of the key that few keys have, never nil.
func (k *Key) rest() *more {
	if k.flags&isRare == 0 {
		return &nothingMore
	}
	return k.slab().rest[k.slot]
}

// live reports whether the key is not expired. Revoked keys are not in a directory.
func (k *Key) live(now time.Time) bool { return k.expires == 0 || now.UnixMicro() < k.expires }

// ExpiresAt is when the key ends; zero: never.
func (k *Key) ExpiresAt() time.Time {
	if k.expires == 0 {
		return time.Time{}
	}
	return time.UnixMicro(k.expires).UTC()
}

// shows reports whether a secret's hash is this key's, now or for the rest of
// a rotation's grace, and of which generation that secret is.
func (k *Key) shows(hash [sha256.Size]byte, now time.Time) (generation int, ok bool) {
	current := subtle.ConstantTimeCompare(k.hash[:], hash[:])
	m := k.rest()
	previous := subtle.ConstantTimeCompare(m.previous[:], hash[:])
	switch {
	case current == 1:
		return int(k.generation), true
	case previous == 1 && now.UnixMicro() < m.previousUntil:
		return int(k.generation) - 1, true
	}
	return 0, false
}

// honours reports whether tokens got with the secret of a generation are good.
func (k *Key) honours(generation int, now time.Time) bool {
	return generation == int(k.generation) || generation == int(k.generation)-1 && now.UnixMicro() < k.rest().previousUntil
}

// Bound is what the key's tokens must be bound to.
func (k *Key) Bound() platform.Binding { return k.rest().binding }

// Thumbprint is the one client certificate that the key accepts; empty: any.
func (k *Key) Thumbprint() string { return k.rest().thumbprint }

// FunctionID is the function that the key was made for, and given to; empty:
// people made it.
func (k *Key) FunctionID() string { return k.rest().functionID }

// Rate is how many requests the key may make in a second; nil: no limit of its own.
func (k *Key) Rate() *limit.Rate { return k.rest().rate }

// Quota is what the key may do in a day or a month; nil: no such limit.
func (k *Key) Quota() *limit.Quota { return k.rest().quota }

// bare reports whether the key's secret by itself opens something.
func (k *Key) bare() bool { m := k.rest(); return m.binding == platform.BindingNone && m.planID == "" }

// Has reports whether the key carries a scope.
func (k *Key) Has(s platform.Scope) bool {
	return s == platform.ScopeInvoke && k.flags&mayInvoke != 0 || s == platform.ScopeControl && k.flags&mayControl != 0
}

// Scopes is the key's scopes joined by a space, as RFC 6749 §3.3 writes them.
func (k *Key) Scopes() string { return scopes(k.flags&mayInvoke != 0, k.flags&mayControl != 0) }

func scopes(invoke, control bool) string {
	switch {
	case invoke && control:
		return "invoke control"
	case invoke:
		return "invoke"
	case control:
		return "control"
	}
	return ""
}

// parseScopes reads a scope text. What it does not know it leaves out.
func parseScopes(text string) (invoke, control bool) {
	for s := range strings.FieldsSeq(text) {
		invoke = invoke || s == string(platform.ScopeInvoke)
		control = control || s == string(platform.ScopeControl)
	}
	return invoke, control
}
