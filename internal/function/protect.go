package function

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Protect decides how each declared handler is guarded: opt-out for
// postern.json (what nobody decided is closed), the source's own opt-in for
// sinch.json (docs/decisions/0005-opt-out.md). Callbacks are guarded by
// signature in both (docs/callbacks.md), unless the manifest's webhookProtection
// lets them in where the function is: deployed or not. An auth export or a
// handler option that names no handler is an error, because a misspelt name
// would silently open a door.
func Protect(m Manifest, d platform.Declaration, deployed bool) ([]platform.Handler, []string, error) {
	if err := checkNames(m, d); err != nil {
		return nil, nil, err
	}
	var handlers []platform.Handler
	var open []string
	for _, dh := range declared(d) {
		o := m.Handlers[dh.Name]
		h := platform.Handler{Name: dh.Name, Kind: dh.Kind, Guard: guardOf(m, d, dh, deployed), Body: o.Body, Rule: platform.Rule{Signature: o.Signature, BodyLimit: o.BodyLimit, Timeout: o.Timeout}}
		if _, byName := signedBy(m, d, dh); h.Guard == platform.GuardOpen && !byName {
			open = append(open, h.Name)
		}
		o.into(&h.Rule, h.Guard)
		var err error
		if h.Routes, err = routesOf(m, d, h); err != nil {
			return nil, nil, err
		}
		if len(o.Credentials) > 0 && len(h.Routes) == 0 && h.Guard != platform.GuardKey {
			return nil, nil, uncredited(m, fmt.Sprintf("the handler %.64q", h.Name))
		}
		handlers = append(handlers, h)
	}
	if err := keepApart(handlers); err != nil {
		return nil, nil, err
	}
	files, hidden := filesOf(m, d, deployed, handlers)
	handlers = append(handlers, files...)
	warnings := append(callbackWarnings(m, handlers), hidden...)
	if routes := Loosened(handlers); len(routes) > 0 {
		warnings = append(warnings, "open to everyone by auth none: "+strings.Join(routes, ", "))
	}
	if m.Program != nil && m.Program.Port == PortTCP {
		warnings = append(warnings, "the program listens on a port, which other processes of the server's machine can reach past the gateway. To close it: \"port\": \"socket\", and listen on $POSTERN_SOCKET")
	}
	if slices.Contains(d.Auth.Names, "health") {
		warnings = append(warnings, "auth names health, but exactly /health is open whatever auth says: infrastructure asks there")
	}
	if m.Source == SourceSinch && !d.Auth.Present && len(open) > 0 {
		warnings = append(warnings, fmt.Sprintf("no auth export in a sinch.json project: open to everyone: %s. To close them: export const auth = '*'", strings.Join(open, ", ")))
	}
	return handlers, warnings, nil
}

func guardOf(m Manifest, d platform.Declaration, h platform.DeclaredHandler, deployed bool) platform.Guard {
	signed, byName := signedBy(m, d, h)
	switch {
	case signed != nil, byName && m.WebhookProtection.Enforced(deployed):
		return platform.GuardSignature
	case byName:
		return platform.GuardOpen
	case d.Auth.All, d.Auth.Present && slices.Contains(d.Auth.Names, h.Name):
		return platform.GuardKey
	case d.Auth.Present, m.Source == SourceSinch:
		return platform.GuardOpen
	}
	return platform.GuardKey
}

func checkNames(m Manifest, d platform.Declaration) error {
	if len(d.Handlers)+len(d.Sockets) == 0 {
		return fault.New(fault.Invalid, "the module exports no handler").WithCode("no_handlers")
	}
	var names []string
	callbacks := map[string]bool{}
	for _, h := range d.Handlers {
		// The declaration comes from a process that runs the user's code: a
		// kind that does not go with its name would be routed by another rule
		// than the one by which it is guarded.
		if kind, ok := kindOf(h.Name); !ok || kind != h.Kind {
			return fault.New(fault.Invalid, fmt.Sprintf("%.64q is no name for a handler of its kind", h.Name)).WithCode("module_failed")
		}
		if slices.Contains(names, h.Name) {
			return fault.New(fault.Invalid, fmt.Sprintf("the handler %s is declared twice", h.Name)).WithCode("module_failed")
		}
		names = append(names, h.Name)
		callbacks[h.Name] = h.Kind == platform.HandlerCallback
	}
	if err := checkSockets(m, d); err != nil {
		return err
	}
	names = append(names, d.Sockets...)
	exports := names
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	for _, n := range d.Auth.Names {
		if callbacks[n] {
			return fault.New(fault.Invalid, fmt.Sprintf("auth names the callback %q", n)).WithCode("auth_unknown_handler").
				WithHint("remove it from auth: callbacks are checked by signature, never by key")
		}
		if !slices.Contains(names, n) {
			return unknownHandler("auth", n, names).WithCode("auth_unknown_handler")
		}
	}
	for n, o := range m.Handlers {
		if !slices.Contains(exports, n) {
			return unknownHandler(m.Source+": handlers", n, exports).WithCode("manifest_invalid")
		}
		if o.Signature != nil && slices.Contains(d.Auth.Names, n) {
			return fault.New(fault.Invalid, fmt.Sprintf("%s gives the handler %.64q a signature, but auth names it too: it is guarded by the one or by an access key", m.Source, n)).WithCode("manifest_invalid").
				WithHint("remove it from auth, or its signature from the manifest")
		}
		if o.Body == platform.BodyStream && d.Style == platform.StyleEvent {
			return fault.New(fault.Invalid, fmt.Sprintf("%s: the handler %.64q takes events, whose body is a string: it cannot be streamed", m.Source, n)).WithCode("manifest_invalid").
				WithHint(`write "style": "context" for handlers that take (context, request)`)
		}
	}
	for _, r := range m.Routes {
		if !slices.Contains(exports, r.Handler) {
			return unknownHandler(fmt.Sprintf("%s: the route %q", m.Source, r.Path), r.Handler, exports).WithCode("manifest_invalid")
		}
		if callbacks[r.Handler] {
			return fault.New(fault.Invalid, fmt.Sprintf("%s: the route %q names the callback %q", m.Source, r.Path, r.Handler)).WithCode("manifest_invalid").
				WithHint("remove the route: a callback is found by its name and checked by signature, never by key")
		}
	}
	return nil
}

