// Package state is what functions keep on the host: the cache and the storage
// of their context.
//
// [Service] is the one type to know. [Service.For] answers the host calls of
// one function's workers, whose ID is bound when their launch is prepared and
// is in no call: a worker has no way to name another function. Every argument
// comes from code that nobody trusts; what does not fit is a fault which that
// code is told, and touches nothing.
//
// The service keeps the rules (keys, sizes, limits, what is swept when); where
// things are kept is behind [Cache], [Index] and [Blobs]. How values become
// JSON and how patterns match is the runtime's own, in its own process.
package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Cache keeps short-lived values of functions, by function ID. What is over at
// now counts as not there. It is safe for concurrent use, and each change is
// whole, also among nodes that share it.
type Cache interface {
	// Get returns the values of keys in their order, nil where there is none.
	// They are not to be written to.
	Get(ctx context.Context, functionID string, keys []string, now time.Time) ([][]byte, error)
	// Apply makes one change. It keeps nothing of c.
	Apply(ctx context.Context, functionID string, c platform.CacheChange) (platform.CacheResult, error)
	// Keys lists up to limit keys that begin with prefix and stand after a key,
	// in the order of their bytes.
	Keys(ctx context.Context, functionID, prefix, after string, limit int, now time.Time) ([]string, error)
	// Usage counts what is there: entries, and the bytes of keys and values.
	Usage(ctx context.Context, functionID string, now time.Time) (entries, bytes int64, err error)
}

// Keeper is the part of a cache that keeps house. What implements Cache
// implements it too.
type Keeper interface {
	// Prune removes what is over.
	Prune(ctx context.Context, now time.Time) error
	// Clear removes everything of a function.
	Clear(ctx context.Context, functionID string) error
	// Owners lists the functions of which there is something.
	Owners(ctx context.Context) ([]string, error)
}

// Registry knows which functions there are. *store.DB is one.
type Registry interface {
	FunctionExists(ctx context.Context, functionID string) (bool, error)
	// SweepStorage removes what the index has of functions that are gone, whose
	// IDs stand before the given one.
	SweepStorage(ctx context.Context, before string) error
}

// Options are what a service works with.
type Options struct {
	Cache interface {
		Cache
		Keeper
	}
	// CacheEntries and CacheBytes are the most that one function has in its
	// cache. Of nodes that share one, each knows what the others added within a
	// minute, so that all together may go over by as much.
	CacheEntries, CacheBytes int64

	Index Index
	Blobs interface {
		Blobs
		BlobKeeper
	}
	// ObjectBytes is the most that one object has; StorageObjects and
	// StorageBytes are the most that one function has in its storage.
	ObjectBytes, StorageObjects, StorageBytes int64

	Registry Registry
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger
}

// Service answers the calls of functions for what they keep. It is safe for
// concurrent use.
type Service struct {
	o       Options
	handles handles

	mu      sync.Mutex
	tallies map[string]*tally // by function; guarded by mu
	gone    map[string]bool   // functions that were deleted here; guarded by mu
}

// New makes a service. [Service.Run] keeps house for it.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o: o, tallies: map[string]*tally{}, gone: map[string]bool{}}
}

// operation answers one kind of call.
type operation struct {
	least, most int // fields
	answer      func(s *Service, ctx context.Context, functionID string, fields [][]byte) ([][]byte, error)
}

// operations are all that a worker may ask for. The table is read only.
var operations = map[string]operation{
	"cache.get":       {1, maxBatch, (*Service).cacheGet},
	"cache.has":       {1, 1, (*Service).cacheHas},
	"cache.set":       {3, 3, (*Service).cacheSet},
	"cache.delete":    {1, 1, (*Service).cacheDelete},
	"cache.extend":    {2, 2, (*Service).cacheExtend},
	"cache.increment": {3, 3, (*Service).cacheIncrement},
	"cache.keys":      {2, 2, (*Service).cacheKeys},

	"storage.read":   {1, 1, (*Service).storageRead},
	"storage.next":   {1, 1, (*Service).storageNext},
	"storage.write":  {2, 2, (*Service).storageWrite},
	"storage.begin":  {0, 0, (*Service).storageBegin},
	"storage.append": {2, 2, (*Service).storageAppend},
	"storage.commit": {2, 2, (*Service).storageCommit},
	"storage.abort":  {1, 1, (*Service).storageAbort},
	"storage.list":   {2, 2, (*Service).storageList},
	"storage.exists": {1, 1, (*Service).storageExists},
	"storage.delete": {1, 1, (*Service).storageDelete},
}

// For returns what answers the calls of a function's workers.
func (s *Service) For(functionID string) func(ctx context.Context, op string, fields [][]byte) ([][]byte, error) {
	return func(ctx context.Context, op string, fields [][]byte) (out [][]byte, err error) {
		defer func() { err = coded(err) }()
		o, ok := operations[op]
		if !ok {
			return nil, fault.New(fault.NotFound, fmt.Sprintf("this server knows no call %.40q", op)).WithCode("call_unknown")
		}
		if len(fields) < o.least || len(fields) > o.most {
			return nil, malformed(fmt.Sprintf("%s with %d fields", op, len(fields)))
		}
		if s.isGone(functionID) {
			return nil, fault.New(fault.NotFound, "the function was deleted").WithCode("function_not_found")
		}
		return o.answer(s, ctx, functionID, fields)
	}
}

// coded gives a fault the code that functions know its kind by.
func coded(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != "" || f.Kind == fault.Internal {
		return err
	}
	code := "unavailable"
	if f.Kind != fault.Unavailable && f.Kind != fault.Timeout {
		code = "refused"
	}
	return fault.Wrap(err, f.Kind, f.Text).WithCode(code)
}

// malformed is the fault of a call that no runtime of ours makes.
func malformed(text string) error {
	return fault.New(fault.Invalid, "the call is malformed: "+text).WithCode("call_malformed")
}

// yes is how a call says so.
func yes(b bool) [][]byte {
	if b {
		return [][]byte{[]byte("1")}
	}
	return [][]byte{nil}
}
