package function

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"postern.dev/postern/internal/platform"
)

// Table finds the handler of a path. It is immutable and safe for concurrent use.
type Table struct {
	byName   map[string]*named // that have no routes of their own
	sockets  map[string]*named // by their paths; nil: there are none
	services map[string]*named // by the service's name, without the suffix
	files    map[string]*named // by path
	ahead    map[string]*named // those whose path routes know no better than any other
	root     *named
	routes   *branch // nil: there are none
	only     bool    // nothing is found by a name
	health   bool    // a program has its own /health
	doors    []Door
}

// named is a handler that is found by its name.
type named struct {
	*platform.Handler
	door int
}

// Door is what of a function is guarded in one way: a route, or all addresses
// of a handler that is found by its name.
type Door struct {
	Handler *platform.Handler // with the guard and the rule of this door; nil of the built-in health answer
	Pattern string            // empty: found by its name
}

// Doors lists the doors. The first is /health, which asks for nothing.
func (t *Table) Doors() []Door { return t.doors }

// Match is what a path found.
type Match struct {
	// Handler is the handler to run, with the rule of its route; nil for the
	// built-in health answer.
	Handler *platform.Handler
	// Guard is how this call is guarded: the handler's own guard, that of the
	// route, or GuardOpen for exactly /health.
	Guard platform.Guard
	// Door is the place in Table.Doors.
	Door int
	// Pattern is the route's pattern, Names are its parameters, and Values as
	// many segments of the path; empty where no route was asked for.
	Pattern string
	Names   []string
	Values  [MaxParams]string
	// Allow is set when nothing was found because of the method alone.
	Allow string
}

// NewTable makes the table of a deployment's handlers. The table keeps hs.
func NewTable(hs []platform.Handler) *Table {
	t := &Table{byName: make(map[string]*named, len(hs)), services: map[string]*named{}, doors: make([]Door, 1, 1+len(hs))}
	for i := range hs {
		h := &hs[i]
		if len(h.Routes) > 0 { // else a route's guard and group could be gone round by another address
			t.addRoutes(h)
			continue
		}
		n := &named{Handler: h, door: t.door(h, "")}
		if h.Kind == platform.HandlerFile {
			t.addFile(n)
			continue
		}
		if h.Kind == platform.HandlerSocket {
			if t.sockets == nil {
				t.sockets = map[string]*named{}
			}
			t.sockets[h.Name] = n
			continue
		}
		t.byName[h.Name] = n
		if h.Kind == platform.HandlerService {
			t.services[strings.TrimSuffix(h.Name, serviceSuffix)] = n
		}
		if h.Kind == platform.HandlerRoot && (t.root == nil || h.Name == "home") {
			t.root = n
		}
	}
	t.order()
	return t
}

// NewRoutes makes a table of a handler's routes alone: nothing is found by a name,
// and /health is a path like any other. The table keeps what h points to.
func NewRoutes(h platform.Handler) *Table {
	t := &Table{routes: &branch{}, only: true, doors: make([]Door, 1, 1+len(h.Routes))}
	t.addRoutes(&h)
	return t
}

func (t *Table) door(h *platform.Handler, pattern string) int {
	t.doors = append(t.doors, Door{h, pattern})
	return len(t.doors) - 1
}

func (t *Table) addRoutes(h *platform.Handler) {
	if t.routes == nil {
		t.routes = &branch{}
	}
	for _, r := range h.Routes {
		p, err := parsePattern(r.Pattern)
		if err != nil {
			continue // was refused when it was deployed: whoever wrote it here since opens nothing
		}
		t.health = t.health || p.isHealth()
		l := &leaf{pattern: r.Pattern, handler: *h}
		l.handler.Routes, l.handler.Guard, l.handler.Rule = nil, r.Guard, r.Rule
		l.handler.BodyLimit, l.handler.Timeout = cmp.Or(r.BodyLimit, h.BodyLimit), cmp.Or(r.Timeout, h.Timeout)
		l.door = t.door(&l.handler, r.Pattern)
		t.routes.add(p, l)
	}
}

// An export named <service> and the suffix answers below the prefix.
const (
	servicePrefix = "/webhook/"
	serviceSuffix = "Webhook"
)

// Match finds the handler of a method and a canonical path: decoded once,
// beginning with a slash, without empty or dot segments, without a slash at the
// end. It does not allocate but for Allow, and takes as long as the path is.
//
// The order is: exactly the path of a WebSocket; exactly /health; the names of
// the voice callbacks that there
// are, as the last segment of any path; routes, the most specific first; the
// root; /webhook/<service>; the last segment; files. A path that routes know is
// theirs, also where none has the method; but a file goes before a route that
// knows every path.
func (t *Table) Match(method, path string) (Match, bool) {
	if t.only {
		return t.matchRoute(method, path)
	}
	if t.sockets != nil {
		if m, known := t.matchSocket(method, path); known {
			return m, m.Allow == ""
		}
	}
	if path == "/health" && !t.health {
		m := Match{Guard: platform.GuardOpen}
		if h := t.byName["health"]; h != nil && h.Kind == platform.HandlerCustom {
			m.Handler = h.Handler
		}
		return m, true
	}
	last := path[strings.LastIndexByte(path, '/')+1:]
	h := t.byName[last]
	callback := IsCallback(last)
	if callback && h != nil && h.Kind == platform.HandlerCallback {
		return found(h)
	}
	if t.routes != nil {
		if f := t.ahead[path]; f != nil && (method == http.MethodGet || method == http.MethodHead) {
			return found(f)
		}
		if m, ok := t.matchRoute(method, path); ok || m.Allow != "" {
			return m, ok
		}
	}
	switch {
	case path == "/" && t.root != nil:
		return found(t.root)
	case callback:
		return Match{}, false
	}
	if service, ok := strings.CutPrefix(path, servicePrefix); ok && service == last {
		if s := t.services[service]; s != nil {
			return found(s)
		}
	}
	if h == nil || h.Kind == platform.HandlerService || h.Name == "default" {
		return serve(t.files[path], method)
	}
	return found(h)
}

