package function

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// RuleSpec is what the manifest says of a handler or a route to the steps of a
// request. A zero field says nothing.
type RuleSpec struct {
	// Credentials are the ways in which a credential may be shown.
	Credentials []string             `json:"credentials,omitempty"`
	Addresses   []netip.Prefix       `json:"addresses,omitempty"`
	Rate        []platform.RateLimit `json:"rate,omitempty"`
	CORS        *platform.CORS       `json:"cors,omitempty"`
}

var ruleFields = []string{"credentials", "addresses", "rate", "cors"}

// The bounds of a rule, in a manifest and in a policy: above what a person writes
// by hand. docs/gateway.md names them.
const (
	MaxRates     = 8
	MaxAddresses = 256
	MaxCORSAge   = 24 * time.Hour
	maxCORS      = 64
)

// credentialWays are the ways in which a credential may be shown, in the words of
// package auth.
var credentialWays = []string{"basic", "apikey", "bearer", "dpop", "serviceplan", "admin"}

// CredentialsHint names the ways to whoever wrote another.
const CredentialsHint = "the ways are basic, apikey, bearer, dpop, serviceplan and admin"

const (
	credentialsHint = `write: "credentials": ["bearer", "dpop"]; ` + CredentialsHint
	addressesHint   = `write: "addresses": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]`
	corsHint        = `write: "cors": { "origins": ["https://shop.example"] }`
	originHint      = `an origin is as the browser sends it: "https://shop.example", or "http://localhost:5173"`
)

// CheckCredential says what is wrong with a way of showing a credential.
func CheckCredential(way string) error {
	if slices.Contains(credentialWays, way) {
		return nil
	}
	return fmt.Errorf("%.32q is no way of showing a credential", way)
}

// CheckOrigin says what is wrong with an origin, other than "*".
func CheckOrigin(text string) error {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "https" && scheme != "http" || rest == "" || len(text) > 256 {
		return fmt.Errorf("%.64q is no origin", text)
	}
	host, port := rest, ""
	if end := strings.LastIndexByte(rest, ']'); strings.HasPrefix(rest, "[") && end > 0 {
		a, err := netip.ParseAddr(rest[1:end])
		if err != nil || a.Zone() != "" || a.String() != rest[1:end] {
			return fmt.Errorf("%.64q is no origin", text)
		}
		host, port = "", rest[end+1:]
	} else if colon := strings.IndexByte(rest, ':'); colon >= 0 {
		host, port = rest[:colon], rest[colon:]
	}
	if port != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16)
		if err != nil || n == 0 || port != ":"+strconv.FormatUint(n, 10) {
			return fmt.Errorf("%.64q has a port that is none", text)
		}
		if scheme == "https" && n == 443 || scheme == "http" && n == 80 {
			return fmt.Errorf("%.64q names the usual port, which browsers leave out", text)
		}
	}
	for _, c := range []byte(host) {
		if c != '-' && c != '.' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return fmt.Errorf("%.64q is no origin: after the host, in lower case, there is nothing but a port", text)
		}
	}
	if strings.HasPrefix(rest, ":") {
		return fmt.Errorf("%.64q names no host", text)
	}
	return nil
}

// CheckCORS says what is wrong with what a route says to browsers.
func CheckCORS(c *platform.CORS) error {
	switch {
	case c == nil:
		return nil
	case len(c.Origins) == 0:
		return errors.New("cors names no origin")
	case max(len(c.Origins), len(c.Methods), len(c.Headers), len(c.Expose)) > maxCORS:
		return fmt.Errorf("a list of cors has more than %d entries", maxCORS)
	case slices.Contains(c.Origins, "*") && (len(c.Origins) > 1 || c.Credentials):
		return errors.New(`"*" stands alone, and never with credentials: any page could use those of whoever looks at it`)
	case c.MaxAge < 0 || c.MaxAge > MaxCORSAge || c.MaxAge%time.Second != 0:
		return fmt.Errorf("maxAge of cors is whole seconds, at most %v", MaxCORSAge)
	}
	for _, o := range c.Origins {
		if err := CheckOrigin(o); err != nil && o != "*" {
			return err
		}
	}
	for _, m := range c.Methods {
		if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, m) {
			return fmt.Errorf("%.32q is no method that a page may ask for", m)
		}
	}
	for _, name := range slices.Concat(c.Headers, c.Expose) {
		if !fieldName(name) {
			return fmt.Errorf("%.64q is no name of a header field", name)
		}
	}
	return nil
}

// fieldName reports whether a text is a token of RFC 9110 §5.6.2 that names one
// field; "*" is one by the letter, and means all of them.
func fieldName(name string) bool {
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 128
}

// check checks a rule that no parser of ours has read. asked is false where no
// credential is asked for.
func (r RuleSpec) check(asked bool) error {
	if !asked && len(r.Credentials) > 0 {
		return errors.New("asks for no access key: no credentials can be named")
	}
	if len(r.Rate) > MaxRates || len(r.Addresses) > MaxAddresses || len(r.Credentials) > len(credentialWays) {
		return errors.New("has too many rates, addresses or credentials")
	}
	for _, w := range r.Credentials {
		if err := CheckCredential(w); err != nil {
			return err
		}
	}
	for _, a := range r.Addresses {
		if err := platform.CheckNetwork(a); err != nil {
			return err
		}
	}
	for _, l := range r.Rate {
		if err := l.Check(); err != nil {
			return err
		}
		if l.Pool != "" {
			return errors.New("has a rate in a pool, which is for policies")
		}
	}
	return CheckCORS(r.CORS)
}

