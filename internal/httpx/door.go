package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/wire"
)

// Why a connection was ended before any handler saw a request of it, or the
// next one. They are labels of a metric: a few words, and nothing of a caller's.
const (
	RefusedFull      = "full"      // as many are open as may be
	RefusedAddress   = "address"   // its address has as many as it may have
	RefusedHandshake = "handshake" // it came to no TLS
	RefusedFraming   = "framing"   // what it sent can be read in two ways
)

// Counter is told of connections. It may be called by many at a time.
type Counter interface {
	// Connected is called with 1 when a connection was taken, and with -1 when it ends.
	Connected(change int)
	// Refused is called with one of the words above.
	Refused(reason string)
}

// handshakeTime is how long a caller may take to begin and finish TLS.
const handshakeTime = 10 * time.Second

// door is a listener that counts who comes in.
type door struct {
	net.Listener
	most, each int     // zero: no bound
	exempt     Proxies // from each: many callers come from one address there
	counter    Counter
	log        *slog.Logger

	mu   sync.Mutex
	open int                // guarded by mu
	from map[netip.Addr]int // guarded by mu
}

// admit closes connections beyond the bounds until there is one within. It
// does not answer them: who holds too many connections is no reader.
func (d *door) admit() (*guest, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var from netip.Addr
		if peer := platform.CallerAddr(c.RemoteAddr().String()); !d.exempt.has(peer) {
			from = platform.CallerBlock(peer)
		}
		if reason := d.enter(from); reason != "" {
			c.Close()
			d.counter.Refused(reason)
			continue
		}
		d.counter.Connected(1)
		return &guest{Conn: c, door: d, from: from}, nil
	}
}

// enter counts a connection, or says why not.
func (d *door) enter(from netip.Addr) (reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.most > 0 && d.open >= d.most {
		return RefusedFull
	}
	if d.each > 0 && from.IsValid() {
		if d.from[from] >= d.each {
			return RefusedAddress
		}
		d.from[from]++
	}
	d.open++
	return ""
}

func (d *door) leave(from netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.each == 0 || !from.IsValid() {
		return
	}
	if d.from[from]--; d.from[from] == 0 {
		delete(d.from, from)
	}
}

func (d *door) misframed(remote net.Addr, wrong string) {
	d.counter.Refused(RefusedFraming)
	d.log.Debug("refused what can be read in two ways", "remote", remote.String(), "wrong", wrong)
}

// guest is a connection that was counted.
type guest struct {
	net.Conn
	door  *door
	from  netip.Addr
	once  sync.Once
	early []byte // was read already, and is to be read again first
}

// Read reads.
func (g *guest) Read(p []byte) (int, error) {
	if len(g.early) == 0 {
		return g.Conn.Read(p)
	}
	n := copy(p, g.early)
	g.early = g.early[n:]
	return n, nil
}

// NetConn is the connection itself, where bytes may go by without being counted.
func (g *guest) NetConn() net.Conn { return g.Conn }

// Close ends the connection and its being counted.
func (g *guest) Close() error {
	err := g.Conn.Close()
	g.once.Do(func() {
		g.door.leave(g.from)
		g.door.counter.Connected(-1)
	})
	return err
}

// CloseWrite ends the sending half, where the connection has halves.
func (g *guest) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// hall is a door behind which each connection is taken care of before net/http
// gets it, or without.
type hall struct {
	*door
	ready  chan accepted   // for net/http
	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	group  sync.WaitGroup
}

type accepted struct {
	conn net.Conn
	err  error
}

func newHall(d *door) *hall {
	h := &hall{door: d, ready: make(chan accepted)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// run takes connections, and has each taken care of beside the others, so that
// one that does not begin holds up nobody; there are no more of them than the
// door lets in. An error waits until the server has seen it, and with it the loop.
func (h *hall) run(care func(*guest)) {
	for {
		c, err := h.admit()
		if err == nil {
			h.group.Go(func() { care(c) })
			continue
		}
		select {
		case h.ready <- accepted{nil, err}:
		case <-h.ctx.Done():
		}
		if errors.Is(err, net.ErrClosed) || h.ctx.Err() != nil {
			return
		}
	}
}

// pass passes a connection on to net/http.
func (h *hall) pass(c net.Conn) {
	select {
	case h.ready <- accepted{c, nil}:
	case <-h.ctx.Done():
		c.Close()
	}
}

// Accept waits for a connection that was passed on.
func (h *hall) Accept() (net.Conn, error) {
	select {
	case a := <-h.ready:
		return a.conn, a.err
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close stops listening.
func (h *hall) Close() error {
	h.cancel()
	return h.door.Close()
}

// handshakes is a hall behind which TLS is spoken. The server gets connections
// on which it was agreed what is spoken inside: HTTP/2 as *tls.Conn, which
// net/http looks for, and HTTP/1.1 as one that package wire reads first.
type handshakes struct {
	*hall
	config *tls.Config
}

// secure starts to take connections from a door. Close ends it.
func secure(d *door, config *tls.Config) *handshakes {
	h := &handshakes{newHall(d), config}
	h.group.Go(func() { h.run(h.shake) })
	return h
}

func (h *handshakes) shake(c *guest) {
	ctx, cancel := context.WithTimeout(h.ctx, handshakeTime)
	defer cancel()
	t := tls.Server(c, h.config)
	if err := t.HandshakeContext(ctx); err != nil {
		if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && e.Conn != nil && plain(e.RecordHeader) {
			io.WriteString(e.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis server speaks HTTPS here.\n")
		}
		c.Close()
		h.counter.Refused(RefusedHandshake)
		h.log.Debug("no TLS came about", "remote", c.RemoteAddr().String(), "error", err)
		return
	}
	conn := net.Conn(t)
	if t.ConnectionState().NegotiatedProtocol != "h2" {
		conn = &overTLS{wire.New(t, h.misframed), t}
	}
	h.pass(conn)
}

// plain reports whether a TLS record that is none begins like HTTP.
func plain(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}

// Close stops listening, ends the handshakes, and waits for them.
func (h *handshakes) Close() error {
	err := h.hall.Close()
	h.group.Wait()
	return err
}

// overTLS is a connection of HTTP/1.1 that tells net/http of its TLS.
type overTLS struct {
	*wire.Conn
	tls *tls.Conn
}

// ConnectionState is what the handshake agreed on; net/http asks for it.
func (c *overTLS) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// uncounted is the Counter of a server that has none.
type uncounted struct{}

func (uncounted) Connected(int)  {}
func (uncounted) Refused(string) {}
