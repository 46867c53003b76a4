package tunnel

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/websocket"
)

// Gateway is where callers come in. *gateway.Gateway is one.
type Gateway interface {
	// OpenTunnel has requests for a name go to a proxy; CloseTunnel ends that.
	OpenTunnel(name, projectID string, proxy *upstream.Proxy)
	CloseTunnel(name string)
}

// Options are the Hub's settings. A zero field takes the default that is named
// beside it, but for Most and PerProject: without them there are no tunnels.
type Options struct {
	Most, PerProject int
	Idle             time.Duration // 15 min: without a call
	Lifetime         time.Duration // 60 min: at all, however often it was resumed
	Timeout          time.Duration // 30 s: of a call, which the gateway keeps; here it is only told
	// Hold is how long a name whose connection broke off is kept, and callers are
	// told that it is down: a minute.
	Hold time.Duration
	Key  Key
	URLs func(name string) []string
	// Changed is closed when who may do what has changed; nil: only time is a reason to look.
	Changed func() <-chan struct{}
	Log     *slog.Logger
}

// Hub has the tunnels of one server. It is safe for concurrent use.
type Hub struct {
	o       Options
	gateway Gateway

	mu       sync.Mutex
	open     map[string]*line // by name; guarded by mu
	stopping chan struct{}    // closed once
	stopped  bool             // guarded by mu
	group    sync.WaitGroup   // of places that are taken
}

// NewHub makes the tunnels of a server.
func NewHub(o Options, g Gateway) *Hub {
	o.Idle, o.Lifetime = cmp.Or(o.Idle, 15*time.Minute), cmp.Or(o.Lifetime, time.Hour)
	o.Timeout, o.Hold = cmp.Or(o.Timeout, 30*time.Second), cmp.Or(o.Hold, time.Minute)
	o.Log = discardIfNil(o.Log)
	if o.Changed == nil {
		o.Changed = func() <-chan struct{} { return nil }
	}
	return &Hub{o: o, gateway: g, open: map[string]*line{}, stopping: make(chan struct{})}
}

var (
	errOff      = fault.New(fault.Denied, "this server opens no tunnels").WithCode("tunnels_off")
	errFull     = fault.New(fault.TooMany, "as many tunnels are open as this server has").WithCode("tunnels_full")
	errShare    = fault.New(fault.TooMany, "this project has as many tunnels open as it may have").WithCode("tunnels_full")
	errStopping = fault.New(fault.Unavailable, "the server is stopping").WithCode("shutting_down")
	errProtocol = fault.New(fault.Invalid, "the request does not ask for a tunnel of this version").WithCode("upgrade_refused").WithHint("update postern here or on the server: they do not speak the same version")
	errDown     = fault.New(fault.Unavailable, "nobody is at the other end of this tunnel at the moment").WithCode("tunnel_down")
)

// Caller is who asks for a tunnel, as the control plane knows it.
type Caller struct {
	ProjectID, KeyID string
	// Still says whether it may have one still; an error ends the tunnel.
	Still func() error
	// Ended is told the end of a connection that was opened; Run waits for it.
	// nil: nobody is.
	Ended func(Ending)
}

// Admission is a place for a tunnel that Admit has given, until Serve or Release.
type Admission struct {
	hub    *Hub
	line   *line
	caller Caller
}

// Name is the name of the tunnel.
func (a *Admission) Name() string { return a.line.Name }

// Admit takes a place for a tunnel: with the name that the request can prove to
// have had, else with a new one. Nobody can ask for a name.
func (h *Hub) Admit(r *http.Request, c Caller) (*Admission, error) {
	if h.o.Most <= 0 || h.o.PerProject <= 0 {
		return nil, errOff
	}
	if err := websocket.CheckHandshake(r); err != nil {
		return nil, err
	}
	if !slices.Contains(websocket.Subprotocols(r.Header), Subprotocol) {
		return nil, errProtocol
	}
	now := time.Now()
	was, ok := h.o.Key.resume(r.Header.Get(ResumeField), c.ProjectID, c.KeyID, h.o.Lifetime, now)
	if !ok {
		was = claim{newName(), c.ProjectID, c.KeyID, now.Unix()}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return nil, errStopping
	}
	l := h.open[was.Name]
	if l == nil {
		if err := h.room(c.ProjectID); err != nil {
			return nil, err
		}
		l = newLine(was, now)
		h.open[was.Name] = l
	}
	l.users++
	h.group.Add(1) // here, where it is known that Run does not wait yet
	return &Admission{h, l, c}, nil
}

// room refuses another tunnel where there are enough; mu is held.
func (h *Hub) room(projectID string) error {
	if len(h.open) >= h.o.Most {
		return errFull
	}
	n := 0
	for _, l := range h.open {
		if l.ProjectID == projectID {
			n++
		}
	}
	if n >= h.o.PerProject {
		return errShare
	}
	return nil
}

// Release gives the place back. One that was connected is kept for a while,
// unless it is over.
func (a *Admission) Release(over bool) {
	h, l := a.hub, a.line
	defer h.group.Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	l.users--
	if l.users > 0 || h.open[l.Name] != l {
		return
	}
	if over || !l.served {
		h.remove(l)
		return
	}
	l.hold = time.AfterFunc(h.o.Hold, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if l.users == 0 && h.open[l.Name] == l {
			h.remove(l)
		}
	})
}

// remove ends a name; mu is held.
func (h *Hub) remove(l *line) {
	delete(h.open, l.Name)
	if l.hold != nil {
		l.hold.Stop()
	}
	if l.served {
		h.gateway.CloseTunnel(l.Name)
	}
	l.proxy.Retire()
}

// Len is how many tunnels there are, those that are down for a moment included.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

// Run waits until ctx ends, then tells all clients that the server stops, and
// waits until they have taken leave.
func (h *Hub) Run(ctx context.Context) error {
	<-ctx.Done()
	h.mu.Lock()
	if !h.stopped {
		h.stopped = true
		close(h.stopping)
	}
	h.mu.Unlock()
	h.group.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.open {
		h.remove(l)
	}
	return nil
}
