package oauth

import "strings"

// clientCredentials gives a client a token for itself (RFC 6749 §4.4). With
// resource (RFC 8707 §2), or audience as some clients call it, the token is
// narrowed to the control plane, the gateway, or one function behind it.
func clientCredentials(s *Server, c *call) (granted, error) {
	scope, err := scopesOf(c.client, c.form.Get("scope"))
	if err != nil {
		return granted{}, err
	}
	audience, err := s.audience(append(c.form["resource"], c.form["audience"]...))
	if err != nil {
		return granted{}, err
	}
	return granted{scope, audience}, nil
}

// audience is for which doors a token is good, in the one form in which they
// know themselves.
func (s *Server) audience(asked []string) (out []string, err error) {
	for _, a := range asked {
		if a == "" {
			continue
		}
		a = strings.TrimRight(a, "/")
		switch f := s.o.Function(a); {
		case a == s.o.Issuer, a == s.o.Gateway:
			out = append(out, a)
		case f != "":
			out = append(out, f)
		default:
			return nil, badRequest("invalid_target", "the resource is not this control plane, its gateway, or a function of it", "leave resource out, or name one of these by its URL")
		}
	}
	if len(out) > maxAudiences {
		return nil, badRequest("invalid_target", "there are too many resources", "name at most 8")
	}
	if len(out) == 0 {
		out = []string{s.o.Gateway, s.o.Issuer}
	}
	return out, nil
}

const maxAudiences = 8
