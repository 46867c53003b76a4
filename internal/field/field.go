// Package field says which header fields of a request may go past the gateway,
// to a handler or to an upstream: the one list for both. It knows names only.
package field

import "strings"

// Stripped reports whether a header field must not go past the gateway:
// credentials, what belongs to the connection (RFC 9110 §7.6.1), names by which
// a caller could pretend to be the gateway, and what only a proxy may say: what
// a trusted one said of the caller is known by then, and all else would be the
// caller's own word. "_" and "." count as "-", because runtimes that turn headers
// into variables do not tell them apart.
// connection is what the request has as Connection.
func Stripped(name string, connection []string) bool {
	switch name { // the common ones, as net/http spells them
	case "Accept", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent":
		return len(connection) > 0 && Listed(connection, name)
	case "Authorization", "X-Api-Key", "Connection":
		return true
	}
	if name == "" || name[0] == ':' {
		return true // would be read as a path parameter
	}
	var plain [32]byte
	n := min(len(name), len(plain))
	for i := range n {
		plain[i] = plainly(name[i])
	}
	if len(name) <= len(plain) {
		switch string(plain[:n]) {
		case "authorization", "proxy-authorization", "x-api-key", "dpop", "host", "connection", "keep-alive", "proxy-connection",
			"forwarded", "x-real-ip", "x-original-url", "x-rewrite-url", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings":
			return true
		}
	}
	if strings.HasPrefix(string(plain[:n]), "x-postern-") || strings.HasPrefix(string(plain[:n]), "x-forwarded-") {
		return true
	}
	return len(connection) > 0 && Listed(connection, name)
}

// Credential reports whether a header field is one in which a caller shows an
// access key or a token, spelt as net/http does.
func Credential(name string) bool {
	return name == "Authorization" || name == "X-Api-Key" || name == "Dpop"
}

// Listed reports whether a Connection field names a header field as hop-by-hop.
func Listed(connection []string, name string) bool {
	for _, line := range connection {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), name) {
				return true
			}
		}
	}
	return false
}

// Is reports whether a header field is the one with a name, in lower case, or
// is spelt so that some runtime takes it for that.
func Is(name, plain string) bool {
	if len(name) != len(plain) {
		return false
	}
	for i := range len(name) {
		if plainly(name[i]) != plain[i] {
			return false
		}
	}
	return true
}

// plainly is a character of a name as the least careful runtime reads it.
func plainly(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.':
		return '-'
	}
	return c
}
