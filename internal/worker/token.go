package worker

import (
	"encoding/json"
	"log/slog"
	"time"
)

// Token is what a function shows when it calls another one, and where. It is
// sent over the socket that only the worker has, never by environment or file; but
// a program, which speaks no protocol, reads it from a file of its own.
type Token struct {
	Socket string // the path of the server's internal door
	Text   string
	// RenewAt is when the worker needs another one: well before this one ends.
	RenewAt time.Time
}

// String keeps the token out of every message.
func (t Token) String() string { return "[redacted]" }

// GoString: see String.
func (t Token) GoString() string { return t.String() }

// LogValue: see String.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON: see String. What goes to the worker is made by appendToken.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// tokenRetry is after how long a token is tried again that could not be made.
const tokenRetry = time.Second

// appendToken appends a TOKEN frame.
func appendToken(b []byte, t Token) []byte {
	payload, _ := json.Marshal(struct { // two strings: cannot fail
		Socket string `json:"socket"`
		Token  string `json:"token"`
	}{t.Socket, t.Text})
	return appendFrame(b, frameToken, 0, 0, payload)
}

// renewToken gives the worker another token when it is due.
func (c *conn) renewToken(now time.Time) {
	c.mu.Lock()
	due := !c.renewAt.IsZero() && !now.Before(c.renewAt) && c.err == nil
	c.mu.Unlock()
	if due {
		c.grantToken(now)
	}
}

// grantToken gives the worker a token. One that cannot be made is told in the
// function's log: its calls will be refused.
func (c *conn) grantToken(now time.Time) {
	if c.events.token == nil {
		return
	}
	t, err := c.events.token(now)
	if err != nil {
		t.RenewAt = now.Add(tokenRetry)
		c.events.log(slog.LevelError, "", "[postern] there is no token for calls of other functions: "+err.Error())
	}
	c.mu.Lock()
	c.renewAt = t.RenewAt
	if err == nil && c.err == nil {
		c.buf = appendToken(c.buf, t)
	}
	c.mu.Unlock()
	c.wakeWriter()
}
