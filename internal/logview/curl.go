package logview

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
)

// removed is what stands in a log where a credential was.
const removed = "[removed]"

// ownFields are those that curl or the way sets.
var ownFields = []string{"host", "content-length", "connection", "accept-encoding", "transfer-encoding", "te", "upgrade", "expect", "traceparent", "tracestate"}

// curl is a call as a line for a shell that makes it again. Credentials are
// variables of the shell; the body, which was not kept, is a file.
func curl(c *api.Invocation) string {
	line := []string{"curl", "--globoff"}
	if c.Request.Method != http.MethodGet {
		line = append(line, "-X", quote(c.Request.Method))
	}
	line = append(line, quote(c.Request.URL))
	switch c.Request.Auth {
	case "basic":
		line = append(line, `-u "$POSTERN_KEY_ID:$POSTERN_KEY_SECRET"`)
	case "apikey":
		line = append(line, `-H "X-API-Key: $POSTERN_KEY_SECRET"`)
	case "bearer", "dpop", "function", "serviceplan":
		line = append(line, `-H "Authorization: Bearer $POSTERN_TOKEN"`)
	}
	if c.Request.Auth == "none" { // nobody was recognised by what was shown
		if c.Request.Headers["authorization"] == removed {
			line = append(line, `-H "Authorization: $POSTERN_AUTHORIZATION"`)
		}
		if c.Request.Headers["x-api-key"] == removed {
			line = append(line, `-H "X-API-Key: $POSTERN_KEY_SECRET"`)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Request.Headers)) {
		if value := c.Request.Headers[name]; value != removed && isToken(name) && !slices.Contains(ownFields, name) {
			line = append(line, "-H "+quote(name+": "+value))
		}
	}
	if n := c.Request.Headers["content-length"]; n != "" && n != "0" {
		line = append(line, "--data-binary @body")
	}
	return strings.Join(line, " ")
}

// quote makes one word of a POSIX shell of a text. What does not print is left
// out: the line is pasted.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// isToken reports whether a text can be the name of a header field (RFC 9110
// §5.6.2). One with a colon in it would be another field, or none.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
