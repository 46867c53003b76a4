// Package lane serves the plain requests of HTTP/1.1, which are nearly all, at
// a fraction of what net/http takes for one.
//
// [Server.Serve] serves a connection for as long as what comes on it is plain as
// [wire.Head] has it, with a body of known, small length or none. At the first
// request that is not, it gives the connection back with the bytes that it has
// read and not served, and net/http behind a [wire.Conn] reads them again from
// their beginning: what is refused, upgraded, chunked or large is that server's,
// and there is one that refuses.
//
// What a handler gets is what it gets of net/http, but for Hijack. One goroutine
// reads, runs the handler and writes. Nothing is started, and no timer is moved,
// for a request that is quick: deadlines are set a little late and kept while
// they serve, and whether the caller is still there is only watched of requests
// that take longer ([Server.Watch]).
//
// A request and what belongs to it is made anew for each, unless the handler
// said of the one before that it kept nothing ([Release]). Texts are never used
// again: those of a request are parts of one string.
package lane

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/wire"
)

// maxBody is the longest body of a plain request.
const maxBody = 64 << 10

// firstBuffer is what a connection reads into; a long head gets more.
const firstBuffer = 4 << 10

// Server serves connections. Its exported fields are set before it is used.
type Server struct {
	Handler http.Handler
	// ReadHeader, Read, Write and Idle are the limits of a http.Server; none is zero.
	ReadHeader, Read, Write, Idle time.Duration
	// MaxHeader is the longest head in bytes; longer ones are not plain.
	MaxHeader int
	// Log is told of panics.
	Log *log.Logger

	stopping atomic.Bool
	stamp    atomic.Pointer[stamp]
	turns    sync.Pool // of *turn, of which nobody holds anything
	sheets   sync.Pool // of *sheet
	buffers  sync.Pool // of *[firstBuffer]byte
	copies   sync.Pool // of *[copyBuffer]byte

	asleep atomic.Bool   // nobody watches
	rouse  chan struct{} // capacity 1
	mu     sync.Mutex
	conns  map[*conn]struct{} // guarded by mu
	lively []*conn            // that had a request lately; guarded by mu
	empty  chan struct{}      // closed when stopping and none is left; guarded by mu
}

// Release says of a response that its handler kept nothing of the request:
// neither it, its context, header or body, nor those of the response, and that
// no other goroutine does. The next request may then use them again. It is
// called last. Of a response that is not a lane's it does nothing.
func Release(w http.ResponseWriter) {
	if w, ok := w.(*response); ok {
		w.released = true
	}
}

// New makes a server without a handler and limits.
func New() *Server {
	s := &Server{rouse: make(chan struct{}, 1), conns: map[*conn]struct{}{}}
	s.asleep.Store(true)
	return s
}

// conn is a connection. But where it says otherwise, its fields are those of the
// goroutine that serves.
type conn struct {
	s       *Server
	nc      net.Conn // to be closed
	raw     net.Conn // to be read and written
	ctx     *context.Context
	remote  string
	buf     []byte // from r to w is what was read and not used yet
	r, w    int
	old     bool      // it had a request
	readBy  time.Time // as set; zero: not known
	writeBy time.Time
	failed  error // why nothing can be written any more
	current *turn // of the handler that runs; of the watch as well

	phase atomic.Uint64 // what goes on: the number of the request, and below it one of the words
	watch watch

	listed atomic.Bool // it is in lively
	seen   uint64      // phase when it was looked at last; guarded by s.mu
	quiet  int         // how often nothing had happened; guarded by s.mu
}

// What goes on on a connection.
const (
	waiting = iota // for a head
	reading        // a handler runs, and of its request's body not all has come
	running        // a handler runs
	watched        // the same, and the connection is read to see whether it ends
	over

	phases = 8 // of which the number of the request is a multiple
)

// Serve serves a connection on which nothing was read yet. It returns nil when
// the connection is over, which it then has closed; else it gives it back with
// what came on it first. ctx has the values of the requests' contexts. Where nc
// has a method NetConn, bytes go by what that returns.
func (s *Server) Serve(ctx context.Context, nc net.Conn) (rest []byte) {
	c := &conn{s: s, nc: nc, raw: nc, ctx: &ctx, remote: nc.RemoteAddr().String()}
	if beneath, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.raw = beneath.NetConn()
	}
	if !s.enter(c) {
		nc.Close()
		return nil
	}
	defer s.leave(c)
	c.buf = s.buffer()
	given := false
	defer func() {
		if !given {
			nc.Close()
		}
		c.phase.Store(over)
		s.keep(c.buf)
	}()
	if given = c.serve(); !given {
		return nil
	}
	c.raw.SetDeadline(time.Time{})
	return append([]byte{}, c.buf[c.r:c.w]...)
}

