package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Source is where the gateway learns of keys and functions.
type Source interface {
	// Load gives every live key and every function with an active deployment,
	// and returns the sequence from which to follow.
	Load(ctx context.Context, onKey func(platform.AccessKey) error, onFunction func(platform.Function, platform.Deployment) error) (seq int64, err error)
	// Changes gives changes after a sequence, in order; when the first is not
	// the next, some were lost.
	Changes(ctx context.Context, after int64, limit int) ([]platform.Change, error)
	// KeyByID gives a key as it is now; revoked ones included.
	KeyByID(ctx context.Context, id string) (platform.AccessKey, error)
	// SigningKeys gives the keys that verify tokens now, and RevokedTokens the
	// tokens that were ended: the one with an ID, or all.
	SigningKeys(ctx context.Context, now time.Time) ([]platform.SigningKey, error)
	RevokedTokens(ctx context.Context, id string, now time.Time) ([]platform.RevokedToken, error)
	// ActiveFunction gives a function as it is now; a fault NotFound when it is gone.
	ActiveFunction(ctx context.Context, functionID string) (platform.Function, platform.Deployment, error)
	// Deployment gives a deployment by its ID: a candidate.
	Deployment(ctx context.Context, id string) (platform.Deployment, error)
	// Policies gives the policy in force of a project, or of all where the ID is
	// empty. Those that cannot be read it tells of, by their projects.
	Policies(ctx context.Context, projectID string) ([]platform.Policy, error)
}

const (
	pollEvery     = time.Second // under the bell, which may be missed
	retryEvery    = 200 * time.Millisecond
	changesAWhile = 1000
)

// Load fills the snapshot. The gateway refuses everything before.
func (g *Gateway) Load(ctx context.Context, src Source) error {
	old := g.snapshot.Load()
	b := auth.Rebuild(old.keys)
	next := emptySnapshot()
	before, err := g.policies(ctx, src, "")
	if err != nil {
		return err
	}
	var active []platform.ActiveFunction
	seq, err := src.Load(ctx,
		func(k platform.AccessKey) error { b.Add(k); return nil },
		func(f platform.Function, d platform.Deployment) error {
			active = append(active, platform.ActiveFunction{Function: f, Deployment: d})
			return nil
		})
	if unreadable(err) {
		g.log.Error("some keys or functions cannot be read, and are left out", "error", err)
	} else if err != nil {
		return fmt.Errorf("load keys and functions: %w", err)
	}
	if err := g.candidates(ctx, src, active); err != nil {
		return err
	}
	if err := g.refresh(ctx, ""); err != nil { // behind the sequence: what changes from here on is told
		return fmt.Errorf("load secrets: %w", err)
	}
	if err := g.loadPolicies(ctx, src, next, active, before); err != nil {
		return err
	}
	next.seq = seq
	if next.keys, err = g.signing(ctx, src, b.Directory()); err != nil {
		return err
	}
	if err := g.revoke(ctx, src, next.keys, ""); err != nil {
		return err
	}
	g.publish(next)
	g.recheckAfter(platform.Change{})
	if g.options.Changed != nil {
		g.options.Changed(slices.Collect(maps.Keys(old.byID))...)
	}
	// After a reload, what was replaced meanwhile has to go.
	for id, t := range old.byID {
		now := next.byID[id]
		for _, gone := range t.replaced(now) {
			g.invoker.Retire(gone)
		}
		if now == nil {
			g.drop(id)
		}
		if next.bySlug[t.function.Slug] == nil {
			g.metrics.Forget(t.function.Slug)
		}
	}
	g.options.Feed.Lost()
	return nil
}