// routesOf decides the routes of a handler. The one handler of a module of
// events answers every path when the manifest names none.
func routesOf(m Manifest, d platform.Declaration, h platform.Handler) ([]platform.Route, error) {
	if len(m.Routes) == 0 && d.Style == platform.StyleEvent && len(d.Handlers) == 1 && h.Name == eventHandler {
		return []platform.Route{{Pattern: "/{path...}", Guard: h.Guard, Rule: h.Rule}}, nil
	}
	if len(m.Routes) == 0 && m.Program != nil {
		return []platform.Route{{Pattern: ProgramRoute, Guard: h.Guard}}, nil
	}
	var out []platform.Route
	for _, r := range m.Routes {
		if r.Handler != h.Name {
			continue
		}
		route := platform.Route{Pattern: r.Path, Guard: h.Guard, Rule: platform.Rule{Group: r.Group, BodyLimit: r.BodyLimit, Timeout: r.Timeout}}
		for _, s := range r.Scopes {
			route.Scopes = append(route.Scopes, platform.Scope(s))
		}
		switch r.Auth {
		case AuthKey:
			route.Guard = platform.GuardKey
		case AuthNone:
			route.Guard, route.Loosened = platform.GuardOpen, true
		case AuthSignature:
			route.Guard = platform.GuardSignature
		}
		if len(r.Credentials) > 0 && route.Guard != platform.GuardKey {
			return nil, uncredited(m, fmt.Sprintf("the route %q", r.Path))
		}
		r.RuleSpec.under(m.Handlers[h.Name].RuleSpec).into(&route.Rule, route.Guard)
		if err := signedRoute(r, &route, h); err != nil {
			return nil, fault.New(fault.Invalid, m.Source+": "+err.Error()).WithCode("manifest_invalid").WithHint(signatureExample)
		}
		out = append(out, route)
	}
	return out, nil
}

// uncredited refuses credentials that nobody would be asked for.
func uncredited(m Manifest, what string) error {
	return fault.New(fault.Invalid, fmt.Sprintf("%s: %s asks for no access key, so its credentials mean nothing", m.Source, what)).WithCode("manifest_invalid").
		WithHint("remove credentials, or have an access key asked for: name the handler in auth, or write \"auth\": \"key\" on the route")
}

// eventHandler is the export that a module of events has.
const eventHandler = "handler"

// Loosened lists what the manifest or a policy itself opened: the patterns of
// routes, and the names of handlers that are found by them.
func Loosened(hs []platform.Handler) (patterns []string) {
	for _, h := range hs {
		if h.Loosened && len(h.Routes) == 0 {
			patterns = append(patterns, h.Name)
		}
		for _, r := range h.Routes {
			if r.Loosened {
				patterns = append(patterns, r.Pattern)
			}
		}
	}
	return patterns
}

func unknownHandler(where, name string, names []string) *fault.Error {
	text := fmt.Sprintf("%s names %.64q, but the module exports no such handler; it exports: %s", where, name, strings.Join(slices.DeleteFunc(slices.Clone(names), isFile), ", "))
	if isFile(name) {
		text = fmt.Sprintf("%s names %.128q, but there is no such file", where, name)
	}
	e := fault.New(fault.Invalid, text)
	near := Nearest(name, names)
	for _, n := range names {
		if near == "" && isFile(n) && path.Base(n) == path.Base(name) {
			near = n
		}
	}
	if near != "" {
		e.WithHint(fmt.Sprintf("did you mean %q?", near))
	}
	return e
}

// Names that are never handlers, because they mean something to the runtime
// or to JavaScript itself.
var reserved = []string{"auth", "setup", "default", "constructor", "prototype", "__proto__", "toString", "valueOf", "hasOwnProperty",
	"isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "then"}

// Routable reports whether an export's name may be a handler's name: an ASCII
// JavaScript identifier of at most 64 characters that is not reserved.
func Routable(name string) bool {
	return !slices.Contains(reserved, name) && !strings.HasPrefix(name, "__") && identifier(name)
}

// identifier reports whether a name is an ASCII JavaScript identifier of at
// most 64 characters.
func identifier(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// kindOf is the kind of a handler of that name, by the rule of the runtime's
// loader; ok is false for a name that is never a handler.
func kindOf(name string) (kind platform.HandlerKind, ok bool) {
	switch {
	case name == "default" || name == "home":
		return platform.HandlerRoot, true
	case !Routable(name):
		return 0, false
	case IsCallback(name):
		return platform.HandlerCallback, true
	case len(name) > len(serviceSuffix) && strings.HasSuffix(name, serviceSuffix):
		return platform.HandlerService, true
	}
	return platform.HandlerCustom, true
}
