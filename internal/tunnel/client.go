package tunnel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	coder "github.com/coder/websocket"
	"github.com/hashicorp/yamux"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/websocket"
)

// State says how a tunnel is.
type State struct {
	// Open: callers get through, at URLs, the one that needs no DNS first.
	Open bool
	Name string
	URLs []string
	Left time.Duration // until the server ends it
	Idle time.Duration // without a call, after which it does
	// Why it is not open: what the server said, or what went wrong. Retry is when
	// it is tried again; 0: it is not.
	Why   error
	Retry time.Duration
}

// ClientOptions are a Client's settings. URL, Transport and Handler are needed.
type ClientOptions struct {
	// URL is where the control plane opens tunnels, and Transport shows it the
	// credentials; its refusals are errors with a fault in their chain.
	URL       string
	Transport http.RoundTripper
	// Handler answers what comes through the tunnel; Through tells it so.
	Handler http.Handler
	// Changed is told each new state, one after the other. It must not block for long.
	Changed func(State)
	// Wait is how long the first pause before another try is; they grow to thirty
	// times that. Half a second.
	Wait time.Duration
	Log  *slog.Logger
}

// Client keeps a tunnel open.
type Client struct {
	o       ClientOptions
	resume  string
	entries *entries
}

// NewClient makes a client; Run opens the tunnel.
func NewClient(o ClientOptions) *Client {
	o.Wait, o.Log = cmp.Or(o.Wait, 500*time.Millisecond), discardIfNil(o.Log)
	if o.Changed == nil {
		o.Changed = func(State) {}
	}
	return &Client{o: o, entries: newEntries()}
}

// Run opens the tunnel and serves what comes through it, until ctx ends (then it
// returns nil) or the tunnel is over: the error says why. A connection that breaks
// off is made anew, to the same name if the server lets it.
func (c *Client) Run(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() {
		s := httpx.Server{Listener: c.entries, Handler: marked(c.o.Handler), Proxies: gateways, Drain: grace, Log: c.o.Log}
		served <- s.Serve(serving)
	}()
	err := c.keep(ctx)
	stop()
	<-served
	return err
}

// keep opens one connection after another.
func (c *Client) keep(ctx context.Context) error {
	for tries := 0; ; tries++ {
		opened, err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if opened {
			tries = 0
		}
		if lasting(err) {
			c.o.Changed(State{Why: err})
			return err
		}
		// Any part of a pause that doubles: those who lost one server together do
		// not come back to it together.
		pause := c.o.Wait << min(tries, 5)
		pause = min(pause, 30*c.o.Wait)
		pause = pause/2 + rand.N(pause/2+1)
		c.o.Changed(State{Why: err, Retry: pause})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// ClosedError says that the server ended the tunnel, and why.
type ClosedError struct {
	Reason string
	final  bool
}

func (e *ClosedError) Error() string { return "the server closed the tunnel: " + e.Reason }

var errLost = fault.New(fault.Unavailable, "the connection to the server broke off")

// lasting reports whether trying again would come to the same.
func lasting(err error) bool {
	if e, ok := errors.AsType[*ClosedError](err); ok {
		return e.final
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return false
	}
	switch f.Kind {
	case fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound:
		return true
	case fault.TooMany:
		return f.Code == "tunnels_full"
	}
	return false
}

// once opens a connection and serves it to its end.
func (c *Client) once(ctx context.Context) (opened bool, err error) {
	var beneath websocket.Connections
	header := http.Header{}
	if c.resume != "" {
		header.Set(ResumeField, c.resume)
	}
	dialling, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, _, err := coder.Dial(dialling, c.o.URL, &coder.DialOptions{
		HTTPClient: &http.Client{Transport: websocket.Transport{RoundTripper: c.o.Transport, Beneath: &beneath}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader: header, Subprotocols: []string{Subprotocol}})
	if err != nil {
		if f, ok := errors.AsType[*fault.Error](err); ok {
			return false, f
		}
		return false, fault.Wrap(err, fault.Unavailable, "no tunnel came about")
	}
	p := newPipe(conn, beneath.Close)
	defer p.Close()
	w, err := readWelcome(ctx, conn)
	if err != nil {
		return false, told(err)
	}
	conn.SetReadLimit(-1)
	close(p.begun)
	session, err := yamux.Server(p, streams(maxStreams))
	if err != nil {
		return false, err
	}
	c.resume = w.Resume
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)).Round(time.Second) }
	c.o.Changed(State{Open: true, Name: w.Name, URLs: w.URLs, Left: seconds(w.Left), Idle: seconds(w.Idle)})
	defer session.Close()
	defer context.AfterFunc(ctx, func() {
		p.leave(coder.StatusNormalClosure, "")
		session.Close()
	})()
	for {
		s, err := session.AcceptStream()
		if err != nil {
			return true, told(err)
		}
		c.entries.put(s)
	}
}

// told is what the server said of the end, or that it said nothing.
func told(err error) error {
	if code, reason, ok := ending(err); ok {
		return &ClosedError{cmp.Or(reason, "it gave no reason"), final(code)}
	}
	return fault.Wrap(err, fault.Unavailable, errLost.Text)
}