// voiceHandler takes the events of calls at the root too.
const voiceHandler = "voiceWebhook"

// MatchEvent finds the handler of a request that carries the event of a call, as
// the second voice API sends it to the root. ok is false where that makes no
// difference: no handler is found by that name, or a route knows the path.
func (t *Table) MatchEvent(method, path string) (Match, bool) {
	if method != http.MethodPost || path != "/" || t.only {
		return Match{}, false
	}
	h := t.byName[voiceHandler]
	if h == nil {
		return Match{}, false
	}
	if t.routes != nil {
		if m, ok := t.matchRoute(method, path); ok || m.Allow != "" {
			return Match{}, false
		}
	}
	return found(h)
}

func (t *Table) matchRoute(method, path string) (m Match, ok bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	left := path
	if path == "/" {
		left = ""
	}
	l := t.routes.find(method, left, &m.Values, 0)
	if l == nil {
		return Match{Allow: t.routes.allow(left)}, false
	}
	clear(m.Values[len(l.names):]) // of routes that were tried before
	m.Handler, m.Guard, m.Door, m.Pattern, m.Names = &l.handler, l.handler.Guard, l.door, l.pattern, l.names
	return m, true
}

func found(n *named) (Match, bool) {
	if n == nil {
		return Match{}, false
	}
	return Match{Handler: n.Handler, Guard: n.Guard, Door: n.door}, true
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

var callbackNames = []string{"ice", "ace", "pie", "dice", "notify"}

// BuiltIn stands in a row for the handler of what the gateway answers by itself.
const BuiltIn = "built in"

// RouteRow is one line of the table that a deploy prints.
type RouteRow struct {
	Path    string `json:"path" doc:"Where the handler answers, below the function's address."`
	Handler string `json:"handler" doc:"The export that runs, the file that is sent ('public/logo.png'), 'WebSocket', or 'built in'."`
	Guard   string `json:"guard" doc:"'access key', 'open', or 'signature'."`
	Method  string `json:"method,omitempty" doc:"Of a route: the only method; empty: any."`
	Group   string `json:"group,omitempty" doc:"Of a route: which keys open it; empty: those of the group named like the function."`
	Asks    string `json:"asks,omitempty" doc:"In words, beside the guard: how a credential is shown, from where, how often, and whether browsers may call."`
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

// Describe lists every route, and an address of each handler without any, with
// how it is guarded, sorted by path, /health first. Handlers without routes
// answer below other segments too, under the same guard.
func Describe(hs []platform.Handler) []RouteRow {
	rows := []RouteRow{{Path: "/health", Handler: BuiltIn, Guard: "open"}}
	table := NewTable(hs)
	home := slices.ContainsFunc(hs, func(h platform.Handler) bool { return h.Name == "home" })
	for _, h := range hs {
		guard, asks := GuardWord(h.Guard), asksOf(h, h.Guard, h.Rule)
		switch {
		case len(h.Routes) > 0:
			for _, r := range h.Routes {
				method, path, ok := strings.Cut(r.Pattern, " ")
				if !ok {
					method, path = "", r.Pattern
				}
				row := RouteRow{Path: path, Handler: h.Name, Guard: GuardWord(r.Guard), Method: method, Group: r.Group, Asks: asksOf(h, r.Guard, r.Rule)}
				if path == "/health" { // of a program, instead of the built-in one
					rows[0] = row
					continue
				}
				rows = append(rows, row)
			}
		case h.Name == "default" && home: // nothing leads to it
		case h.Kind == platform.HandlerRoot:
			rows = append(rows, RouteRow{Path: "/", Handler: h.Name, Guard: guard, Asks: asks})
		case h.Kind == platform.HandlerService:
			if _, ok := table.MatchEvent(http.MethodPost, "/"); ok && h.Name == voiceHandler {
				rows = append(rows, RouteRow{Path: "/", Handler: h.Name, Guard: guard, Method: http.MethodPost, Asks: strings.TrimSuffix("events of calls; "+asks, "; ")})
			}
			rows = append(rows, RouteRow{Path: servicePrefix + strings.TrimSuffix(h.Name, serviceSuffix), Handler: h.Name, Guard: guard, Asks: asks})
		case h.Kind == platform.HandlerFile:
			rows = append(rows, RouteRow{Path: pathOf(h.Name), Handler: h.Name, Guard: guard, Method: http.MethodGet, Asks: asks})
		case h.Kind == platform.HandlerCallback:
			rows = append(rows, RouteRow{Path: "/" + h.Name, Handler: h.Name, Guard: guard, Asks: asks})
		case h.Kind == platform.HandlerSocket:
			rows = append(rows, RouteRow{Path: h.Name, Handler: "WebSocket", Guard: guard, Asks: asks})
		case h.Name == "health":
			rows[0].Handler = "health"
			if h.Guard != platform.GuardOpen {
				rows = append(rows, RouteRow{Path: "/…/health", Handler: h.Name, Guard: guard, Asks: asks})
			}
		default:
			rows = append(rows, RouteRow{Path: "/" + h.Name, Handler: h.Name, Guard: guard, Asks: asks})
		}
	}
	slices.SortStableFunc(rows[1:], func(a, b RouteRow) int { return strings.Compare(a.Path, b.Path) })
	return rows
}
