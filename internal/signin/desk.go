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
	users     book // by realm, such as a function, and user; guarded by mu
	// known are users and addresses of which somebody was right once; guarded
	// by mu.
	known book
}

// NewDesk makes a desk.
func NewDesk() *Desk {
	return &Desk{addresses: newBook(freeByAddress, forgetAfter), users: newBook(freeByUser, forgetAfter), known: newBook(freeByUser, trustFor)}
}

// Try says whether user and password are the pair's, shown from a peer's
// address and port: nil, ErrWrong, or a LockedError. During a wait who is right
// is told the same as who is wrong.
func (d *Desk) Try(p *Pair, user, password, remote string, now time.Time) error {
	right := p.is(user, password)
	a, err := d.Begin(p.function, user, remote, now)
	if err != nil {
		return err
	}
	if !right {
		a.Wrong(now)
		return ErrWrong
	}
	a.Right(now)
	return nil
}

// Attempt is one that is being judged, apart from the desk: a slow hash takes
// its time without a lock.
type Attempt struct {
	desk            *Desk
	here            name
	byUser, address *strikes
	over            bool
}

// Begin lets an attempt of a user of a realm be judged, or refuses it with a
// LockedError. It counts as one that fails until it is over, so a thousand at
// once have no more tries than one by one: it must be ended with Right, Wrong or
// Drop.
//
// Where somebody was right before, attempts are counted apart: whoever goes on
// guessing makes strangers wait, and does not keep out the user.
func (d *Desk) Begin(realm []byte, user, remote string, now time.Time) (*Attempt, error) {
	address := peer(remote)
	a := &Attempt{desk: d, here: nameOf(realm, []byte(user), address)}
	d.mu.Lock()
	defer d.mu.Unlock()
	var ok bool
	if a.byUser, ok = d.known.find(a.here); !ok {
		a.byUser = d.users.open(nameOf(realm, []byte(user)), now)
	}
	a.address = d.addresses.open(nameOf(address), now)
	if wait := max(a.byUser.wait(now), a.address.wait(now)); wait > 0 {
		return nil, &LockedError{wait}
	}
	if a.byUser.crowded(freeByUser) || a.address.crowded(freeByAddress) {
		return nil, &LockedError{firstWait}
	}
	a.byUser.pending++
	a.address.pending++
	return a, nil
}

// Right ends an attempt that was right. Only what is counted at its address is
// forgiven: else each call of a script that has the password would give a guesser
// new tries.
func (a *Attempt) Right(now time.Time) {
	a.end(func(d *Desk) { d.known.clear(a.here, now) })
}

// Wrong ends an attempt that was wrong.
func (a *Attempt) Wrong(now time.Time) {
	a.end(func(d *Desk) {
		d.addresses.failed(a.address, now)
		d.users.failed(a.byUser, now)
	})
}

// Drop ends an attempt that could not be judged; after Right or Wrong it does
// nothing.
func (a *Attempt) Drop() { a.end(func(*Desk) {}) }

func (a *Attempt) end(count func(*Desk)) {
	a.desk.mu.Lock()
	defer a.desk.mu.Unlock()
	if a.over {
		return
	}
	a.over = true
	a.byUser.pending--
	a.address.pending--
	count(a.desk)
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
	count   int
	pending int // attempts that are being judged
	last    time.Time
	until   time.Time // of the wait
}

// crowded reports whether more are being judged than may fail: beyond the free
// ones there is one at a time.
func (s *strikes) crowded(free int) bool { return s.pending > 0 && s.count+s.pending >= free }

// forget leaves nothing but what is being judged.
func (s *strikes) forget(now time.Time) { *s = strikes{pending: s.pending, last: now} }

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
			s.forget(now)
		}
		return s
	}
	if len(b.names) >= mostNames && now.Sub(b.swept) >= time.Second { // once a second, not for each stranger
		b.swept = now
		for n, s := range b.names {
			if now.Sub(s.last) >= b.keep && s.pending == 0 {
				delete(b.names, n)
			}
		}
	}
	if len(b.names) >= mostNames {
		if now.Sub(b.crowd.last) >= b.keep {
			b.crowd.forget(now)
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
		s.forget(now)
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
