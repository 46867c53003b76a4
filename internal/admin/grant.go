package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// scopesShown are the scopes of the caller's credential.
func scopesShown(ctx context.Context) (out []platform.Scope) {
	for s := range strings.FieldsSeq(principal(ctx).Scopes()) {
		out = append(out, platform.Scope(s))
	}
	return out
}

// mayGrant says whether the caller may make a key what it is after; before is
// what it was, nil for a new key and for a secret that is handed out anew.
//
// No key gives a scope that it has not itself. A key that can control could
// make another one that can control without the limits it has itself, and
// with that one lift its own: so a key that can control, and the caller
// itself, is never given more than the caller has in any respect. Whoever
// steals a key for a day, or one for an address, cannot make it one for ever
// and everywhere. The keys of callers of functions are what keys for
// controlling are there to make, with limits of all kinds.
func mayGrant(caller platform.AccessKey, before *platform.AccessKey, after platform.AccessKey) error {
	for _, s := range after.Scopes {
		if !slices.Contains(caller.Scopes, s) && (before == nil || !slices.Contains(before.Scopes, s)) {
			return fault.New(fault.Denied, fmt.Sprintf("scopes: the key that asks has not the scope %q itself, so it cannot give it", s)).WithCode("cannot_grant")
		}
	}
	controls := slices.Contains(after.Scopes, platform.ScopeControl)
	if after.ID != caller.ID && !controls {
		return nil
	}
	if before != nil && controls && !slices.Contains(before.Scopes, platform.ScopeControl) {
		before = nil // what was no matter for a key of a caller of functions is one now
	}
	for _, r := range reaches {
		if r.wider(after, caller) && (before == nil || r.wider(after, *before)) {
			return fault.New(fault.Denied, r.field+": a key that can control cannot be given more here than the key that asks has").WithCode("cannot_grant")
		}
	}
	return nil
}

// reaches are the respects in which one key may reach further than another.
var reaches = []struct {
	field string
	wider func(k, than platform.AccessKey) bool
}{
	{"groups", func(k, than platform.AccessKey) bool {
		return len(than.Groups) > 0 && (len(k.Groups) == 0 || slices.ContainsFunc(k.Groups, func(g string) bool { return !slices.Contains(than.Groups, g) }))
	}},
	{"allowedCidrs", widerNetworks},
	{"ratePerSecond", func(k, than platform.AccessKey) bool {
		return than.RatePerSecond > 0 && (k.RatePerSecond == 0 || k.RatePerSecond > than.RatePerSecond)
	}},
	{"quota", func(k, than platform.AccessKey) bool {
		return than.Quota.Limit > 0 && (k.Quota.Limit == 0 || k.Quota.Limit > than.Quota.Limit || k.Quota.Per != than.Quota.Per)
	}},
	{"expireTime", func(k, than platform.AccessKey) bool {
		return !than.ExpiresAt.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(than.ExpiresAt))
	}},
	{"binding", func(k, than platform.AccessKey) bool {
		return than.Binding != platform.BindingNone && k.Binding != than.Binding
	}},
	{"certThumbprint", func(k, than platform.AccessKey) bool {
		return than.CertThumbprint != "" && k.CertThumbprint != than.CertThumbprint
	}},
}

func widerNetworks(k, than platform.AccessKey) bool {
	if len(than.AllowedCIDRs) == 0 {
		return false
	}
	for _, c := range k.AllowedCIDRs {
		within := false
		for _, t := range than.AllowedCIDRs {
			within = within || t.Bits() <= c.Bits() && t.Contains(c.Addr())
		}
		if !within {
			return true
		}
	}
	return len(k.AllowedCIDRs) == 0
}
