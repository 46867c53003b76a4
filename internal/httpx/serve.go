package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"postern.dev/postern/internal/fault"
)

// Limits are the five limits of a listener. A zero field takes the default
// that is named beside it, so a server without limits cannot be made.
type Limits struct {
	ReadHeader     time.Duration // 10 s: from the connection's first byte to the end of the header
	Read           time.Duration // 60 s: for the whole request; a handler's own deadline may move it
	Write          time.Duration // 60 s: for the whole response; a handler's own deadline may move it
	Idle           time.Duration // 120 s: between two requests of one connection
	MaxHeaderBytes int           // 64 KiB
}

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&l.ReadHeader, 10*time.Second)
	def(&l.Read, 60*time.Second)
	def(&l.Write, 60*time.Second)
	def(&l.Idle, 120*time.Second)
	if l.MaxHeaderBytes == 0 {
		l.MaxHeaderBytes = 64 << 10
	}
	return l
}

// Listen opens a TCP listener. flag is the flag that set the address, for the
// hint when the address is taken.
func Listen(ctx context.Context, addr, flag string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fault.Wrap(err, fault.Unavailable, fmt.Sprintf("the address %s (%s) is in use by another program", addr, flag)).
			WithCode("port_in_use").WithHint(fmt.Sprintf("stop the other program, or choose another address: %s 127.0.0.1:0", flag))
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, fmt.Sprintf("cannot listen on %s (%s)", addr, flag)).
			WithHint(fmt.Sprintf("give an address of this machine and a port: %s 127.0.0.1:8080", flag))
	}
	return ln, nil
}

// Server is one listener with its handler. The zero value of its optional
// fields is safe.
type Server struct {
	Listener net.Listener
	Handler  http.Handler
	Limits   Limits
	// TLS, when set, makes the listener speak TLS with HTTP/2 and HTTP/1.1.
	// Without it the listener speaks HTTP/1.1 only: h2c is off, because an
	// upgrade in clear is a second way in that proxies do not see.
	TLS *tls.Config
	// Drain bounds how long requests in flight may take to end; then their
	// connections are closed. Zero means 10 s.
	Drain time.Duration
	Log   *slog.Logger
}

// oneReading ends the connection after a request whose end another reader of
// the same bytes may see elsewhere, so that what follows is never taken for a
// request: that is how requests are smuggled past a proxy in front of us.
// A request with both Content-Length and Transfer-Encoding must be treated so
// (RFC 9112, section 6.1), and so must one of HTTP/1.0 with Transfer-Encoding;
// net/http drops the telling header before a handler can see it, so every
// chunked request and every request of HTTP/1.0 is.
func oneReading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0) {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}

// Serve serves until ctx ends, then stops accepting, waits for requests in
// flight, and returns nil; or the error that ended it before.
func (s *Server) Serve(ctx context.Context) error {
	limits := s.Limits.withDefaults()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.TLS != nil)
	srv := &http.Server{
		Handler:           oneReading(s.Handler),
		ReadHeaderTimeout: limits.ReadHeader,
		ReadTimeout:       limits.Read,
		WriteTimeout:      limits.Write,
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    limits.MaxHeaderBytes,
		TLSConfig:         s.TLS,
		Protocols:         protocols,
		// OPTIONS * must reach the handler: Go's own answer would come before any check.
		DisableGeneralOptionsHandler: true,
	}
	if s.Log != nil {
		srv.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	}
	done := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			done <- srv.ServeTLS(s.Listener, "", "")
		} else {
			done <- srv.Serve(s.Listener)
		}
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	drain := s.Drain
	if drain == 0 {
		drain = 10 * time.Second
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		srv.Close()
	}
	<-done
	return nil
}
