package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

// Key is what the gateway needs to know of an access key, kept small because
// there may be a million. It is immutable but for its use.
type Key struct {
	ID         string
	ProjectID  string
	Rate       *limit.Rate // nil: no limit of its own
	more       *more       // what few keys have; nil on most
	hash       [sha256.Size]byte
	expires    int64 // Unix microseconds; 0: never
	lastUsed   atomic.Uint32
	generation int32
	invoke     bool
	control    bool
}

// more is the part of a key that few keys have.
type more struct {
	functionID    string
	planID        string
	groups        []string
	cidrs         []netip.Prefix
	quota         *limit.Quota
	perSecond     int
	previous      [sha256.Size]byte
	previousUntil int64 // Unix microseconds; 0: there is no previous secret
	binding       platform.Binding
	thumbprint    string
}

var nothingMore more

func newKey(k *platform.AccessKey) *Key {
	out := &Key{ID: k.ID, ProjectID: k.ProjectID, hash: k.SecretHash, generation: int32(max(k.Generation, 1)), expires: micros(k.ExpiresAt)}
	for _, s := range k.Scopes {
		out.invoke = out.invoke || s == platform.ScopeInvoke
		out.control = out.control || s == platform.ScopeControl
	}
	if !k.LastUsedAt.IsZero() {
		out.lastUsed.Store(uint32(k.LastUsedAt.Unix()))
	}
	if k.RatePerSecond > 0 {
		out.Rate = limit.New(k.RatePerSecond)
	}
	m := more{functionID: k.FunctionID, planID: k.ServicePlanID, groups: k.Groups, cidrs: k.AllowedCIDRs, perSecond: k.RatePerSecond,
		previous: k.PreviousHash, previousUntil: micros(k.PreviousUntil), binding: k.Binding, thumbprint: k.CertThumbprint}
	if k.Quota.Limit > 0 {
		m.quota = limit.NewQuota(k.Quota.Limit, k.Quota.Per, k.Used.Since, k.Used.Count)
	}
	if m.functionID != "" || m.planID != "" || len(m.groups) > 0 || len(m.cidrs) > 0 || m.perSecond > 0 || m.quota != nil || m.previousUntil != 0 || m.binding != "" || m.thumbprint != "" {
		out.more = &m
	}
	return out
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMicro(), 1)
}

// rest is the part of the key that few keys have, never nil.
func (k *Key) rest() *more {
	if k.more == nil {
		return &nothingMore
	}
	return k.more
}

// keepState takes over what must survive a change of the key: its rate, what
// was used of its quota, and when it was used last.
func (k *Key) keepState(old *Key) {
	if old == nil {
		return
	}
	k.lastUsed.Store(max(k.lastUsed.Load(), old.lastUsed.Load()))
	now, was := k.rest(), old.rest()
	if k.Rate != nil && now.perSecond == was.perSecond {
		k.Rate = old.Rate
	}
	if now.quota != nil && was.quota != nil && now.quota.Same(was.quota) {
		now.quota = was.quota
	}
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

// Quota is what the key may do in a day or a month; nil: no such limit.
func (k *Key) Quota() *limit.Quota { return k.rest().quota }

// bare reports whether the key's secret by itself opens something.
func (k *Key) bare() bool { m := k.rest(); return m.binding == platform.BindingNone && m.planID == "" }

// Has reports whether the key carries a scope.
func (k *Key) Has(s platform.Scope) bool {
	return s == platform.ScopeInvoke && k.invoke || s == platform.ScopeControl && k.control
}

// Scopes is the key's scopes joined by a space, as RFC 6749 §3.3 writes them.
func (k *Key) Scopes() string { return scopes(k.invoke, k.control) }

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
