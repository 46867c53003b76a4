package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
)

var (
	// ErrRefused says that the worker took no new work; nothing ran.
	ErrRefused = errors.New("the worker takes no new work")
	// ErrLost says that the worker ended, or misbehaved, before it answered.
	ErrLost = errors.New("the worker was lost")
	// ErrDeadline says that the invocation's deadline passed.
	ErrDeadline = errors.New("the invocation's deadline passed")
	// ErrAborted says that the handler failed after its response began.
	ErrAborted = errors.New("the handler failed after its response began")
)

// InvocationError is a failure of a handler before its response began.
type InvocationError struct {
	Code    string `json:"code"` // as in docs/worker-protocol.md, ERROR
	Message string `json:"message"`
	Stack   string `json:"stack"` // for the function's log, never for a caller
}

func (e *InvocationError) Error() string { return e.Code + ": " + e.Message }

const (
	slots       = 4096     // calls at once, and the mask of their table
	maxBuffered = 4 << 20  // unsent bytes from which body senders wait
	maxUnsent   = 32 << 20 // unsent bytes from which calls are refused: the worker reads nothing
	fullAt      = 192 << 10
	segment     = 320 << 10 // room for fullAt and what is appended then
	readBuffer  = 64 << 10  // grows to one frame where needed
)

// conn multiplexes calls over one socket. A call's frames are appended to buf
// under one mutex, and a writer goroutine sends what has gathered: under load
// many calls share a system call. A call that is alone has nobody to share with,
// and sends its frames itself.
type conn struct {
	nc  net.Conn
	raw syscall.RawConn // of nc; nil: it has none
	// writeOnce is for raw: it writes what is taken of buf. mu is held.
	writeOnce func(fd uintptr) bool
	events    events

	mu            sync.Mutex
	full          [][]byte           // frames to send, before those in buf; guarded by mu
	fullBytes     int                // in full; guarded by mu
	buf           []byte             // frames to send; guarded by mu
	writing       bool               // the writer has taken some; guarded by mu
	next          uint32             // the next stream; guarded by mu
	opened        uint64             // streams opened or passed over so far, to tell those that never were; guarded by mu
	inFlight      int                // guarded by mu
	answering     int                // calls of the worker; guarded by mu
	sockets       map[uint32]*Socket // by stream; nil: there was none; guarded by mu
	socketsOpened uint64             // guarded by mu
	table         [slots]*call       // by stream modulo slots; guarded by mu
	err           error              // why the connection is over; guarded by mu
	leaving       chan struct{}      // closed when no new call is taken any more
	left          bool               // leaving is closed; guarded by mu
	routes        bool               // the worker understands routes and path parameters; guarded by mu
	signatures    bool               // the worker understands how a callback was signed; guarded by mu
	calls         bool               // the worker takes tokens, and is told who calls; guarded by mu
	renewAt       time.Time          // when the next token is due; zero: none is; guarded by mu
	phase         phase              // of the start; the reader's own
	answered      []*call            // whose callers are yet to be told; the reader's own
	pingAt        time.Time          // of the ping that is out, else zero; guarded by mu
	lag           time.Duration      // of the last ping; guarded by mu
	wake          chan struct{}      // capacity 1: buf has something
	sent          *sync.Cond         // on mu: buf was taken
	pool          sync.Pool          // of *call
	// segments are buffers for bodies: one that grows with all that gathers would
	// be copied again and again.
	segments sync.Pool       // of *[segment]byte
	done     chan struct{}   // closed when the connection is over
	ctx      context.Context // of the worker's calls; ends with the connection
	cancel   context.CancelFunc
	calling  sync.WaitGroup // the worker's calls
}

// events is what a connection tells its worker.
type events struct {
	ready func(platform.Declaration, error)
	log   func(level slog.Level, requestID, text string)
	// token makes a token for the worker; nil: it gets none.
	token func(now time.Time) (Token, error)
	// call answers the worker's calls; nil: none.
	call HostCall
	// redact is taken out of what the worker says; nil: nothing.
	redact *redact.Set
}