// under is the rule of a route of a handler: where it says nothing, what the
// handler says holds.
func (r RuleSpec) under(h RuleSpec) RuleSpec {
	if len(r.Credentials) == 0 {
		r.Credentials = h.Credentials
	}
	if len(r.Addresses) == 0 {
		r.Addresses = h.Addresses
	}
	if len(r.Rate) == 0 {
		r.Rate = h.Rate
	}
	if r.CORS == nil {
		r.CORS = h.CORS
	}
	return r
}

// into puts the rule where the steps find it.
func (r RuleSpec) into(rule *platform.Rule, guard platform.Guard) {
	rule.Addresses, rule.Limits, rule.CORS = r.Addresses, r.Rate, r.CORS
	if guard == platform.GuardKey {
		rule.Methods = r.Credentials
	}
}

// rule reads a field of a rule.
func (p *parser) rule(r *RuleSpec, f member, of string) (err error) {
	switch f.key {
	case "credentials":
		return p.list(f, len(credentialWays), credentialsHint, of, func(text string) error {
			if slices.Contains(r.Credentials, text) {
				return fmt.Errorf("%q stands twice", text)
			}
			r.Credentials = append(r.Credentials, text)
			return CheckCredential(text)
		})
	case "addresses":
		return p.list(f, MaxAddresses, addressesHint, of, func(text string) error {
			n, err := platform.ParseNetwork(text)
			r.Addresses = append(r.Addresses, n)
			return err
		})
	case "rate":
		if _, one := f.value.value.(string); one {
			f.value = node{offset: f.value.offset, isList: true, list: []node{f.value}}
		}
		return p.list(f, MaxRates, rateForm, of, func(text string) error {
			l, err := ParseRate(text)
			if err == nil {
				err = l.Check()
			}
			r.Rate = append(r.Rate, l)
			return err
		})
	}
	r.CORS, err = p.cors(f, of)
	return err
}

// list reads a list of texts, at least one and at most so many.
func (p *parser) list(f member, most int, hint, of string, each func(string) error) error {
	if !f.value.isList || len(f.value.list) == 0 || len(f.value.list) > most {
		return p.fail(f.value.offset, hint, "%s of %s must be a list of 1 to %d texts", f.key, of, most)
	}
	for _, n := range f.value.list {
		text, ok := n.value.(string)
		if !ok {
			return p.fail(n.offset, hint, "%s of %s must be a list of texts", f.key, of)
		}
		if err := each(text); err != nil {
			return p.fail(n.offset, hint, "%s of %s: %s", f.key, of, err)
		}
	}
	return nil
}

func (p *parser) cors(f member, of string) (*platform.CORS, error) {
	if !f.value.isObject {
		return nil, p.fail(f.value.offset, corsHint, "cors of %s must be an object", of)
	}
	c, of := &platform.CORS{}, "the cors of "+of
	for _, o := range f.value.object {
		var err error
		into := func(list *[]string) func(string) error {
			return func(text string) error {
				*list = append(*list, text)
				one := platform.CORS{Origins: []string{"*"}} // each entry is looked at where it stands
				switch o.key {
				case "origins":
					one.Origins = []string{text}
				case "methods":
					one.Methods = []string{text}
				default:
					one.Headers = []string{text}
				}
				return CheckCORS(&one)
			}
		}
		switch o.key {
		case "origins":
			err = p.list(o, maxCORS, originHint, of, into(&c.Origins))
		case "methods":
			err = p.list(o, maxCORS, `write: "methods": ["GET", "POST"]`, of, into(&c.Methods))
		case "headers":
			err = p.list(o, maxCORS, `write: "headers": ["Content-Type", "X-API-Key"]`, of, into(&c.Headers))
		case "expose":
			err = p.list(o, maxCORS, `write: "expose": ["X-Total"]`, of, into(&c.Expose))
		case "credentials":
			var ok bool
			if c.Credentials, ok = o.value.value.(bool); !ok {
				err = p.fail(o.value.offset, "write true or false", "credentials of %s is neither", of)
			}
		case "maxAge":
			s, _ := o.value.value.(string)
			d, bad := time.ParseDuration(s)
			if c.MaxAge = d; bad != nil || d <= 0 || d > MaxCORSAge || d%time.Second != 0 {
				err = p.fail(o.value.offset, `write "10m", at most "24h"`, "maxAge of %s is no duration in whole seconds", of)
			}
		default:
			err = p.unknownOption(o, []string{"origins", "methods", "headers", "expose", "credentials", "maxAge"}, of)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := CheckCORS(c); err != nil {
		return nil, p.fail(f.value.offset, corsHint, "%s: %s", of, err)
	}
	return c, nil
}

// Asks says in few words what a rule asks of a caller beside the guard, and what
// it gives to browsers; empty: nothing.
func Asks(r platform.Rule) string {
	var parts []string
	if len(r.Methods) > 0 {
		parts = append(parts, strings.Join(r.Methods, "|"))
	}
	if n := len(r.Addresses); n == 1 {
		parts = append(parts, "from "+r.Addresses[0].String())
	} else if n > 1 {
		parts = append(parts, fmt.Sprintf("from %s and %d more", r.Addresses[0], n-1))
	}
	for _, l := range r.Limits {
		parts = append(parts, FormatRate(l))
	}
	if r.CORS != nil {
		parts = append(parts, "cors")
	}
	return strings.Join(parts, "; ")
}
