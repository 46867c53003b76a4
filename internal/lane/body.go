package lane

import (
	"io"
	"net/http"
	"sync"
)

// body is the body of a request: what has come with its head, and what still comes.
type body struct {
	t      *turn
	mu     sync.Mutex
	left   int64 // guarded by mu
	timed  bool  // the connection's read deadline is that of this request; guarded by mu
	closed bool  // guarded by mu
	err    error // why it cannot be read on; guarded by mu
}

// open begins a body of n bytes.
func (b *body) open(t *turn, n int64) {
	b.t, b.left, b.timed, b.closed, b.err = t, n, false, false, nil
}

// Read reads.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

// read reads what has come, and then from the connection. b.mu is held.
func (b *body) read(p []byte) (n int, err error) {
	if b.left == 0 || b.err != nil {
		if b.err != nil {
			return 0, b.err
		}
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.left)]
	c := b.t.c
	if c.r < c.w {
		n = copy(p, c.buf[c.r:c.w])
		c.r += n
		if b.left -= int64(n); b.left == 0 {
			err = io.EOF
		}
		return n, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !b.timed && !b.t.readSet.Load() {
		b.timed = true
		c.setReadBy(b.t.began.Add(c.s.Read))
	}
	n, err = c.raw.Read(p)
	if b.left -= int64(n); b.left == 0 {
		c.bodyCame()
		return n, io.EOF
	}
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		b.err = err
		b.t.cancel()
	}
	return n, err
}

// Close lets nobody read on.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// finish reads the rest and throws it away, so that the next request begins
// behind it. Then nobody can read on.
func (b *body) finish() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = b.closed || b.left > 0
	if b.left == 0 {
		return nil
	}
	scrap := make([]byte, min(b.left, 16<<10))
	for {
		if _, err := b.read(scrap); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
