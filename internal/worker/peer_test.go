package worker

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"postern.dev/postern/internal/platform"
)

// peer is the worker's end of a connection, in the hands of a test.
type peer struct {
	t   testing.TB
	nc  net.Conn
	buf []byte

	mu    sync.Mutex
	lines []Line   // what the host logged
	ready []string // what it was told of the start
}

// connect returns a running connection and its other end. The HELLOs have
// passed. ended gives what run returned.
func connect(t testing.TB, pair func(testing.TB) (host, worker net.Conn)) (c *conn, p *peer, ended <-chan error) {
	t.Helper()
	host, far := pair(t)
	p = &peer{t: t, nc: far}
	c = newConn(host, events{
		ready: func(_ platform.Declaration, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if err != nil {
				p.ready = append(p.ready, err.Error())
				return
			}
			p.ready = append(p.ready, "ready")
		},
		log: func(level slog.Level, id, text string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.lines = append(p.lines, Line{Level: level, RequestID: id, Text: text})
		},
	})
	over := make(chan error, 1)
	go func() { over <- c.run() }()
	t.Cleanup(func() { far.Close(); <-c.done })
	if f := p.read(); f.kind != frameHello {
		t.Fatalf("the host began with a frame of type %d", f.kind)
	}
	p.send(frameHello, 0, 0, append([]byte(magic), 0, protocolVersion, '{', '}'))
	return c, p, over
}

// pipe is a pair in memory.
func pipe(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }

// socketPair is a pair as a worker has it.
func socketPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return ends[0], ends[1]
}

// read returns the next frame of the host; its kind is 0 when there is none.
func (p *peer) read() frame {
	var h [headerSize]byte
	if _, err := io.ReadFull(p.nc, h[:]); err != nil {
		return frame{}
	}
	f := frame{kind: frameType(h[4]), flags: h[5], stream: binary.BigEndian.Uint32(h[6:]), payload: make([]byte, binary.BigEndian.Uint32(h[:]))}
	if _, err := io.ReadFull(p.nc, f.payload); err != nil {
		return frame{}
	}
	return f
}

// expect returns the next frame, which must be of a kind.
func (p *peer) expect(kind frameType) frame {
	p.t.Helper()
	f := p.read()
	if f.kind != kind {
		p.t.Errorf("the host sent a frame of type %d, not %d", f.kind, kind)
	}
	return f
}

// send sends one frame; a host that has closed is for the caller to notice.
func (p *peer) send(kind frameType, flags byte, stream uint32, payload []byte) {
	p.nc.Write(appendFrame(nil, kind, flags, stream, payload))
}

// reply is the payload of a RESPONSE.
func reply(status uint16, body string, headers ...string) []byte {
	p := binary.BigEndian.AppendUint16(nil, status)
	p = binary.BigEndian.AppendUint16(p, uint16(len(headers)))
	for _, h := range headers {
		p = binary.BigEndian.AppendUint16(p, uint16(len(h)))
	}
	for _, h := range headers {
		p = append(p, h...)
	}
	return append(p, body...)
}

// echo answers every request with the same small response, many at a time and
// without allocating, until the host closes.
func (p *peer) echo() {
	answer := reply(200, `{"received":null}`, "content-type", "application/json")
	in, out := make([]byte, 256<<10), make([]byte, 0, 256<<10)
	n := 0
	for {
		got, err := p.nc.Read(in[n:])
		if err != nil {
			return
		}
		n += got
		out = out[:0]
		at := 0
		for n-at >= headerSize {
			size := headerSize + int(binary.BigEndian.Uint32(in[at:]))
			if n-at < size {
				break
			}
			if frameType(in[at+4]) == frameRequest {
				out = appendFrame(out, frameResponse, flagEnd|flagASCII, binary.BigEndian.Uint32(in[at+6:]), answer)
			}
			at += size
		}
		n = copy(in, in[at:n])
		if _, err := p.nc.Write(out); err != nil {
			return
		}
	}
}
