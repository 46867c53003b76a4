package function

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// maxSockets and maxSocketPath bound what a module may declare.
const (
	maxSockets    = 100
	maxSocketPath = 256
)

// declared is all that a module declares, a WebSocket as a handler that is named
// by its path.
func declared(d platform.Declaration) []platform.DeclaredHandler {
	all := slices.Clip(d.Handlers)
	for _, path := range d.Sockets {
		all = append(all, platform.DeclaredHandler{Name: path, Kind: platform.HandlerSocket})
	}
	return all
}

// isSocketPath reports whether a path may be that of a WebSocket: it has one
// reading only, with nothing to decode, by the rule of the runtime.
func isSocketPath(path string) bool {
	if path == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || len(path) > maxSocketPath {
		return false
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "" || segment[0] == '.' {
			return false
		}
		for _, c := range []byte(segment) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~", c) < 0 {
				return false
			}
		}
	}
	return true
}

// checkSockets refuses what of a manifest cannot be said of a WebSocket.
func checkSockets(m Manifest, d platform.Declaration) error {
	if len(d.Sockets) > maxSockets {
		return fault.New(fault.Invalid, fmt.Sprintf("the module declares more than %d WebSockets", maxSockets)).WithCode("setup_failed")
	}
	for i, path := range d.Sockets {
		// The declaration comes from a process that runs the user's code.
		if !isSocketPath(path) || i > 0 && d.Sockets[i-1] >= path {
			return fault.New(fault.Invalid, fmt.Sprintf("%.64q is no path for a WebSocket", path)).WithCode("setup_failed")
		}
		if o := m.Handlers[path]; o.Signature != nil || o.Body != platform.BodyBuffered || o.BodyLimit != 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("%s: the WebSocket %s has no body, and no signature", m.Source, path)).WithCode("manifest_invalid").
				WithHint("remove body, bodyLimit and signature of " + path + " from handlers")
		}
		for _, r := range m.Routes {
			if r.Handler == path {
				return fault.New(fault.Invalid, fmt.Sprintf("%s: the route %q names the WebSocket %s", m.Source, r.Path, path)).WithCode("manifest_invalid").
					WithHint("remove the route: a WebSocket is at exactly its path")
			}
		}
	}
	return nil
}

// keepApart refuses a WebSocket at an address where a handler answers: one of the two
// would never be reached, and guards may differ. A route with parameters is less
// exact than a path, and yields to it.
func keepApart(hs []platform.Handler) error {
	others := NewTable(slices.DeleteFunc(slices.Clone(hs), func(h platform.Handler) bool { return h.Kind == platform.HandlerSocket }))
	for _, h := range hs {
		if h.Kind != platform.HandlerSocket {
			continue
		}
		by := "the built-in health answer"
		m, taken := others.Match(http.MethodGet, h.Name)
		switch {
		case taken && m.Handler != nil:
			by = "the handler " + m.Handler.Name
		case m.Allow != "":
			taken, by = true, "a route of the manifest"
		case IsCallback(h.Name[strings.LastIndexByte(h.Name, '/')+1:]):
			taken, by = true, "a voice callback"
		}
		if taken && len(m.Names) == 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("the WebSocket %s has the address of %s", h.Name, by)).WithCode("setup_failed").WithHint("give runtime.onWebSocket another path")
		}
	}
	return nil
}

// matchSocket finds the WebSocket of a path. It is opened by GET alone (RFC 6455
// §4.1).
func (t *Table) matchSocket(method, path string) (m Match, known bool) {
	n := t.sockets[path]
	if n == nil {
		return Match{}, false
	}
	if method != http.MethodGet && method != http.MethodHead {
		return Match{Allow: http.MethodGet}, true
	}
	m, _ = found(n)
	return m, true
}
