package limit

import (
	"sync"
	"time"
)

// Book keeps a rate for each name that comes, for so many names at most. It is
// safe for concurrent use; make one with NewBook.
type Book struct {
	perSecond, burst, most int

	mu    sync.Mutex
	rates map[string]*Rate // guarded by mu
	swept time.Time        // guarded by mu
	// crowd is what names share that come when the book is full of others that
	// are busy: strangers are then the stricter for it, never the freer.
	crowd *Rate
}

// NewBook returns an empty book of rates of perSecond with a burst, for most
// names at a time; all three must be positive.
func NewBook(perSecond, burst, most int) *Book {
	return &Book{perSecond: perSecond, burst: burst, most: most, rates: map[string]*Rate{}, crowd: NewBurst(perSecond, burst)}
}

// Allow takes one event of a name at the given time, or says how long to wait.
func (b *Book) Allow(name string, now time.Time) (wait time.Duration, ok bool) {
	return b.rate(name, now).Allow(now)
}

// Len is the number of names in the book.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rates)
}

func (b *Book) rate(name string, now time.Time) *Rate {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rates[name]; r != nil {
		return r
	}
	// A full book is looked through once a second, not for each stranger.
	if len(b.rates) >= b.most && now.Sub(b.swept) >= time.Second {
		b.swept = now
		for name, r := range b.rates {
			if r.idle(now) {
				delete(b.rates, name)
			}
		}
	}
	if len(b.rates) >= b.most {
		return b.crowd
	}
	r := NewBurst(b.perSecond, b.burst)
	b.rates[name] = r
	return r
}
