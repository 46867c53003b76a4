package signin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Navigates reports whether a request is a browser's that opens a page: by
// Sec-Fetch-Mode, and of browsers that do not send it by an Accept that names
// HTML first. The method is not looked at.
func Navigates(h http.Header) bool {
	if mode := h["Sec-Fetch-Mode"]; len(mode) > 0 {
		return len(mode) == 1 && mode[0] == "navigate"
	}
	accept := h["Accept"]
	return len(accept) == 1 && prefersHTML(accept[0])
}

// prefersHTML reports whether the first of the types with the highest weight is
// HTML: what asks for */* or for JSON is no browser that opens a page.
func prefersHTML(accept string) (html bool) {
	best := 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, _ := strings.Cut(part, ";")
		weight := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
				weight, _ = strconv.ParseFloat(q, 64)
			}
		}
		if weight > best {
			kind = strings.ToLower(strings.TrimSpace(kind))
			best, html = weight, kind == "text/html" || kind == "application/xhtml+xml"
		}
	}
	return html
}

// Browser reports whether a request comes from a browser that says so; what runs
// on a server names a mode at most. A browser would answer a challenge of HTTP
// Basic with a window of its own.
func Browser(h http.Header) bool { return len(h["Sec-Fetch-Site"]) > 0 }

// origin is what a request tells of the page that made it.
type origin uint8

const (
	unknown origin = iota // nothing is told
	own                   // the page is of the same origin
	foreign               // it is not, or it cannot be read
	nobody                // a person: an address that was typed, a bookmark
)

// cameFrom reads Sec-Fetch-Site, and where a browser does not send it Origin,
// against the origin that the request was made to. A page that keeps its
// referrer to itself has the origin "null", which tells nothing.
func cameFrom(h http.Header, at string) origin {
	if site := h["Sec-Fetch-Site"]; len(site) > 0 {
		switch {
		case len(site) > 1:
			return foreign
		case site[0] == "same-origin":
			return own
		case site[0] == "none":
			return nobody
		}
		return foreign
	}
	switch from := h["Origin"]; {
	case len(from) == 0, len(from) == 1 && from[0] == "null":
		return unknown
	case len(from) == 1 && strings.EqualFold(from[0], at):
		return own
	}
	return foreign
}

// FormIsOurs reports whether a form that was sent to us comes from a page of
// the origin at; known is false where the request does not tell, and a token
// has to.
func FormIsOurs(h http.Header, at string) (ours, known bool) {
	switch cameFrom(h, at) {
	case own, nobody:
		return true, true
	case unknown:
		return false, false
	}
	return false, true
}

// Honours reports whether a request may act by its session's cookie, which a
// browser sends whoever made it ask. A page of our own may do anything. What
// another made, a sibling function on the same site among them, may open a page
// as a link does, and nothing else: no form, no frame, no image, no fetch, no
// WebSocket. Where the browser does not tell, only what is safe goes through.
func Honours(r *http.Request, at string) bool {
	safe := (r.Method == http.MethodGet || r.Method == http.MethodHead) && len(r.Header["Upgrade"]) == 0
	switch cameFrom(r.Header, at) {
	case own:
		return true
	case nobody, unknown:
		return safe
	}
	mode, dest := r.Header["Sec-Fetch-Mode"], r.Header["Sec-Fetch-Dest"]
	return safe && len(mode) == 1 && mode[0] == "navigate" && len(dest) == 1 && dest[0] == "document"
}

// The cookies: of a session, and of a form that is open; of the console the same.
// Over HTTPS they have
// the prefix by which a browser takes them from this very host alone, and over
// TLS alone (RFC 6265bis §4.1.3).
const (
	prefix        = "__Host-"
	sessionCookie = "postern-session"
	formCookie    = "postern-form"
	consoleCookie = "postern-console"
	consoleForm   = "postern-console-form"
	consolePath   = "/console"
)

// Jar knows the names of the cookies, and how they are set.
type Jar struct{ Secure bool }