// buffer gives a buffer of the usual size.
func (s *Server) buffer() []byte {
	if b, ok := s.buffers.Get().(*[firstBuffer]byte); ok {
		return b[:]
	}
	return make([]byte, firstBuffer)
}

// keep keeps a buffer of the usual size for another connection.
func (s *Server) keep(buf []byte) {
	if len(buf) == firstBuffer {
		s.buffers.Put((*[firstBuffer]byte)(buf))
	}
}

// serve serves requests until the connection ends, or is to be given back.
func (c *conn) serve() (given bool) {
	for {
		if c.r == c.w && !c.wait() {
			return false
		}
		t := c.s.turn(c)
		n, ok := c.readHead(&t.head)
		if !ok || n == 0 || !t.take(c, n) {
			c.s.putBack(t)
			return ok && c.give()
		}
		if stays := c.run(t); !stays || c.s.stopping.Load() {
			return false
		}
	}
}

// give reports whether the connection is still to be given back: a server that
// stops has closed it.
func (c *conn) give() bool {
	now := c.phase.Load()
	return now%phases == waiting && c.phase.CompareAndSwap(now, now|over)
}

// wait waits for the first bytes of a request.
func (c *conn) wait() bool {
	c.r, c.w = 0, 0
	if len(c.buf) > firstBuffer {
		c.buf = c.s.buffer()
	}
	now := time.Now()
	if !c.old {
		c.setReadBy(now.Add(c.s.ReadHeader))
	} else if late := c.s.Idle + c.s.Idle/32; c.readBy.Before(now.Add(c.s.Idle)) || c.readBy.After(now.Add(late)) {
		c.setReadBy(now.Add(late))
	}
	return c.more() == nil
}

// more reads what comes.
func (c *conn) more() error {
	n, err := c.raw.Read(c.buf[c.w:])
	if c.w += n; n > 0 {
		return nil
	}
	return err
}

func (c *conn) setReadBy(at time.Time) {
	c.raw.SetReadDeadline(at)
	c.readBy = at
}

// readHead reads until a head is there, and returns its length; 0 says that it is
// none for us. ok is false when the connection ended.
func (c *conn) readHead(h *wire.Head) (n int, ok bool) {
	most := min(wire.MaxPlain, c.s.MaxHeader)
	for began := false; ; {
		n, plain := h.Take(c.buf[c.r:c.w])
		if !plain || n > most || h.Length > maxBody {
			return 0, true
		}
		if n > 0 {
			return n, true
		}
		if c.w-c.r >= most {
			return 0, true
		}
		c.makeRoom(most)
		if !began && c.old {
			c.setReadBy(time.Now().Add(c.s.ReadHeader))
			began = true
		}
		if err := c.more(); err != nil {
			// Who closed its half may wait for a refusal; net/http gives none after
			// an answer for what is shorter than a method.
			return 0, err == io.EOF && (!c.old || c.w-c.r >= 4)
		}
	}
}

// makeRoom makes room behind what was read.
func (c *conn) makeRoom(most int) {
	if c.w < len(c.buf) {
		return
	}
	if c.r > 0 {
		c.r, c.w = 0, copy(c.buf, c.buf[c.r:c.w])
		return
	}
	bigger := make([]byte, max(most, 2*len(c.buf)))
	copy(bigger, c.buf)
	c.s.keep(c.buf)
	c.buf = bigger
}

// run answers a request, and reports whether the connection may have another.
func (c *conn) run(t *turn) (stays bool) {
	s := c.s
	phase := c.phase.Load()
	word := uint64(running)
	if t.body.left > int64(c.w-c.r) {
		word = reading
	}
	c.current = t
	if phase%phases != waiting || !c.phase.CompareAndSwap(phase, phase+phases|word) {
		return false // closed by a server that stops
	}
	if !c.listed.Load() {
		s.list(c)
	}
	if now := t.began; c.writeBy.Before(now.Add(s.Write)) || c.writeBy.After(now.Add(s.Write+s.Write/32)) {
		c.writeBy = now.Add(s.Write + s.Write/32)
		c.raw.SetWriteDeadline(c.writeBy)
	}
	c.old = true
	stays = t.serve(s.Handler)
	if stays {
		stays = t.response.finish()
	}
	c.unwatch()
	switch {
	case !stays:
		c.nc.Close() // who reads the body still is not waited for
		t.body.Close()
	case t.head.Length > 0:
		stays = t.body.finish() == nil
	}
	if t.readSet.Load() {
		c.readBy = time.Time{}
	}
	if t.response.writeSet {
		c.writeBy = time.Time{}
	}
	c.current = nil
	s.sheets.Put(t.response.give())
	if t.response.released && t.ctx.Err() == nil {
		s.putBack(t)
	} else {
		t.cancel()
	}
	return stays && c.failed == nil
}
