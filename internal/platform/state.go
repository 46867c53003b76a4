package platform

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"
)

// CacheEdit is what a change does with an entry of a function's cache.
type CacheEdit uint8

const (
	CacheSet    CacheEdit = iota // gives the key a value and an end
	CacheDelete                  // removes the key
	CacheExtend                  // gives a live key another end
	CacheAdd                     // adds to a whole number, which begins at 0
)

// CacheChange is one change of a function's cache. What is over at Now counts
// as not there.
type CacheChange struct {
	Edit  CacheEdit
	Key   string
	Value []byte // of a set
	By    int64  // of an add
	Now   time.Time
	// ExpiresAt is the end that a set and an extend give, and that an add gives
	// to a key which was not there.
	ExpiresAt time.Time
}

// CacheResult is what a change did.
type CacheResult struct {
	Was bool  // the key was there
	Sum int64 // after an add
}

// maxExact is the largest whole number that every reader of JSON reads exactly.
const maxExact = 1<<53 - 1

// ErrNoNumber says that a value is no whole number, or the sum would be none
// that is exact.
var ErrNoNumber = errors.New("the value is no whole number, or the sum would be too large to be exact")

// AddTo adds to the whole number that a cache's value says in JSON; nil says 0.
// The error is ErrNoNumber.
func AddTo(value []byte, by int64) (int64, error) {
	if value == nil {
		value = []byte("0")
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n > maxExact || n < -maxExact || by > maxExact || by < -maxExact || n+by > maxExact || n+by < -maxExact {
		return 0, ErrNoNumber
	}
	return n + by, nil
}

// Behind is the first name after all that begin with a prefix, in the order of
// bytes; nil: there is none.
func Behind(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// StoredObject is one object of a function's storage: where its key leads now.
type StoredObject struct {
	Key  string
	Blob string // the name of its bytes, which never change
	Size int64
	At   time.Time // when it was written
}

// Draft is an object's bytes while they are written: nothing until it is committed.
type Draft interface {
	io.Writer
	// Commit gives the bytes their name; when it returns they outlive a power cut.
	Commit(ctx context.Context, blob string) error
	// Discard lets go of what was not committed, and does nothing after that.
	Discard()
}

// DatabaseCopy is the last whole copy of a function's own database.
type DatabaseCopy struct {
	Blob   string
	Bytes  int64
	SHA256 string // of the copy, hex
	At     time.Time
}
