package httpx

import (
	"context"
	"errors"
	"net"
	"net/http"

	"postern.dev/postern/internal/lane"
	"postern.dev/postern/internal/wire"
)

// lanes is a hall behind which plain HTTP/1.1 is served by package lane. A
// connection on which comes anything else is passed on to net/http, behind
// package wire, with what came on it.
type lanes struct {
	*hall
	server *lane.Server
	base   func(net.Conn) context.Context
}

// express starts to take connections from a door. They are served as srv says.
// After Close those go on that are served; Shutdown ends them.
func express(d *door, srv *http.Server) *lanes {
	l := &lanes{hall: newHall(d), server: lane.New()}
	s := l.server
	s.Handler, s.Log, s.MaxHeader = srv.Handler, srv.ErrorLog, srv.MaxHeaderBytes
	s.ReadHeader, s.Read, s.Write, s.Idle = srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout
	l.base = func(c net.Conn) context.Context {
		ctx := context.WithValue(context.WithValue(context.Background(), http.ServerContextKey, srv), http.LocalAddrContextKey, c.LocalAddr())
		if srv.ConnContext != nil {
			ctx = srv.ConnContext(ctx, c)
		}
		return ctx
	}
	l.group.Go(func() { l.run(l.serve) })
	return l
}

func (l *lanes) serve(c *guest) {
	if c.early = l.server.Serve(l.base(c), c); c.early != nil {
		l.pass(wire.New(c, l.misframed))
	}
}

// Release says that a handler has kept nothing of a request, nor of its answer:
// no other goroutine has any of it, and the next request may use it again. It
// is the last that a handler does.
func Release(w http.ResponseWriter) { lane.Release(w) }

// halt ends what is served, here and by srv.
func (l *lanes) halt(ctx context.Context, srv *http.Server) error {
	l.Close()
	done := make(chan error, 1)
	go func() { done <- l.server.Shutdown(ctx) }()
	return errors.Join(srv.Shutdown(ctx), <-done)
}
