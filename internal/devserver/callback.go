package devserver

import (
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// Callback is an address that senders of callbacks call, as its developer can try it.
type Callback struct {
	Handler string
	Path    string
	Scheme  string
	Secrets []string // what the signature is made with
	Lacks   bool     // none of them has a value
}

// Callbacks are those of the function as it serves, whether it asks for their
// signature here or not. A path with parameters is not among them.
func (s *Server) Callbacks() (out []Callback) {
	s.mu.Lock()
	v := s.current
	s.mu.Unlock()
	if v == nil {
		return nil
	}
	value := v.value
	add := func(path string, of *platform.Signature, h *platform.Handler) {
		g, err := signature.Of(of, h.Name, h.Kind)
		if err != nil || strings.ContainsAny(path, "{") {
			return
		}
		names := g.Secrets
		if g.KeyID != "" {
			names = append([]string{g.KeyID}, names...)
		}
		out = append(out, Callback{Handler: h.Name, Path: path, Scheme: g.Scheme.Name(), Secrets: names, Lacks: len(g.Keys(value)) == 0})
	}
	for i := range v.deployment.Handlers {
		h := &v.deployment.Handlers[i]
		for _, r := range h.Routes {
			_, path, ok := strings.Cut(r.Pattern, " ")
			if !ok {
				path = r.Pattern
			}
			add(path, r.Signature, h)
		}
		if len(h.Routes) == 0 {
			for _, row := range function.Describe([]platform.Handler{*h}) {
				if row.Handler == h.Name && !strings.HasPrefix(row.Path, "/…") {
					add(row.Path, h.Signature, h)
				}
			}
		}
	}
	return out
}

// value is that of a name in the environment of a version.
func (v *version) value(name string) string { return v.deployment.Variables[name] }

var errNoCallback = fault.New(fault.NotFound, "the function takes no callbacks at this path").WithCode("handler_not_found")
var errLacks = fault.New(fault.Invalid, "the function has no secret to sign this callback with").WithHint("postern secrets add NAME, with the name that stands beside the callback")

// Sign signs a request to one of the addresses of Callbacks, as the sender would.
func (s *Server) Sign(path, handler string, r *http.Request, body []byte) error {
	s.mu.Lock()
	v := s.current
	s.mu.Unlock()
	if v == nil {
		return errNoCallback
	}
	for i := range v.deployment.Handlers {
		h := &v.deployment.Handlers[i]
		if h.Name != handler {
			continue
		}
		of := h.Signature
		for _, route := range h.Routes {
			if strings.HasSuffix(route.Pattern, path) {
				of = route.Signature
			}
		}
		g, err := signature.Of(of, h.Name, h.Kind)
		if err != nil {
			return errNoCallback
		}
		keys := g.Keys(v.value)
		if len(keys) == 0 {
			return errLacks
		}
		out := &signature.Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header, Body: body, Now: time.Now()}
		if err := signature.Sign(g.Scheme, keys[0], "msg_"+strings.ToLower(rand.Text()), out); err != nil {
			return fault.Wrap(err, fault.Invalid, "the callback cannot be signed: "+err.Error())
		}
		return nil
	}
	return errNoCallback
}

// Addr is where the local door listens.
func (s *Server) Addr() net.Addr { return s.o.Listener.Addr() }

// Warn tells the developer of something, wherever they look.
func (s *Server) Warn(text string) { s.notice(slog.LevelWarn, "%s", text) }

// TellTunnel puts on the feed how the tunnel is, which is not this package's.
func (s *Server) TellTunnel(t Tunnel) { s.feed.add(Event{Tunnel: &t}) }
