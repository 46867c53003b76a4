package admin

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// invalid is the refusal of one field: its name, what is wrong, what to write.
// What it quotes may be a secret in the wrong place.
func invalid(field, wrong, write string) *fault.Error {
	return fault.New(fault.Invalid, field+" "+string(accesskey.Redact([]byte(wrong)))).WithHint(write)
}

// holdsSecret is the refusal of a text that holds a secret and that whoever may
// list can read.
func holdsSecret(field string) *fault.Error {
	return invalid(field, "has the secret of an access key in it, and is shown in every list", "leave it out, and rotate that key")
}

// fill makes a new key of what was asked for.
func fill(k *platform.AccessKey, in api.CreateKeyRequest, now time.Time) error {
	if accesskey.Within(k.ServicePlanID) {
		return holdsSecret("servicePlanId")
	}
	if k.ServicePlanID != "" && !planPattern.MatchString(k.ServicePlanID) {
		return invalid("servicePlanId", "is no ID of a service plan", "write 1 to 64 letters, digits, hyphens or underscores")
	}
	change := api.UpdateKeyRequest{DisplayName: &in.DisplayName, Scopes: in.Scopes, Groups: in.Groups, AllowedCIDRs: in.AllowedCIDRs,
		RatePerSecond: &in.RatePerSecond, Quota: in.Quota, CertThumbprint: &in.CertThumbprint, Metadata: in.Metadata, ExpireTime: &in.ExpireTime}
	if in.Binding != "" {
		change.Binding = &in.Binding
	}
	if len(change.Scopes) == 0 {
		change.Scopes = []string{string(platform.ScopeInvoke)}
	}
	return alter(k, change, now)
}

var (
	planPattern  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	groupPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// The bounds of what a key holds; api.CreateKeyRequest documents them.
const (
	maxDisplayName = 100
	maxGroups      = 32
	maxCIDRs       = 64
	maxMetadata    = 32
)

// alter writes into a key what was asked for, all of it or an error.
func alter(k *platform.AccessKey, in api.UpdateKeyRequest, now time.Time) (err error) {
	if in.DisplayName != nil {
		if k.DisplayName, err = displayName(*in.DisplayName, maxDisplayName); err == nil && (strings.HasPrefix(k.DisplayName, "function:") || accesskey.ValidID(k.DisplayName)) {
			err = invalid("displayName", "looks like the name of a function's key, or like a key ID", "choose another name")
		}
	}
	if err == nil && in.Scopes != nil {
		k.Scopes, err = scopes(in.Scopes)
	}
	if err == nil && in.Groups != nil {
		k.Groups, err = groups(in.Groups)
	}
	if err == nil && in.AllowedCIDRs != nil {
		k.AllowedCIDRs, err = networks(in.AllowedCIDRs)
	}
	if in.RatePerSecond != nil {
		k.RatePerSecond = *in.RatePerSecond // its bounds are in the schema
	}
	if in.Quota != nil {
		k.Quota = quota(*in.Quota)
	}
	if in.Binding != nil {
		k.Binding = platform.Binding(strings.TrimPrefix(*in.Binding, "none"))
	}
	if in.CertThumbprint != nil {
		k.CertThumbprint = *in.CertThumbprint
	}
	if err == nil && in.Metadata != nil {
		k.Metadata, err = pairs("metadata", in.Metadata, maxMetadata)
	}
	if err == nil && in.ExpireTime != nil {
		k.ExpiresAt, err = expiry(*in.ExpireTime, now)
	}
	if err != nil {
		return err
	}
	return consistent(k)
}

// consistent refuses fields that contradict one another.
func consistent(k *platform.AccessKey) error {
	if k.ServicePlanID != "" && !slices.Equal(k.Scopes, []platform.Scope{platform.ScopeInvoke}) {
		return invalid("scopes", "of a service plan's token must be invoke alone", "make another key for the control plane")
	}
	if k.ServicePlanID != "" && k.Binding != platform.BindingNone {
		return invalid("binding", "is not for a service plan's token, which is shown as it is", "leave out binding, or servicePlanId")
	}
	if k.CertThumbprint == "" {
		return nil
	}
	if k.Binding != platform.BindingMTLS {
		return invalid("certThumbprint", "is for the binding mtls", "set binding to mtls, or certThumbprint to the empty text")
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(k.CertThumbprint)
	if err != nil || len(sum) != 32 {
		return invalid("certThumbprint", "is no SHA-256 in base64url", "write 43 characters, as `openssl x509 -outform der | openssl dgst -sha256 -binary | basenc --base64url | tr -d =` prints them")
	}
	return nil
}

// displayName is a name without the blanks around it.
func displayName(s string, most int) (string, error) {
	s = strings.TrimSpace(s)
	if n := utf8.RuneCountInString(s); n == 0 || n > most || !printable(s) {
		return "", invalid("displayName", "must have visible characters, no control characters, and not be too long", fmt.Sprintf("write 1 to %d characters on one line", most))
	}
	if accesskey.Within(s) {
		return "", holdsSecret("displayName")
	}
	return s, nil
}

// printable reports whether s can be shown, and typed as it is shown: it has no
// control characters, and no marks that reverse the direction of text, which
// the command line leaves out (CVE-2021-42574).
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	})
}

