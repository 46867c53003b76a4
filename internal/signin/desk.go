package signin

import (
	"crypto/sha256"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

const (
	freeByUser    = 5  // how many may fail before there is a wait
	freeByAddress = 20 // more, because many people may share an address
	firstWait     = time.Second
	longestWait   = 5 * time.Minute
	forgetAfter   = time.Hour           // without another failure
	trustFor      = 30 * 24 * time.Hour // an address from which somebody was right
	mostNames     = 10_000              // of each kind
)

// Desk takes attempts to sign in. It is safe for concurrent use; make one with
// NewDesk.
type Desk struct {
	mu        sync.Mutex
	addresses book // guarded by mu
	users     book // by function and user; guarded by mu
	// known are functions and addresses of which somebody was right once;
	// guarded by mu.
	known book
}

// NewDesk makes a desk.
func NewDesk() *Desk {
	return &Desk{addresses: newBook(freeByAddress, forgetAfter), users: newBook(freeByUser, forgetAfter), known: newBook(freeByUser, trustFor)}
}

// Try says whether user and password are the pair's, shown from a peer's
// address and port: nil, ErrWrong, or a LockedError. During a wait who is right
// is told the same as who is wrong. An attempt is counted under the lock under
// which it is judged, so a thousand at once have no more tries than one by one.
//
// Where somebody was right before, attempts are counted apart: whoever goes on
// guessing makes strangers wait, and does not keep out the user.
func (d *Desk) Try(p *Pair, user, password, remote string, now time.Time) error {
	right := p.is(user, password)
	address := nameOf(peer(remote))
	here := nameOf(p.function, address[:])
	d.mu.Lock()
	defer d.mu.Unlock()
	byUser, ok := d.known.find(here)
	if !ok {
		byUser = d.users.open(nameOf(p.function, []byte(user)), now)
	}
	byAddress := d.addresses.open(address, now)
	if wait := max(byUser.wait(now), byAddress.wait(now)); wait > 0 {
		return &LockedError{wait}
	}
	if !right {
		d.addresses.failed(byAddress, now)
		d.users.failed(byUser, now)
		return ErrWrong
	}
	// Only what is counted here is forgiven: else each call of a script that
	// has the password would give a guesser new tries.
	d.known.clear(here, now)
	return nil
}

// Len is how many names are remembered because an attempt of theirs failed.
func (d *Desk) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.addresses.names) + len(d.users.names)
}

// book counts what failed, by name, for so many names at most.
type book struct {
	free  int
	keep  time.Duration
	names map[name]*strikes
	swept time.Time
	// crowd is what names share that come when the book is full of others:
	// strangers are then the stricter for it, never the freer.
	crowd strikes
}

type name [sha256.Size]byte

// nameOf makes a name of parts, so that names take the same room whatever comes.
func nameOf(parts ...[]byte) (n name) {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256(p)
		h.Write(sum[:])
	}
	h.Sum(n[:0])
	return n
}

// strikes are the failures of one name.
type strikes struct {
	count int
	last  time.Time
	until time.Time // of the wait
}

func newBook(free int, keep time.Duration) book {
	return book{free: free, keep: keep, names: map[name]*strikes{}}
}

func (b *book) find(n name) (*strikes, bool) {
	s, ok := b.names[n]
	return s, ok
}

// open finds the strikes of a name, or makes it some.
func (b *book) open(n name, now time.Time) *strikes {
	if s := b.names[n]; s != nil {
		if now.Sub(s.last) >= b.keep {
			*s = strikes{last: now}
		}
		return s
	}
	if len(b.names) >= mostNames && now.Sub(b.swept) >= time.Second { // once a second, not for each stranger
		b.swept = now
		for n, s := range b.names {
			if now.Sub(s.last) >= b.keep {
				delete(b.names, n)
			}
		}
	}
	if len(b.names) >= mostNames {
		if now.Sub(b.crowd.last) >= b.keep {
			b.crowd = strikes{}
		}
		return &b.crowd
	}
	s := &strikes{last: now}
	b.names[n] = s
	return s
}

func (b *book) failed(s *strikes, now time.Time) {
	s.count++
	s.last = now
	if over := s.count - b.free; over >= 0 {
		s.until = now.Add(min(firstWait<<min(over, 20), longestWait))
	}
}

// clear forgets the strikes of a name, and remembers that it was right.
func (b *book) clear(n name, now time.Time) {
	if s := b.open(n, now); s != &b.crowd {
		*s = strikes{last: now}
	}
}

// wait is how long there is to wait; a clock that was set back makes it no longer.
func (s *strikes) wait(now time.Time) time.Duration { return min(s.until.Sub(now), longestWait) }

// peer is of an address and port what is one caller's: of IPv6 the network,
// because a caller has all of it.
func peer(remote string) []byte {
	if a := platform.CallerAddr(remote); a.IsValid() {
		return platform.CallerBlock(a).AsSlice()
	}
	return []byte(remote)
}
