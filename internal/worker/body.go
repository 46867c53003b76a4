package worker

import "io"

// credit tells the worker that n bytes of a response were taken.
func (c *conn) credit(call *call, n int) {
	if n == 0 || !call.streamed {
		return
	}
	c.mu.Lock()
	if c.err == nil && c.table[call.stream%slots] == call {
		if call.owed += n; call.owed >= windowSize/4 {
			c.buf = windowFrame(c.buf, call.stream, call.owed)
			call.credited(call.owed)
			call.owed = 0
			c.wakeWriter()
		}
	}
	c.mu.Unlock()
}

// pump sends a request's body as the worker's window allows.
func (c *conn) pump(call *call, body io.Reader) {
	chunk := make([]byte, 32<<10)
	for {
		room := call.waitCredit()
		if room == 0 {
			return // the call is over
		}
		n, err := body.Read(chunk[:min(room, len(chunk))])
		if err != nil && err != io.EOF {
			c.mu.Lock()
			if c.take(call) {
				c.buf = appendFrame(c.buf, frameReset, 0, call.stream, []byte{resetCancelled})
				call.finish(&BodyError{err})
			}
			c.mu.Unlock()
			c.wakeWriter()
			return
		}
		var flags uint8
		if err == io.EOF {
			flags = flagEnd
		}
		c.mu.Lock()
		for c.unsent() > maxBuffered && c.err == nil {
			c.sent.Wait()
		}
		if c.err == nil && c.table[call.stream%slots] == call {
			c.buf = appendFrame(c.buf, frameData, flags, call.stream, chunk[:n])
			c.turn()
		}
		c.mu.Unlock()
		c.wakeWriter()
		call.spend(n)
		if err == io.EOF {
			return
		}
	}
}

// BodyError says that the request's body could not be read to its end; it
// wraps why.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read the request body: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *BodyError) Unwrap() error { return e.Err }
