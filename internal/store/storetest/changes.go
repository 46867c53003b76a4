package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

func testChanges(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 10 {
				if _, err := db.CreateKey(t.Context(), newKey(p.ID, fmt.Sprintf("k%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	changes, err := db.Changes(t.Context(), 0, 1000)
	if err != nil || len(changes) != 61 {
		t.Fatalf("%d changes, err %v", len(changes), err)
	}
	for i, c := range changes {
		if c.Seq != int64(i+1) || c.Kind != platform.ChangeKey || !c.At.Equal(at) {
			t.Errorf("change %d is %+v", i, c)
		}
	}
	if tail, _ := db.Changes(t.Context(), 59, 1); len(tail) != 1 || tail[0].Seq != 60 {
		t.Errorf("tail %v", tail)
	}
	keys, _ := load(t, db)
	if len(keys) != 61 {
		t.Errorf("Load brings %d keys", len(keys))
	}
}

func testBell(t *testing.T, db *store.DB) {
	bell := db.Bell()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { db.Run(ctx); close(done) }()
	newProject(t, db)
	select {
	case <-bell:
	case <-time.After(10 * time.Second):
		t.Error("no bell after a change")
	}
	cancel()
	<-done
}

// follower is what a gateway does with a store, as plainly as it can be done:
// it loads, then applies changes one by one.
type follower struct {
	seq       int64
	keys      map[string]platform.AccessKey
	functions map[string]string // ID to active deployment
}

func newFollower(ctx context.Context, db *store.DB) (*follower, error) {
	f := &follower{keys: map[string]platform.AccessKey{}, functions: map[string]string{}}
	seq, err := db.Load(ctx,
		func(k platform.AccessKey) error { f.keys[k.ID] = k; return nil },
		func(fn platform.Function, d platform.Deployment) error { f.functions[fn.ID] = d.ID; return nil })
	f.seq = seq
	return f, err
}

// step applies one page of changes; it is done when there are none.
func (f *follower) step(ctx context.Context, db *store.DB) (done bool, err error) {
	changes, err := db.Changes(ctx, f.seq, 5)
	for _, c := range changes {
		if c.Seq != f.seq+1 {
			return false, fmt.Errorf("after change %d comes %d", f.seq, c.Seq)
		}
		f.seq = c.Seq
		switch c.Kind {
		case platform.ChangeKey:
			k, err := db.KeyByID(ctx, c.ID)
			if err != nil {
				return false, err
			}
			if f.keys[k.ID] = k; !k.LiveAt(time.Now()) {
				delete(f.keys, k.ID)
			}
		case platform.ChangeFunction:
			fn, d, err := db.ActiveFunction(ctx, c.ID)
			switch {
			case err == nil:
				f.functions[fn.ID] = d.ID
			case fault.KindOf(err) == fault.NotFound:
				delete(f.functions, c.ID)
			default:
				return false, err
			}
		default:
			return false, fmt.Errorf("change %+v", c)
		}
	}
	return len(changes) == 0, err
}

// Whoever loads in the middle of everything and then follows knows in the end
// what whoever loads at the end knows.
// forDoors leaves out what Load does not read.
var forDoors = cmpopts.IgnoreFields(platform.AccessKey{}, "DisplayName", "Metadata", "CreatedAt", "UpdatedAt", "LastUsedAt", "Used")

func testFollower(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() { churn(t, db, p.ID, fmt.Sprintf("w%d", w)) })
	}
	finished := make(chan struct{})
	followers := make([]*follower, 3)
	for i := range followers {
		readers.Go(func() {
			f, err := newFollower(t.Context(), db)
			for over := false; err == nil; {
				var done bool
				if done, err = f.step(t.Context(), db); done && over {
					break
				}
				select {
				case <-finished:
					over = true
				default:
				}
			}
			if err != nil {
				t.Error(err)
			}
			followers[i] = f
		})
	}
	writers.Wait()
	close(finished)
	readers.Wait()
	fresh, err := newFollower(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range followers {
		if f.seq != fresh.seq {
			t.Errorf("followed to %d of %d", f.seq, fresh.seq)
		}
		if d := cmp.Diff(fresh.keys, f.keys, forDoors); d != "" {
			t.Error("keys differ: ", d)
		}
		if d := cmp.Diff(fresh.functions, f.functions); d != "" {
			t.Error("functions differ: ", d)
		}
	}
	if len(fresh.keys) == 0 || len(fresh.functions) == 0 {
		t.Errorf("nothing is left to compare: %d keys, %d functions", len(fresh.keys), len(fresh.functions))
	}
}

// churn makes, ends, deploys and deletes.
func churn(t *testing.T, db *store.DB, projectID, name string) {
	id, active := "", ""
	for i := range 10 {
		k := newKey(projectID, fmt.Sprintf("%s-%d", name, i))
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Error(err)
		}
		if i%3 == 0 {
			if _, err := db.RevokeKey(t.Context(), projectID, k.ID, at); err != nil {
				t.Error(err)
			}
		}
		in := deployInput(projectID, id, name, active)
		in.OldKeyExpiresAt = time.Now().Add(-time.Hour) // ended: Load leaves it out
		out, err := db.Deploy(t.Context(), in)
		if err != nil {
			t.Error(err)
		}
		id, active = out.Function.ID, out.Deployment.ID
		if i%4 == 2 {
			if _, _, err := db.DeleteFunction(t.Context(), projectID, name, at); err != nil {
				t.Error(err)
			}
			id, active = "", ""
		}
	}
}

// Whoever loads may refuse; the store then stops and says why.
func testLoadStops(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	if _, err := db.Deploy(t.Context(), deployInput(p.ID, "", "f", "")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	calls := 0
	_, err := db.Load(t.Context(), func(platform.AccessKey) error { calls++; return full }, nil)
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	_, err = db.Load(t.Context(), func(platform.AccessKey) error { return nil },
		func(platform.Function, platform.Deployment) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("refused function: %v", err)
	}
	// Nothing is held by what was stopped: the store still loads and writes.
	for range 20 {
		db.Load(t.Context(), func(platform.AccessKey) error { return full }, nil)
	}
	if keys, functions := load(t, db); len(keys) != 2 || len(functions) != 1 {
		t.Errorf("%d keys, %d functions", len(keys), len(functions))
	}
	if _, err := db.CreateKey(t.Context(), newKey(p.ID, "after")); err != nil {
		t.Error(err)
	}
}
