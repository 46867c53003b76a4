// Package traffic knows what functions did lately: how many calls came and how
// they ended, how long they took, how many waited for a cold start.
//
// [Book] is the type to know. It has a [Function] for each function that there
// is, which the gateway tells of every call when it is over, and gives what came
// of them by [Window]: 15 minutes in steps of ten seconds, 24 hours in steps of
// five minutes.
//
//   - Telling of a call takes the lock of its function and no other, and
//     allocates nothing but at the first call of a function.
//   - Memory is bounded: of [Most] functions figures are kept, about 33 kB each.
//     Another one takes the place of the one that was called least recently;
//     while all were called within the last ten seconds it has none.
//   - A quantile is that of a histogram whose buckets grow by 2^¼, and is the
//     middle of one: it is wrong by at most 9.1 %, between 66 µs and 18 minutes.
//   - All of it is of this process: another node has its own, and a start begins
//     with nothing. What has to be right for ever is counted by package usage.
package traffic

import (
	"sync"
	"sync/atomic"
	"time"
)

// Most is of how many functions a book keeps figures.
const Most = 1000

// Class is how a call ended.
type Class uint8

// The classes. A call is in one of them.
const (
	Success     Class = iota // answered 2xx, or a WebSocket that was opened
	Redirect                 // 3xx
	ClientError              // 4xx, by whoever the call was for
	ServerError              // 5xx; also where no worker could be had
	Refused                  // at the door, before anything was asked for
	CutOff                   // the answer did not come to its end, or nobody waited for it
	Classes     = int(CutOff) + 1
)

// Call is one that is over.
type Call struct {
	At      time.Time // when
	Took    time.Duration
	Class   Class
	Untimed bool // how long it took says nothing: it was a WebSocket
	Cold    bool // it waited for a worker to start

	BytesIn, BytesOut int64 // of the bodies
}

// timed reports whether a call is among those whose quantiles are told: one that
// was refused is answered so fast that it would hide the others.
func (c *Call) timed() bool { return !c.Untimed && c.Class != Refused }

// Function is what is known of one function. A nil Function knows nothing. It is
// safe for concurrent use.
type Function struct {
	book      *Book
	projectID string
	id        string
	last      atomic.Int64 // when it was last called, in ns since the epoch

	mu   sync.Mutex
	name string // guarded by mu
	kept *kept  // nil: nothing is; guarded by mu, set under book.mu as well
}

// kept are the figures of a function.
type kept struct{ minutes, day series }

func newKept() *kept { return &kept{newSeries(Minutes), newSeries(Day)} }

// Book is safe for concurrent use. A nil Book knows nothing.
type Book struct {
	most  int
	began time.Time
	full  atomic.Int64 // the step in which no place was found for another function

	mu        sync.Mutex           // before that of a Function
	functions map[string]*Function // by ID; guarded by mu
	kept      []*Function          // those that have figures; guarded by mu
}

// NewBook makes a book of most functions; 0: [Most].
func NewBook(most int) *Book {
	if most == 0 {
		most = Most
	}
	return &Book{most: most, began: time.Now(), functions: map[string]*Function{}}
}

// Began is since when the book knows anything.
func (b *Book) Began() time.Time {
	if b == nil {
		return time.Time{}
	}
	return b.began
}

// Function is where the calls of a function are told, by the name that it has
// now. It costs little until the function is called.
func (b *Book) Function(projectID, id, name string) *Function {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.functions[id]
	if f == nil {
		f = &Function{book: b, projectID: projectID, id: id}
		b.functions[id] = f
	}
	f.mu.Lock()
	f.name = name
	f.mu.Unlock()
	return f
}

// Forget drops a function that is gone.
func (b *Book) Forget(id string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.functions[id]
	if f == nil {
		return
	}
	delete(b.functions, id)
	for i, other := range b.kept {
		if other == f {
			b.kept[i] = b.kept[len(b.kept)-1]
			b.kept = b.kept[:len(b.kept)-1]
			break
		}
	}
	f.mu.Lock()
	f.kept = nil
	f.mu.Unlock()
}

// Record tells of a call.
func (f *Function) Record(c Call) {
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.kept == nil {
		f.mu.Unlock()
		if !f.book.admit(f, c.At) {
			return
		}
		f.mu.Lock()
	}
	if k := f.kept; k != nil {
		k.minutes.add(&c)
		k.day.add(&c)
		f.last.Store(c.At.UnixNano())
	}
	f.mu.Unlock()
}

// admit finds a place for the figures of a function, at the cost of the one that
// was called least recently. One that was called in this step stays: where more
// are called than there are places, they do not take them from each other all the
// time.
func (b *Book) admit(f *Function, at time.Time) bool {
	step := Minutes.number(at)
	if b.full.Load() == step {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.functions[f.id] != f {
		return false // it was forgotten
	}
	k, known := b.place(f, step)
	if known || k == nil {
		return known
	}
	f.last.Store(at.UnixNano())
	f.mu.Lock()
	f.kept = k
	f.mu.Unlock()
	return true
}

// place finds where the figures of a function can be kept; known: it has some,
// because another call of it was first. b.mu is held.
func (b *Book) place(f *Function, step int64) (k *kept, known bool) {
	var oldest int
	for i, other := range b.kept {
		if other == f {
			return nil, true
		}
		if other.last.Load() < b.kept[oldest].last.Load() {
			oldest = i
		}
	}
	if len(b.kept) < b.most {
		b.kept = append(b.kept, f)
		return newKept(), false
	}
	victim := b.kept[oldest]
	if Minutes.number(time.Unix(0, victim.last.Load())) >= step {
		b.full.Store(step)
		return nil, false
	}
	b.kept[oldest] = f
	return victim.leave(), false
}

// leave takes the figures of a function from it, and empties them.
func (f *Function) leave() *kept {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.kept
	f.kept = nil
	k.minutes.clear()
	k.day.clear()
	return k
}
