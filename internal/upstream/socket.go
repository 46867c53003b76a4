package upstream

import (
	"cmp"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	coder "github.com/coder/websocket"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/websocket"
)

const (
	// pingEvery is how often both ends are asked whether they are still there.
	pingEvery = 30 * time.Second
	// socketGrace is how long an end has to take leave before it is cut off.
	socketGrace = time.Second
	socketChunk = 16 << 10
)

// Socket is an open WebSocket: two connections, and what passes between them.
//
// A message is passed on as it comes, so it takes no more memory than a piece of
// it; who reads slowly holds up who writes. Pings are answered here, on each side
// for itself, and both sides are asked by the gateway whether they live.
type Socket struct {
	proxy          *Proxy
	caller, server *coder.Conn
	beneath        websocket.Connections // of both
	idle, every    time.Duration

	in, out atomic.Int64 // bytes of messages
	active  atomic.Int64 // when the last of them passed, in Unix nanoseconds

	once   sync.Once
	live   context.Context // until it ends; then nothing is passed on any more
	stop   context.CancelFunc
	code   websocket.Code // why it ended; of once
	reason string
}

func newSocket(p *Proxy, caller, server *coder.Conn, beneath websocket.Connections, policy platform.WebSocketPolicy) *Socket {
	limit := cmp.Or(policy.MessageLimit, messageLimit)
	caller.SetReadLimit(limit)
	server.SetReadLimit(limit)
	s := &Socket{proxy: p, caller: caller, server: server, beneath: beneath, idle: cmp.Or(policy.Idle, socketIdle)}
	s.every = min(pingEvery, s.idle/2+1)
	s.live, s.stop = context.WithCancel(context.Background())
	return s
}

// Bytes are how many bytes of messages the caller sent, and got.
func (s *Socket) Bytes() (in, out int64) { return s.in.Load(), s.out.Load() }

// End ends the socket: from now on nothing is passed on, and both sides are told
// the code and the reason. It does not wait.
func (s *Socket) End(code websocket.Code, reason string) {
	s.once.Do(func() {
		s.code, s.reason = code, reason
		s.stop()
	})
}

// Relay passes messages on until one side ends, or End is called, or ctx ends; and
// returns when nothing of the socket is left.
func (s *Socket) Relay(ctx context.Context) {
	defer s.proxy.leave()
	defer context.AfterFunc(ctx, func() { s.End(websocket.GoingAway, "") })()
	within, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s.touch()
	var parts, ends sync.WaitGroup
	parts.Go(func() { s.End(closing(s.pump(within, s.server, s.caller, &s.in), coder.StatusGoingAway)) })
	parts.Go(func() { s.End(closing(s.pump(within, s.caller, s.server, &s.out), coder.StatusBadGateway)) })
	s.watch()
	defer time.AfterFunc(socketGrace, func() { cut(); s.beneath.Close() }).Stop()
	ends.Go(func() { s.caller.Close(s.code, s.reason) })
	ends.Go(func() { s.server.Close(s.code, s.reason) })
	ends.Wait()
	cut()
	parts.Wait()
}

// watch waits for the end, and brings it about when nobody sends anything for too
// long, or a side does not answer any more.
func (s *Socket) watch() {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-s.live.Done():
			return
		case <-tick.C:
		}
		last := s.active.Load()
		if time.Since(time.Unix(0, last)) > s.idle {
			s.End(websocket.GoingAway, "nothing was sent for too long")
		} else if err := s.ping(); err != nil && s.active.Load() == last {
			s.End(websocket.GoingAway, "the other side does not answer")
		}
	}
}

// ping asks both sides whether they live.
func (s *Socket) ping() error {
	ctx, cancel := context.WithTimeout(s.live, s.every)
	defer cancel()
	if err := s.caller.Ping(ctx); err != nil {
		return err
	}
	return s.server.Ping(ctx)
}

func (s *Socket) touch() { s.active.Store(time.Now().UnixNano()) }

// pump passes messages from one side to the other, and returns why no more come.
func (s *Socket) pump(ctx context.Context, to, from *coder.Conn, count *atomic.Int64) error {
	buf := make([]byte, socketChunk)
	for {
		kind, r, err := from.Reader(ctx)
		if err == nil {
			err = s.pass(ctx, to, kind, r, buf, count)
		}
		if err != nil {
			return err
		}
	}
}

// pass passes one message on: in one frame if it is small, else in pieces.
func (s *Socket) pass(ctx context.Context, to *coder.Conn, kind coder.MessageType, r io.Reader, buf []byte, count *atomic.Int64) error {
	var w io.WriteCloser
	for {
		n, whole, err := websocket.Fill(r, buf)
		if err != nil {
			return err
		}
		if s.live.Err() != nil {
			return s.live.Err()
		}
		count.Add(int64(n))
		s.touch()
		if w == nil && whole {
			return to.Write(ctx, kind, buf[:n])
		}
		if w == nil {
			if w, err = to.Writer(ctx, kind); err != nil {
				return err
			}
		}
		if _, err = w.Write(buf[:n]); err == nil && whole {
			err = w.Close()
		}
		if err != nil || whole {
			return err
		}
	}
}