func (j Jar) name(plain string) string {
	if j.Secure {
		return prefix + plain
	}
	return plain
}

// Session and Form are the values that a request shows. Who shows one twice
// shows none: two readers could each take another one.
func (j Jar) Session(h http.Header) string { return find(h["Cookie"], j.name(sessionCookie)) }

// Form is the value of the cookie of an open form.
func (j Jar) Form(h http.Header) string { return find(h["Cookie"], j.name(formCookie)) }

// SetSession sets the session's cookie for so long; without a value it is removed.
func (j Jar) SetSession(h http.Header, value string, left time.Duration) {
	j.set(h, sessionCookie, value, left, http.SameSiteLaxMode)
}

// SetForm sets the cookie of a form; without a value it is removed.
func (j Jar) SetForm(h http.Header, value string) {
	j.set(h, formCookie, value, Idle, http.SameSiteStrictMode)
}

// Console and ConsoleForm are what the console's cookies have, likewise.
func (j Jar) Console(h http.Header) string { return find(h["Cookie"], j.name(consoleCookie)) }

// ConsoleForm is the value of the cookie of a form before the sign-in.
func (j Jar) ConsoleForm(h http.Header) string { return find(h["Cookie"], j.name(consoleForm)) }

// SetConsole sets the cookie of a session of the console for so long; without a
// value it is removed.
func (j Jar) SetConsole(h http.Header, value string, left time.Duration) {
	j.set(h, consoleCookie, value, left, http.SameSiteLaxMode)
}

// SetConsoleForm sets the cookie of a form before the sign-in; without a value it
// is removed.
func (j Jar) SetConsoleForm(h http.Header, value string) {
	j.set(h, consoleForm, value, Idle, http.SameSiteStrictMode)
}

// path is where a cookie is sent: the prefix asks for all of the host.
func (j Jar) path(plain string) string {
	if !j.Secure && (plain == consoleCookie || plain == consoleForm) {
		return consolePath
	}
	return "/"
}

func (j Jar) set(h http.Header, plain, value string, left time.Duration, site http.SameSite) {
	c := http.Cookie{Name: j.name(plain), Value: value, Path: j.path(plain), HttpOnly: true, Secure: j.Secure, SameSite: site, MaxAge: int(left / time.Second)}
	if value == "" || c.MaxAge <= 0 {
		c.Value, c.MaxAge = "", -1
	}
	h["Set-Cookie"] = append(slices.Clip(h["Set-Cookie"]), c.String())
}

func find(lines []string, name string) (value string) {
	shown := false
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if n != name {
				continue
			}
			if shown {
				return ""
			}
			value, shown = v, true
		}
	}
	return value
}

// Cut takes our cookies out of a header, under either name, and leaves others
// as they are: a handler never sees them.
func Cut(h http.Header) { cut(h, sessionCookie, formCookie, consoleCookie, consoleForm) }

// CutConsole takes those of the console out, for what goes to a function that
// knows sessions of its own: somebody else's machine at the end of a tunnel.
func CutConsole(h http.Header) { cut(h, consoleCookie, consoleForm) }

func cut(h http.Header, names ...string) {
	lines := h["Cookie"]
	for i, line := range lines {
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(line, name) }) {
			lines[i] = without(line, names)
		}
	}
	for i := 0; i < len(lines); {
		if lines[i] == "" {
			lines = append(lines[:i], lines[i+1:]...)
		} else {
			i++
		}
	}
	if len(lines) == 0 {
		delete(h, "Cookie")
	} else {
		h["Cookie"] = lines
	}
}

func without(line string, names []string) string {
	var kept []string
	for pair := range strings.SplitSeq(line, ";") {
		pair = strings.TrimSpace(pair)
		name, _, _ := strings.Cut(pair, "=")
		if pair != "" && !slices.Contains(names, strings.TrimPrefix(strings.TrimSpace(name), prefix)) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "; ")
}
