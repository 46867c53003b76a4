package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
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
	// HTTP/1 is read by package wire first, with TLS and without.
	// Without it the listener speaks HTTP/1.1 only: h2c is off, because an
	// upgrade in clear is a second way in that proxies do not see.
	TLS *tls.Config
	// Drain bounds how long requests in flight may take to end; then their
	// connections are closed. Zero means 10 s.
	Drain time.Duration
	// MaxConnections is how many connections may be open at a time, and
	// MaxPerAddress how many of one address, proxies excepted; zero: no bound.
	// What is above is closed when it comes.
	MaxConnections, MaxPerAddress int
	// Proxies say in X-Forwarded-For who called them.
	Proxies Proxies
	// Counter, when set, is told of connections.
	Counter Counter
	Log     *slog.Logger
}

// The limits of HTTP/2, where they are not those of Limits. Frames are small
// because each connection keeps room for its largest.
const (
	streams    = 250      // requests at a time on one connection; one above is refused
	frameSize  = 64 << 10 // bytes
	tableSize  = 4 << 10  // of header compression, in either direction
	connWindow = 1 << 20  // bytes of bodies that nobody has read yet, of one connection
	bodyWindow = 512 << 10
)

func http2(limits Limits) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          streams,
		MaxDecoderHeaderTableSize:     tableSize,
		MaxEncoderHeaderTableSize:     tableSize,
		MaxReadFrameSize:              frameSize,
		MaxReceiveBufferPerConnection: connWindow,
		MaxReceiveBufferPerStream:     bodyWindow,
		WriteByteTimeout:              limits.Write,
	}
}

const maxFields = 200 // header fields of one request, as of one in HTTP/1

var (
	errTwoHosts = fault.New(fault.Invalid, "the request names two hosts").WithHint("send :authority alone, or a Host header that says the same")
	errPath     = fault.New(fault.Invalid, "the path does not begin with a slash")
	errLength   = fault.New(fault.Invalid, "the content-length is not that of the body").WithHint("send one, in digits, or none")
	errFields   = fault.New(fault.Invalid, "the request has more header fields than are taken")
)

// oneHead refuses of HTTP/2 what package wire refuses of HTTP/1. What concerns
// connections (Connection, Transfer-Encoding, TE other than trailers) net/http
// itself answers with 400.
func oneHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			if err := checkHead(r); err != nil {
				id := NewRequestID()
				w.Header()["X-Request-Id"] = []string{id}
				WriteProblem(w, err, id)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func checkHead(r *http.Request) error {
	if hosts := r.Header["Host"]; len(hosts) > 0 {
		if len(hosts) > 1 || !strings.EqualFold(hosts[0], r.Host) {
			return errTwoHosts
		}
		delete(r.Header, "Host") // as of HTTP/1: Request.Host has it
	}
	if r.RequestURI != "*" && !strings.HasPrefix(r.RequestURI, "/") && r.Method != http.MethodConnect {
		return errPath
	}
	if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
		// net/http takes the first, and one that it cannot read for 0.
		if n, err := strconv.ParseUint(lengths[0], 10, 63); err != nil || len(lengths) > 1 || int64(n) != r.ContentLength {
			return errLength
		}
	}
	n := 0
	for _, values := range r.Header {
		n += len(values)
	}
	if n > maxFields {
		return errFields
	}
	return nil
}

// Serve serves until ctx ends, then stops accepting, waits for requests in
// flight, and returns nil; or the error that ended it before.
func (s *Server) Serve(ctx context.Context) error {
	limits := s.Limits.withDefaults()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.TLS != nil)
	srv := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: limits.ReadHeader,
		ReadTimeout:       limits.Read,
		WriteTimeout:      limits.Write,
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    limits.MaxHeaderBytes,
		Protocols:         protocols,
		HTTP2:             http2(limits),
		ConnState:         hijacked,
		// OPTIONS * must reach the handler: Go's own answer would come before any check.
		DisableGeneralOptionsHandler: true,
	}
	if s.Log != nil {
		srv.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	}
	if len(s.Proxies) > 0 {
		srv.Handler, srv.ConnContext = s.Proxies.believe(s.Handler), s.Proxies.know
	}
	entrance := s.door()
	var ln net.Listener
	halt := srv.Shutdown
	if s.TLS == nil {
		l := express(entrance, srv)
		watching, stop := context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		l.group.Go(func() { l.server.Watch(watching) })
		ln, halt = l, func(ctx context.Context) error { return l.halt(ctx, srv) }
	} else {
		config := s.TLS.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		srv.Handler, srv.TLSConfig = oneHead(srv.Handler), config.Clone() // net/http may write to its own
		ln = secure(entrance, config)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
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
	if err := halt(grace); err != nil {
		srv.Close()
	}
	<-done
	return nil
}

// door is the server's listener with its bounds.
func (s *Server) door() *door {
	d := &door{Listener: s.Listener, most: s.MaxConnections, each: s.MaxPerAddress, exempt: s.Proxies, counter: s.Counter, log: s.Log, from: map[netip.Addr]int{}}
	if d.counter == nil {
		d.counter = uncounted{}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// hijacked tells a connection that a handler took it over.
func hijacked(c net.Conn, state http.ConnState) {
	if c, ok := c.(interface{ Hijacked() }); ok && state == http.StateHijacked {
		c.Hijacked()
	}
}
