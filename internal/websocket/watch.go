package websocket

import (
	"context"
	"sync"
	"time"
)

// stall is how long a handler may leave unread what its caller sent: as long as
// that is so nobody sees whether the caller is still there.
const stall = 10 * time.Minute

// Watch looks after open WebSockets: it asks those of which nothing is heard
// whether they are there, and ends those that do not answer. One goroutine looks
// at all of them, while there are any.
type Watch struct {
	// Every is for how long nothing is heard before a ping is sent, and how long
	// its answer may take: 30 s if it is 0. Two that are missed are the end.
	Every time.Duration

	mu   sync.Mutex
	open map[*Peer]struct{} // guarded by mu
}

// watched is what the watch knows of a peer. It is the watch's own, but for missed
// and asked, which are the ping's while one is under way.
type watched struct {
	// waiting reports whether nobody reads because the handler is slow; gone is
	// called when the peer is. Both must not block.
	waiting func() bool
	gone    func(why string)
	quiet   time.Time // since when nothing was heard
	asking  bool      // a ping is under way; guarded by Watch.mu
	missed  int       // guarded by Watch.mu
}

// Add looks after a peer until Remove.
func (w *Watch) Add(p *Peer, waiting func() bool, gone func(why string)) {
	p.waiting, p.gone, p.quiet = waiting, gone, time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[*Peer]struct{}{}
		go w.look(w.every())
	}
	w.open[p] = struct{}{}
}

// Remove forgets a peer.
func (w *Watch) Remove(p *Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, p)
}

func (w *Watch) every() time.Duration {
	if w.Every == 0 {
		return 30 * time.Second
	}
	return w.Every
}

// look ends when there is nothing to look after.
func (w *Watch) look(every time.Duration) {
	tick := time.NewTicker(min(max(every/8, time.Millisecond), time.Second))
	defer tick.Stop()
	for now := range tick.C {
		w.mu.Lock()
		if len(w.open) == 0 {
			w.open = nil
			w.mu.Unlock()
			return
		}
		for p := range w.open {
			w.check(p, now, every)
		}
		w.mu.Unlock()
	}
}

// check looks at one peer. w.mu is held.
func (w *Watch) check(p *Peer, now time.Time, every time.Duration) {
	if p.heard.Swap(false) {
		p.quiet, p.missed = now, 0
	}
	silent := now.Sub(p.quiet)
	switch began := p.blocked.Load(); {
	case began != 0 && now.Sub(time.Unix(0, began)) > 2*every:
		p.gone("the client takes nothing")
	case silent < every || p.asking:
	case p.waiting():
		if silent > stall {
			p.gone("the handler takes nothing")
		}
	default:
		p.asking = true
		go w.ask(p, every)
	}
}

// ask sends a ping and waits for its answer.
func (w *Watch) ask(p *Peer, every time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), every)
	defer cancel()
	err := p.conn.Ping(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	p.asking = false
	if err == nil {
		p.heard.Store(true)
		return
	}
	if p.missed++; p.missed == 2 {
		p.gone("the client does not answer")
	}
}
