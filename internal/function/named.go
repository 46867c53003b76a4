package function

import (
	"encoding/json"
	"fmt"
	"strings"

	"postern.dev/postern/internal/platform"
)

// ValidGroup reports whether a text may be the name of a group of keys.
func ValidGroup(name string) bool { return groupPattern.MatchString(name) }

// ParseSize reads a number of bytes, or one with a unit: "10MiB".
func ParseSize(text string) (int64, error) {
	var v any = text
	if text != "" && strings.Trim(text, "0123456789") == "" {
		v = json.Number(text)
	}
	n, ok := parseSize(v)
	if !ok {
		return 0, fmt.Errorf("%.64q is no size", text)
	}
	return n, nil
}

// CheckPatterns says which of some patterns, by its place, cannot stand as the
// address of something that is no function, and why: it does not parse, or it
// clashes with an earlier one. /health is a path like any other there.
func CheckPatterns(texts []string) (int, error) {
	if len(texts) > maxRoutes {
		return maxRoutes, fmt.Errorf("there are more than %d routes", maxRoutes)
	}
	var known []pattern
	for i, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			return i, fmt.Errorf("the route %.128q: %w", text, err)
		}
		for j, q := range known {
			if why := p.clash(q); why != "" {
				return i, fmt.Errorf("the routes %q and %q %s", texts[j], text, why)
			}
		}
		known = append(known, p)
	}
	return 0, nil
}

// GovernUpstream is the routes of an upstream as a table takes them, those of
// one handler that is named like the upstream, with what their groups share.
func GovernUpstream(u platform.Upstream, groups []platform.GroupPolicy) ([]platform.Handler, error) {
	h := platform.Handler{Name: u.Name}
	for _, r := range u.Routes {
		h.Routes = append(h.Routes, platform.Route{Pattern: r.Pattern, Guard: r.Guard, Loosened: r.Guard == platform.GuardOpen, Rule: r.Rule})
	}
	return Govern([]platform.Handler{h}, &platform.FunctionPolicy{Name: u.Name}, groups)
}
