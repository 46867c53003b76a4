package policy

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

const (
	maxKeys      = 10_000
	digestPrefix = "sha256:"
)

func (p *parser) keys(n *yaml.Node) error {
	if len(n.Content) > maxKeys {
		return p.fail(n, "make the others with postern keys create", "there are more than %d keys", maxKeys)
	}
	ids, digests, names := map[string]bool{}, map[[32]byte]bool{}, map[string]bool{}
	return p.list(n, "keys", func(n *yaml.Node) error {
		k, err := p.key(n)
		switch {
		case err != nil:
			return err
		case ids[k.ID] || names[k.DisplayName]:
			return p.fail(n, "", "the key %s (%s) stands twice", k.ID, k.DisplayName)
		case digests[k.SecretHash]:
			return p.fail(n, "give each key a secret of its own: postern gateway key", "the key %s (%s) has the digest of another", k.ID, k.DisplayName)
		}
		ids[k.ID], digests[k.SecretHash], names[k.DisplayName] = true, true, true
		p.doc.Keys = append(p.doc.Keys, k)
		return nil
	})
}

// key reads one key. What it quotes may be a secret in the wrong place, so it
// quotes nothing.
func (p *parser) key(n *yaml.Node) (k platform.AccessKey, err error) {
	k.Scopes = []platform.Scope{platform.ScopeInvoke}
	digest := false
	text := func(into *string, what string) reader {
		return func(n *yaml.Node) (err error) {
			*into, err = p.text(n, what+" of a key")
			return err
		}
	}
	err = p.fields(n, "a key", map[string]reader{
		"id":   func(n *yaml.Node) error { return p.keyID(n, &k.ID) },
		"name": text(&k.DisplayName, "name"),
		"digest": func(n *yaml.Node) error {
			digest = true
			return p.digest(n, &k.SecretHash)
		},
		"scopes": func(n *yaml.Node) (err error) {
			k.Scopes, err = p.scopes(n, "scopes of a key")
			return err
		},
		"groups": func(n *yaml.Node) error { return p.groupsOf(n, &k.Groups) },
		"addresses": func(n *yaml.Node) (err error) {
			k.AllowedCIDRs, err = p.networks(n, "addresses of a key")
			return err
		},
		"ratePerSecond": func(n *yaml.Node) error {
			i, err := p.number(n, "ratePerSecond of a key", 1, 1_000_000)
			k.RatePerSecond = int(i)
			return err
		},
		"quota":          func(n *yaml.Node) error { return p.quota(n, &k.Quota) },
		"expires":        func(n *yaml.Node) error { return p.instant(n, &k.ExpiresAt) },
		"binding":        func(n *yaml.Node) error { return p.binding(n, &k.Binding) },
		"certThumbprint": text(&k.CertThumbprint, "certThumbprint"),
		"servicePlan":    text(&k.ServicePlanID, "servicePlan"),
		"metadata": func(n *yaml.Node) error {
			k.Metadata = map[string]string{}
			return p.each(n, "metadata of a key", func(name, v *yaml.Node) (err error) {
				k.Metadata[name.Value], err = p.text(v, "each entry in metadata of a key")
				return err
			})
		},
	})
	if err == nil && (k.ID == "" || k.DisplayName == "" || !digest) {
		err = p.fail(n, "postern gateway key prints an entry", "a key must have id, name and digest")
	}
	return k, err
}

func (p *parser) keyID(n *yaml.Node, into *string) (err error) {
	if *into, err = p.text(n, "id of a key"); err == nil && !accesskey.ValidID(*into) {
		err = p.fail(n, "make one with postern gateway key", "id of a key is none: it begins with pak_")
	}
	p.mark(n, "key/"+*into)
	return err
}

// digest reads the SHA-256 of a key's secret.
func (p *parser) digest(n *yaml.Node, into *[32]byte) error {
	s, err := p.text(n, "digest of a key")
	sum, ok := strings.CutPrefix(s, digestPrefix)
	size, bad := hex.Decode(into[:], []byte(sum[:min(len(sum), 64)]))
	if err == nil && (!ok || bad != nil || size != 32 || len(sum) != 64 || sum != strings.ToLower(sum)) {
		err = p.fail(n, "postern gateway key prints one", "digest of a key must be sha256: and 64 hexadecimal digits, of the key's secret")
	}
	return err
}

func (p *parser) groupsOf(n *yaml.Node, into *[]string) (err error) {
	if *into, err = p.texts(n, "groups of a key"); err == nil && slices.ContainsFunc(*into, func(g string) bool { return !function.ValidGroup(g) }) {
		err = p.fail(n, "use at most 64 letters, digits, dots, hyphens and underscores each", "groups of a key has what is no name of a group")
	}
	return err
}

// quota reads "10000/day" and "10000/month".
func (p *parser) quota(n *yaml.Node, into *platform.Quota) error {
	s, err := p.text(n, "quota of a key")
	if err != nil {
		return err
	}
	number, per, _ := strings.Cut(s, "/")
	limit, err := function.ParseSize(number)
	if err != nil || limit > 1_000_000_000_000 || strings.HasSuffix(number, "B") || per != string(platform.PerDay) && per != string(platform.PerMonth) {
		return p.fail(n, `write "10000/day" or "10000/month"`, "quota of a key is none")
	}
	*into = platform.Quota{Limit: limit, Per: platform.Period(per)}
	return nil
}

// instant reads a time to the second, as RFC 3339 has it, or a finer one.
func (p *parser) instant(n *yaml.Node, into *time.Time) error {
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || t.Year() < 1971 || t.Year() > 9999 {
		return p.fail(n, "write it like 2027-01-31T12:00:00Z", "expires of a key is no time")
	}
	*into = t.UTC().Truncate(time.Microsecond) // as it will be read back
	return nil
}

func (p *parser) binding(n *yaml.Node, into *platform.Binding) error {
	s, err := p.word(n, "binding of a key", string(platform.BindingDPoP), string(platform.BindingMTLS))
	*into = platform.Binding(s)
	return err
}