// signing returns the directory with the signing keys as they are now.
func (g *Gateway) signing(ctx context.Context, src Source, keys *auth.Directory) (*auth.Directory, error) {
	signing, err := src.SigningKeys(ctx, time.Now())
	if err != nil && !unreadable(err) {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	next, bad := keys.WithSigning(signing)
	if err = errors.Join(err, bad); err != nil {
		g.log.Error("some signing keys cannot be read, and verify nothing", "error", err)
	}
	return next, nil
}

// revoke ends the tokens that were revoked: the one with an ID, or all.
func (g *Gateway) revoke(ctx context.Context, src Source, keys *auth.Directory, id string) error {
	now := time.Now()
	tokens, err := src.RevokedTokens(ctx, id, now)
	if err != nil {
		return fmt.Errorf("load revoked tokens: %w", err)
	}
	keys.Revoke(now, tokens...)
	return nil
}

// unreadable reports whether something is stored that cannot be read.
func unreadable(err error) bool {
	_, ok := errors.AsType[*platform.UnreadableError](err)
	return ok
}

// Follow applies changes in order until ctx ends. While the source is away the
// gateway serves on from its snapshot; State tells since when.
func (g *Gateway) Follow(ctx context.Context, src Source, bell <-chan struct{}) error {
	for {
		wait := pollEvery
		if err := g.catchUp(ctx, src); err != nil && ctx.Err() == nil {
			g.away(err)
			wait = retryEvery
		} else {
			g.back()
			g.unseal(ctx, src)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-bell:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// catchUp applies all changes that there are.
func (g *Gateway) catchUp(ctx context.Context, src Source) error {
	for {
		seq := g.snapshot.Load().seq
		changes, err := src.Changes(ctx, seq, changesAWhile)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Seq != seq+1 {
				g.log.Warn("changes were lost; loading everything again", "have", seq, "next", c.Seq)
				return g.Load(ctx, src)
			}
			if err := g.apply(ctx, src, c); err != nil {
				return err
			}
			g.metrics.Applied(time.Since(c.At))
			seq = c.Seq
		}
		if len(changes) < changesAWhile {
			return nil
		}
	}
}

// apply makes the next snapshot, puts it in the place of the one that is, and tells who
// follows.
func (g *Gateway) apply(ctx context.Context, src Source, c platform.Change) error {
	s := g.snapshot.Load()
	next, retired, keyOf, err := g.after(ctx, src, s, c)
	if err != nil {
		return err
	}
	next.seq = c.Seq
	g.publish(next)
	g.recheckAfter(c)
	g.announce(next, c)
	g.feed(s, next, c, keyOf)
	for _, id := range retired {
		g.invoker.Retire(id) // after the swap: who routes now finds the new one
	}
	return nil
}

// after is what a snapshot is after a change, with the deployments that it no longer
// has and, of a change of a key, the project of that. It takes the thing as it is now,
// so applying a change twice, or late, does no harm.
func (g *Gateway) after(ctx context.Context, src Source, s *snapshot, c platform.Change) (next *snapshot, retired []string, keyOf string, err error) {
	switch c.Kind {
	case platform.ChangeFunction:
		next, retired, err = g.applyFunction(ctx, src, s, c.ID)
		return next, retired, "", err
	case platform.ChangePolicy:
		next, retired, err = g.applyPolicy(ctx, src, s, c.ID)
		return next, retired, "", err
	case platform.ChangeSecret:
		next, retired, err = g.applySecrets(ctx, src, s, c.ID)
		return next, retired, "", err
	}
	copied := *s
	next = &copied
	switch c.Kind {
	case platform.ChangeKey:
		next.keys, keyOf, err = g.applyKey(ctx, src, s.keys, c.ID)
	case platform.ChangeSigning:
		next.keys, err = g.signing(ctx, src, s.keys)
	case platform.ChangeToken:
		err = g.revoke(ctx, src, s.keys, c.ID)
	case platform.ChangeProject: // requests read nothing of it
	default:
		// A newer node wrote it. To stop here would be to miss the revocations
		// behind it, until somebody brings this node up to date.
		g.log.Warn("a change is of a kind that this version does not know; passing over it", "change", c.Seq, "kind", string(c.Kind))
	}
	return next, nil, keyOf, err
}

// applyKey returns the directory with a key as it is now, and the project of the key.
func (g *Gateway) applyKey(ctx context.Context, src Source, keys *auth.Directory, id string) (*auth.Directory, string, error) {
	k, err := src.KeyByID(ctx, id)
	switch {
	case unreadable(err):
		// Waiting for it would keep all later changes waiting, revocations too.
		g.log.Error("a key cannot be read, and opens nothing any more", "keyId", id, "error", err)
		return keys.Without(id), k.ProjectID, nil
	case fault.KindOf(err) == fault.NotFound, err == nil && !k.RevokedAt.IsZero():
		return keys.Without(id), k.ProjectID, nil
	case err != nil:
		return nil, "", err
	}
	return keys.With(k), k.ProjectID, nil
}

// publish makes a snapshot the one that requests read, and wakes who waits for it.
func (g *Gateway) publish(s *snapshot) {
	g.snapshot.Store(s)
	g.retireProxies(s)
	g.metrics.Keys.Set(float64(s.keys.Len()))
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.loaded {
		g.loaded, g.readAt = true, time.Now()
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// Changed is closed when the snapshot is another one than now.
func (g *Gateway) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// WaitApplied waits until the change with a sequence is in the snapshot.
func (g *Gateway) WaitApplied(ctx context.Context, seq int64) error {
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		if g.snapshot.Load().seq >= seq {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for change %d: %w", seq, ctx.Err())
		}
	}
}

// Keys is the directory of live keys as the gateway knows them now.
func (g *Gateway) Keys() *auth.Directory { return g.snapshot.Load().keys }

// State is how fresh the gateway's snapshot is.
type State struct {
	Loaded     bool
	Seq        int64
	Keys       int
	Functions  int
	StaleSince time.Time // zero while the source answers
}

// State returns the state of the snapshot.
func (g *Gateway) State() State {
	s := g.snapshot.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	return State{Loaded: g.loaded, Seq: s.seq, Keys: s.keys.Len(), Functions: len(s.byID), StaleSince: g.staleSince}
}

func (g *Gateway) away(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.staleSince.IsZero() {
		g.staleSince = time.Now()
		g.metrics.Stale.Set(1)
		if !errors.Is(err, context.Canceled) {
			g.log.Error("the database is away; serving on from memory", "error", err)
		}
	}
}

func (g *Gateway) back() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readAt = time.Now()
	if !g.staleSince.IsZero() {
		g.log.Info("the database is back", "away", time.Since(g.staleSince))
		g.staleSince = time.Time{}
		g.metrics.Stale.Set(0)
	}
}
