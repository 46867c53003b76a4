package worker

import (
	"sync"
	"time"
)

// call is one invocation in flight. Fields without a note are written by the
// reader under conn.mu before done is signalled, and read by the caller after.
type call struct {
	stream   uint32
	deadline time.Time
	done     chan struct{} // capacity 1: the head is there, or err
	head     []byte
	response Response
	answered bool
	streamed bool // more than one frame went either way
	err      error
	owed     int // response bytes taken and not yet credited; guarded by conn.mu

	mu     sync.Mutex
	change *sync.Cond // on mu; made by begin for calls that stream
	body   []byte     // response bytes not yet taken; guarded by mu
	unread int        // response bytes that came and were not yet credited; guarded by mu
	end    error      // io.EOF or why the body is cut off; guarded by mu
	window int        // request bytes that may still be sent; guarded by mu
	over   bool       // the request's body is not wanted any more; guarded by mu
}

// begin makes a call ready for its stream. conn.mu is held.
func (c *call) begin(stream uint32, deadline time.Time, streamed bool) {
	c.stream, c.deadline, c.streamed = stream, deadline, streamed
	c.window = windowSize
	if c.change == nil {
		c.change = sync.NewCond(&c.mu)
	}
}

func (c *call) reset() {
	head := c.head
	if cap(head) > maxData+4096 {
		head = nil
	}
	*c = call{head: head, done: c.done, change: c.change}
}

// finish ends a call that was taken from the table: before the head with err,
// afterwards by ending its body. conn.mu is held.
func (c *call) finish(err error) {
	if !c.answered {
		c.err = err
		c.stopPump()
		c.done <- struct{}{}
		return
	}
	c.finishBody(err)
}

// abandon ends a call whose caller has gone.
func (c *call) abandon() {
	c.streamed = true // not to be kept: the reader or a pump may hold it
	c.finishBody(ErrLost)
}

// finishBody ends both bodies: readers get err behind what has come.
func (c *call) finishBody(err error) {
	c.mu.Lock()
	c.end, c.over = err, true
	c.change.Broadcast()
	c.mu.Unlock()
}

func (c *call) stopPump() {
	if !c.streamed {
		return
	}
	c.mu.Lock()
	c.over = true
	c.change.Broadcast()
	c.mu.Unlock()
}

// append takes response bytes; false when they exceed the window.
func (c *call) append(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unread+len(p) > windowSize {
		return false
	}
	c.unread += len(p)
	c.body = append(c.body, p...)
	c.change.Broadcast()
	return true
}

// read waits for response bytes.
func (c *call) read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.body) == 0 && c.end == nil {
		c.change.Wait()
	}
	if len(c.body) == 0 {
		return 0, c.end
	}
	n := copy(p, c.body)
	c.body = c.body[n:]
	if len(c.body) == 0 {
		c.body = nil
	}
	return n, nil
}

// credited notes that the worker was told of n bytes taken.
func (c *call) credited(n int) {
	c.mu.Lock()
	c.unread -= n
	c.mu.Unlock()
}

// grant lets so many more request bytes be sent.
func (c *call) grant(n int) {
	c.mu.Lock()
	c.window += n
	c.change.Broadcast()
	c.mu.Unlock()
}

// waitCredit waits until request bytes may be sent and returns how many; 0
// when the body is not wanted any more.
func (c *call) waitCredit() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.window <= 0 && !c.over {
		c.change.Wait()
	}
	if c.over {
		return 0
	}
	return c.window
}

func (c *call) spend(n int) {
	c.mu.Lock()
	c.window -= n
	c.mu.Unlock()
}
