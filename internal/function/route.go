package function

import (
	"slices"
	"strings"

	"postern.dev/postern/internal/platform"
)

// Table finds the handler of a path. It is immutable and safe for concurrent use.
type Table struct {
	byName   map[string]*platform.Handler
	services map[string]*platform.Handler // by the service's name, without the suffix
	root     *platform.Handler
}

// Match is what a path found.
type Match struct {
	// Handler is the handler to run; nil for the built-in health answer.
	Handler *platform.Handler
	// Guard is how this call is guarded: the handler's own guard, or GuardOpen
	// for exactly /health.
	Guard platform.Guard
}

// NewTable makes the table of a deployment's handlers. The table keeps hs.
func NewTable(hs []platform.Handler) *Table {
	t := &Table{byName: make(map[string]*platform.Handler, len(hs)), services: map[string]*platform.Handler{}}
	for i := range hs {
		h := &hs[i]
		t.byName[h.Name] = h
		if h.Kind == platform.HandlerService {
			t.services[strings.TrimSuffix(h.Name, serviceSuffix)] = h
		}
		if h.Kind == platform.HandlerRoot && (t.root == nil || h.Name == "home") {
			t.root = h
		}
	}
	return t
}

// An export named <service> and the suffix answers below the prefix.
const (
	servicePrefix = "/webhook/"
	serviceSuffix = "Webhook"
)

// Match finds the handler of a canonical path: decoded once, beginning with a
// slash, without empty or dot segments, without a slash at the end. It does
// not allocate, and takes as long as the path is.
//
// The order is: exactly /health; the names of voice callbacks as the last
// segment of any path; the root; /webhook/<service>; the last segment.
func (t *Table) Match(path string) (Match, bool) {
	if path == "/health" {
		h := t.byName["health"]
		if h != nil && h.Kind != platform.HandlerCustom {
			h = nil
		}
		return Match{Handler: h, Guard: platform.GuardOpen}, true
	}
	if path == "/" {
		return found(t.root)
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	h := t.byName[last]
	if IsCallback(last) {
		if h == nil || h.Kind != platform.HandlerCallback {
			return Match{}, false
		}
		return found(h)
	}
	if service, ok := strings.CutPrefix(path, servicePrefix); ok && service == last {
		if s := t.services[service]; s != nil {
			return found(s)
		}
	}
	if h == nil || h.Kind == platform.HandlerService || h.Name == "default" {
		return Match{}, false
	}
	return found(h)
}

func found(h *platform.Handler) (Match, bool) {
	if h == nil {
		return Match{}, false
	}
	return Match{Handler: h, Guard: h.Guard}, true
}

// IsCallback reports whether a last path segment belongs to the voice
// callbacks, whatever the rest of the path is.
func IsCallback(segment string) bool {
	switch segment {
	case "ice", "ace", "pie", "dice", "notify":
		return true
	}
	return false
}

// RouteRow is one line of the table that a deploy prints.
type RouteRow struct {
	Path    string `json:"path" doc:"Where the handler answers, below the function's address."`
	Handler string `json:"handler" doc:"The export that runs, or 'built in'."`
	Guard   string `json:"guard" doc:"'access key', 'open', or 'signature'."`
}

// GuardWord is the word for a guard in tables and logs.
func GuardWord(g platform.Guard) string {
	switch g {
	case platform.GuardOpen:
		return "open"
	case platform.GuardSignature:
		return "signature"
	}
	return "access key"
}

// Describe lists an address of each handler and how it is guarded, sorted by
// path, /health first. Handlers answer below other segments too, under the
// same guard.
func Describe(hs []platform.Handler) []RouteRow {
	rows := []RouteRow{{Path: "/health", Handler: "built in", Guard: "open"}}
	home := slices.ContainsFunc(hs, func(h platform.Handler) bool { return h.Name == "home" })
	for _, h := range hs {
		guard := GuardWord(h.Guard)
		switch {
		case h.Name == "default" && home: // nothing leads to it
		case h.Kind == platform.HandlerRoot:
			rows = append(rows, RouteRow{"/", h.Name, guard})
		case h.Kind == platform.HandlerService:
			rows = append(rows, RouteRow{servicePrefix + strings.TrimSuffix(h.Name, serviceSuffix), h.Name, guard})
		case h.Kind == platform.HandlerCallback:
			rows = append(rows, RouteRow{"/" + h.Name, h.Name, guard})
		case h.Name == "health":
			rows[0].Handler = "health"
			if h.Guard != platform.GuardOpen {
				rows = append(rows, RouteRow{"/…/health", h.Name, guard})
			}
		default:
			rows = append(rows, RouteRow{"/" + h.Name, h.Name, guard})
		}
	}
	slices.SortStableFunc(rows[1:], func(a, b RouteRow) int { return strings.Compare(a.Path, b.Path) })
	return rows
}
