package funclog

import (
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Invocation is a call of a function that is over, as the function's owner may
// see it: credentials and cookies are taken off, and no body is kept. Make its
// texts with [Headers] and [Address], which bound them too.
type Invocation struct {
	BeganAt time.Time     `json:"beganAt"`
	Took    time.Duration `json:"took"` // until the last byte was sent
	Method  string        `json:"method"`
	URL     string        `json:"url"`               // as called
	Handler string        `json:"handler,omitempty"` // empty: none was found, or the gateway answered by itself
	// Auth is how the caller was recognised, as the access log says it.
	Auth     string            `json:"auth,omitempty"`
	Remote   string            `json:"remote,omitempty"`
	Request  map[string]string `json:"request,omitempty"` // header fields by name in lower case
	Status   int               `json:"status"`
	Response map[string]string `json:"response,omitempty"`
	Cold     bool              `json:"cold,omitempty"`   // it waited for a worker to start
	Memory   int64             `json:"memory,omitempty"` // of the worker when the call was over, in bytes; 0: not known
	// Code and Error say why it was refused or failed; empty of all others.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

// Level is how much it matters: an error of the function or of what runs it,
// a refusal, or an ordinary call.
func (c *Invocation) Level() slog.Level {
	switch {
	case c.Status >= 500:
		return slog.LevelError
	case c.Status >= 400:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (c *Invocation) size() int {
	n := len(c.Method) + len(c.URL) + len(c.Handler) + len(c.Remote) + len(c.Code) + len(c.Error) + 200
	for _, h := range []map[string]string{c.Request, c.Response} {
		for name, value := range h {
			n += len(name) + len(value) + 32
		}
	}
	return n
}

// The most that is kept of one invocation: callers and functions write it.
const (
	mostFields   = 64
	longestName  = 128
	longestValue = 1 << 10
	mostHeader   = 8 << 10 // bytes of all values
	longestURL   = 4 << 10
)

// Removed stands where a credential was.
const Removed = "[removed]"

// Headers is what is kept of a header: fields by name in lower case, several
// values of one joined (RFC 9110 §5.3), and instead of each credential and each
// cookie, Removed. hide takes other secrets out of a value. The texts are copies.
func Headers(h map[string][]string, hide func(string) string) map[string]string {
	out := make(map[string]string, min(len(h), mostFields))
	left := mostHeader
	for _, name := range sortedNames(h) {
		if len(out) == mostFields {
			break
		}
		value := Removed
		if plain := strings.ToLower(name); !private(plain) {
			value = cut(hide(strings.Join(h[name], ", ")), min(longestValue, left))
		}
		left -= len(value)
		out[cut(strings.ToLower(name), longestName)] = value
		if left <= 0 {
			break
		}
	}
	return out
}

func sortedNames(h map[string][]string) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names) // so that of too many the same ones stay
	return names
}

// Address is a URL as called, from its parts as they were sent, with what its
// query shows as a credential removed, and what hide finds.
func Address(scheme, host, path, query string, hide func(string) string) string {
	text := scheme + "://" + host + path
	if query != "" {
		text += "?" + cleanQuery(query)
	}
	return cut(hide(text), longestURL)
}

func cleanQuery(query string) string {
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, _, ok := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		if ok && (private(strings.ToLower(plain)) || strings.EqualFold(plain, "code")) {
			parts[i] = name + "=" + Removed
		}
	}
	return strings.Join(parts, "&")
}

// privateWords are those of which one in a name says that the value is, or may
// be good for, a credential.
var privateWords = []string{"auth", "authorization", "authentication", "cookie", "cookie2", "credential", "credentials", "dpop", "jwt", "key", "apikey", "passwd", "password", "pwd",
	"secret", "session", "sessionid", "sid", "sig", "signature", "token", "assertion", "otp", "pin"}

// private reports whether what has this name, in lower case, is not shown.
// Where in doubt it is not.
func private(name string) bool {
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r < 'a' || r > 'z' }) {
		if slices.Contains(privateWords, word) || strings.HasSuffix(word, "token") || strings.HasSuffix(word, "secret") || strings.HasSuffix(word, "password") || strings.HasSuffix(word, "apikey") {
			return true
		}
	}
	return false
}

// cut is a copy of s that is UTF-8 and no longer than most bytes, with a mark
// where something is left out.
func cut(s string, most int) string {
	most = max(most, 0)
	if len(s) <= most {
		return strings.ToValidUTF8(strings.Clone(s), "\ufffd")
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return strings.ToValidUTF8(s[:most]+"…", "\ufffd")
}
