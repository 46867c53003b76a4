package worker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"

	"postern.dev/postern/internal/fault"
)

// HostCall answers one call of a worker: op says what is asked for, and fields
// are its arguments, which are valid until it returns. It runs in a goroutine of
// its own; ctx ends with the worker. A *fault.Error that is not Internal reaches
// the function as it is, any other error as one without details.
type HostCall func(ctx context.Context, op string, fields [][]byte) ([][]byte, error)

// maxHostCalls is how many calls of one worker may be answered at a time. A
// worker keeps to half of it by itself.
const maxHostCalls = 256

// maxCallFields is how many fields a call may have: one that is empty is longer
// here than in its frame.
const maxCallFields = 2048

const (
	resultOK    = 0
	resultFault = 1
)

// handleCall begins to answer a CALL. It never waits: the connection is read on.
func (c *conn) handleCall(f frame) error {
	if len(f.payload) < 1 || len(f.payload) < 1+int(f.payload[0]) {
		return protocolError("CALL is cut off")
	}
	op := string(f.payload[1 : 1+f.payload[0]])
	// The read buffer is used again: the call gets a copy.
	fields, err := parseFields(append([]byte(nil), f.payload[1+len(op):]...))
	if err != nil {
		return err
	}
	c.mu.Lock()
	over := c.answering >= maxHostCalls
	if !over {
		c.answering++
	}
	c.mu.Unlock()
	if over {
		return protocolError("more than %d calls at once", maxHostCalls)
	}
	c.calling.Go(func() {
		out, err := c.answerCall(op, fields)
		c.mu.Lock()
		defer c.mu.Unlock()
		for c.unsent() > maxBuffered && c.err == nil { // it takes no results: nor calls, in the end
			c.sent.Wait()
		}
		c.answering--
		if c.err == nil {
			c.buf = appendResult(c.buf, f.stream, out, err)
			c.turn()
			c.wakeWriter()
		}
	})
	return nil
}

// answerCall is what the host says to a call, and what is told of it. A result
// that does not fit into a frame is a fault of whoever answered.
func (c *conn) answerCall(op string, fields [][]byte) ([][]byte, error) {
	if c.events.call == nil {
		return nil, fault.New(fault.Unavailable, "this server answers no calls of functions").WithCode("call_unknown")
	}
	out, err := c.events.call(c.ctx, op, fields)
	if err == nil && resultSize(out) > maxPayload {
		err = errors.New("the result does not fit into a frame")
	}
	if err != nil && fault.KindOf(err) == fault.Internal {
		c.events.log(slog.LevelError, "", redactText(c.events.redact, "[postern] "+op+" failed: "+err.Error()))
	}
	return out, err
}

func resultSize(fields [][]byte) int {
	size := 1
	for _, f := range fields {
		size += 4 + len(f)
	}
	return size
}

// appendResult appends the RESULT of a call; of an internal error without details.
func appendResult(b []byte, stream uint32, fields [][]byte, err error) []byte {
	if err != nil {
		said := struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}{"internal", "the server failed"}
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Internal {
			said.Code, said.Message = f.Code, f.Text
		}
		text, _ := json.Marshal(said) // two strings: cannot fail
		return appendFrame(b, frameResult, 0, stream, append([]byte{resultFault}, text...))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(resultSize(fields)))
	b = append(b, byte(frameResult), 0)
	b = binary.BigEndian.AppendUint32(b, stream)
	return appendFields(append(b, resultOK), fields)
}

// appendFields appends byte strings, each behind its length in 32 bits.
func appendFields(b []byte, fields [][]byte) []byte {
	for _, f := range fields {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// parseFields reads what appendFields wrote. The fields are parts of b.
func parseFields(b []byte) (fields [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, protocolError("a field is cut off")
		}
		n := int(binary.BigEndian.Uint32(b))
		if b = b[4:]; n > len(b) {
			return nil, protocolError("a field is cut off")
		}
		if len(fields) == maxCallFields {
			return nil, protocolError("a call with more than %d fields", maxCallFields)
		}
		fields = append(fields, b[:n:n])
		b = b[n:]
	}
	return fields, nil
}
