package worker

import (
	"fmt"
	"runtime"
)

func (c *conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) writeLoop() {
	var out []byte
	var full [][]byte
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		// Other callers that are about to append get their turn first.
		runtime.Gosched()
		c.mu.Lock()
		full, c.full, c.fullBytes = c.full, full[:0], 0
		out, c.buf = c.buf, out[:0]
		c.writing = len(full)+len(out) > 0
		c.sent.Broadcast()
		c.mu.Unlock()
		for i, b := range full {
			full[i] = nil
			if !c.write(b) {
				return
			}
			if cap(b) == segment {
				c.segments.Put((*[segment]byte)(b[:segment]))
			}
		}
		if len(out) > 0 && !c.write(out) {
			return
		}
		if cap(out) > segment {
			out = nil
		}
		c.mu.Lock()
		c.writing = false
		c.mu.Unlock()
	}
}

// write reports whether it could.
func (c *conn) write(b []byte) bool {
	_, err := c.nc.Write(b)
	if err != nil {
		c.close(fmt.Errorf("write: %w", err))
	}
	return err == nil
}

// turn begins another buffer when that in use is full. c.mu is held.
func (c *conn) turn() {
	if len(c.buf) < fullAt {
		return
	}
	c.full = append(c.full, c.buf)
	c.fullBytes += len(c.buf)
	c.buf = c.segments.Get().(*[segment]byte)[:0]
}

// unsent is how many bytes the writer has not yet taken. c.mu is held.
func (c *conn) unsent() int { return c.fullBytes + len(c.buf) }

// sendNow writes what the socket takes at once; the writer does the rest.
// c.mu is held, and the writer has nothing.
func (c *conn) sendNow() {
	if len(c.full) == 0 {
		c.raw.Write(c.writeOnce)
	}
	if c.unsent() > 0 {
		c.wakeWriter()
	}
}

// enqueue appends a frame, unless the connection is over.
func (c *conn) enqueue(kind frameType, flags uint8, stream uint32, payload []byte) {
	c.mu.Lock()
	if c.err == nil {
		c.buf = appendFrame(c.buf, kind, flags, stream, payload)
	}
	c.mu.Unlock()
	c.wakeWriter()
}