func newConn(nc net.Conn, ev events) *conn {
	c := &conn{nc: nc, events: ev, next: 1, wake: make(chan struct{}, 1), leaving: make(chan struct{}), done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.sent = sync.NewCond(&c.mu)
	if f, ok := nc.(syscall.Conn); ok {
		c.raw, _ = f.SyscallConn()
	}
	c.writeOnce = func(fd uintptr) bool {
		c.buf = append(c.buf[:0], c.buf[max(writeNow(fd, c.buf), 0):]...)
		return true
	}
	c.segments.New = func() any { return new([segment]byte) }
	c.pool.New = func() any { return &call{done: make(chan struct{}, 1)} }
	c.buf = appendHello(c.buf)
	return c
}

// run serves the connection until it is over. It returns why.
func (c *conn) run() error {
	var wg sync.WaitGroup
	wg.Go(c.writeLoop)
	c.wakeWriter()
	err := c.readLoop()
	c.close(err)
	wg.Wait()
	c.calling.Wait()
	return err
}

// close ends the connection and fails every call.
func (c *conn) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf("%w: %w", ErrLost, err)
	close(c.done)
	c.cancel()
	c.nc.Close()
	for i, call := range c.table {
		if call != nil {
			c.table[i] = nil
			call.finish(c.err)
		}
	}
	for _, s := range c.sockets {
		s.fail(c.err)
	}
	c.inFlight = 0
	c.leave()
	c.sent.Broadcast()
}

// leave says that no new call is taken any more. c.mu is held.
func (c *conn) leave() {
	if !c.left {
		c.left = true
		close(c.leaving)
	}
}

// do sends a request and waits for the head of its response.
func (c *conn) do(ctx context.Context, r *Request) (*Response, error) {
	call := c.pool.Get().(*call)
	if err := c.open(call, r); err != nil {
		return nil, err
	}
	if r.Body != nil {
		go c.pump(call, r.Body)
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		if c.drop(call, resetCancelled) {
			return nil, ctx.Err()
		}
		<-call.done // it was answered, or failed, just before
	}
	if call.err != nil {
		err := call.err
		c.recycle(call)
		return nil, err
	}
	return &call.response, nil
}

// open gives the call a stream and appends its REQUEST.
func (c *conn) open(call *call, r *Request) error {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrRefused, c.err) // nothing was sent
	}
	if c.left || c.inFlight == slots || c.unsent() > maxUnsent {
		c.mu.Unlock()
		return ErrRefused
	}
	for c.table[c.next%slots] != nil || c.next == 0 {
		c.pass()
	}
	if r.Route != "" && !c.routes || r.Scheme != "" && !c.signatures || r.Call != nil && !c.calls {
		r = c.plain(r)
	}
	alone := c.raw != nil && c.inFlight == 0 && !c.writing && c.unsent() == 0
	buf, err := appendRequest(c.buf, c.next, r)
	c.buf = buf
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.turn()
	call.begin(c.next, r.Deadline, r.Body != nil)
	c.table[c.next%slots] = call
	c.pass()
	c.inFlight++
	if alone {
		c.sendNow()
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	c.wakeWriter()
	return nil
}

// pass goes on to the next stream. One that is passed over, because a call that
// lasts has its place in the table, counts as opened too: later ones have larger
// numbers. c.mu is held.
func (c *conn) pass() {
	c.next = (c.next + 1) % socketStreams
	c.opened++
}

// take removes a call from the table; it reports whether it was there.
// c.mu is held.
func (c *conn) take(call *call) bool {
	at := &c.table[call.stream%slots]
	if *at != call {
		return false
	}
	*at = nil
	c.inFlight--
	return true
}

// drop ends a call from our side; false means that it was over already.
func (c *conn) drop(call *call, reason byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.take(call) {
		return false
	}
	if c.err == nil {
		c.buf = appendFrame(c.buf, frameReset, 0, call.stream, []byte{reason})
		c.wakeWriter()
	}
	call.abandon()
	return true
}

// release gives a call back after its response was used.
func (c *conn) release(call *call) {
	if call.response.whole || !c.drop(call, resetCancelled) {
		c.recycle(call)
	}
}

// recycle keeps a finished call for the next one. Calls that streamed are not
// kept: a goroutine may still look at them.
func (c *conn) recycle(call *call) {
	if call.streamed {
		return
	}
	call.reset()
	c.pool.Put(call)
}

// ping sends a ping unless one is out. It returns for how long none has been
// answered. With idle false it pings only while calls are in flight.
func (c *conn) ping(now time.Time, idle bool) (silent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !idle && c.inFlight == 0 {
		return 0
	}
	if !c.pingAt.IsZero() {
		return now.Sub(c.pingAt)
	}
	c.pingAt = now
	c.buf = appendFrame(c.buf, framePing, 0, 0, make([]byte, pingSize))
	c.wakeWriter()
	return 0
}

// sweep ends the calls whose deadline has passed.
func (c *conn) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 || c.err != nil {
		return
	}
	for _, call := range c.table {
		if call != nil && !call.deadline.IsZero() && now.After(call.deadline) {
			c.take(call)
			c.buf = appendFrame(c.buf, frameReset, 0, call.stream, []byte{resetDeadline})
			call.finish(ErrDeadline)
			c.wakeWriter()
		}
	}
}