func scopes(in []string) (out []platform.Scope, err error) {
	for _, s := range in {
		sc := platform.Scope(s)
		if sc != platform.ScopeInvoke && sc != platform.ScopeControl || slices.Contains(out, sc) {
			return nil, invalid("scopes", fmt.Sprintf("has %.80q, which is no scope or stands twice", s), "write invoke, control, or both, each once")
		}
		out = append(out, sc)
	}
	if len(out) == 0 {
		return nil, invalid("scopes", "is empty, and such a key could do nothing", "write invoke, control, or both; to end a key, delete it")
	}
	return out, nil
}

func groups(in []string) ([]string, error) {
	for i, g := range in {
		if !groupPattern.MatchString(g) || slices.Contains(in[:i], g) {
			return nil, invalid("groups", fmt.Sprintf("has %.80q, which is no name of a group or stands twice", g), "write letters, digits, dots, hyphens and underscores, 1 to 64 of them, each name once")
		}
	}
	if slices.ContainsFunc(in, accesskey.Within) {
		return nil, holdsSecret("groups")
	}
	if len(in) > maxGroups {
		return nil, invalid("groups", fmt.Sprintf("has %d names", len(in)), fmt.Sprintf("write at most %d", maxGroups))
	}
	return in, nil
}

func networks(in []string) (out []netip.Prefix, err error) {
	for _, c := range in {
		p, err := netip.ParsePrefix(c)
		if err != nil || platform.CheckNetwork(p) != nil {
			return nil, invalid("allowedCidrs", fmt.Sprintf("has %.80q, which is no address range", c), "write it like 192.0.2.0/24 or 2001:db8::/32, with the host bits zero")
		}
		out = append(out, p)
	}
	if len(in) > maxCIDRs {
		return nil, invalid("allowedCidrs", fmt.Sprintf("has %d ranges", len(in)), fmt.Sprintf("write at most %d", maxCIDRs))
	}
	return out, nil
}

func quota(in api.Quota) platform.Quota {
	if in.Limit == 0 {
		return platform.Quota{}
	}
	if in.Per == "" {
		in.Per = string(platform.PerDay)
	}
	return platform.Quota{Limit: in.Limit, Per: platform.Period(in.Per)}
}

// pairs are the entries of metadata or of labels. What has the form of a
// secret is refused: they are shown to whoever may list.
func pairs(field string, in map[string]string, most int) (map[string]string, error) {
	if len(in) > most {
		return nil, invalid(field, fmt.Sprintf("has %d entries", len(in)), fmt.Sprintf("write at most %d", most))
	}
	for name, value := range in {
		if n := utf8.RuneCountInString(name); n == 0 || n > 64 || !printable(name) {
			return nil, invalid(field, fmt.Sprintf("has the name %.80q", name), "write names of 1 to 64 characters on one line")
		}
		if utf8.RuneCountInString(value) > 256 || !printable(value) {
			return nil, invalid(field, fmt.Sprintf("has a value of %.80q that is too long or has control characters", name), "write values of at most 256 characters on one line")
		}
		if accesskey.Within(value) || accesskey.Within(name) {
			return nil, holdsSecret(field)
		}
	}
	if len(in) == 0 {
		return nil, nil
	}
	return in, nil
}

func expiry(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	t = t.UTC().Truncate(time.Microsecond) // as it will be read back
	if err != nil || t.Year() > 9999 {
		return time.Time{}, invalid("expireTime", fmt.Sprintf("is %.80q, which is no time", s), "write it like 2030-01-31T12:00:00Z, or leave it empty for never")
	}
	if !t.After(now) {
		return time.Time{}, invalid("expireTime", "has passed already", "write a time to come; to end a key now, delete it")
	}
	return t, nil
}
