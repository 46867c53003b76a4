package gateway

import (
	"context"
	"errors"
	"time"

	"postern.dev/postern/internal/limit"
)

// Quotas is where nodes share the quotas of keys. *store.DB is one.
type Quotas interface {
	// ReserveQuota takes up to n of a key's quota in a period, and returns how
	// many it got and how many are taken by all.
	ReserveQuota(ctx context.Context, keyID string, since, end time.Time, limit, n int64) (got, taken int64, err error)
	// ReturnQuota gives back what was not used.
	ReturnQuota(ctx context.Context, keyID string, since time.Time, n int64) error
}

// reserveLimit is how long a call waits for a block of its key's quota.
const reserveLimit = time.Second

// takeQuota takes one call from a quota. Of a quota that nodes share it asks the
// store for a block now and then, which is all that steps 1 to 5 ever ask it;
// while the store is away nobody has more than what this node has left.
func (g *Gateway) takeQuota(x *exchange, q *limit.Quota) (wait time.Duration, ok bool, err error) {
	if g.options.Quotas == nil {
		wait, ok = q.Take(x.began)
		return wait, ok, nil
	}
	return q.TakeShared(x.began, func(since, end time.Time, most, n int64) (got, taken int64, err error) {
		// A caller who goes away does not take the block with it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), reserveLimit)
		defer cancel()
		g.blocks.Store(x.callerID(), q)
		return g.options.Quotas.ReserveQuota(ctx, x.callerID(), since, end, most, n)
	})
}

// ReturnQuotas gives back what this node has reserved of quotas and not used. It
// is for the end, when no call comes any more.
func (g *Gateway) ReturnQuotas(ctx context.Context) error {
	var errs []error
	g.blocks.Range(func(id, q any) bool {
		g.blocks.Delete(id)
		if since, spare := q.(*limit.Quota).Drain(); spare > 0 {
			errs = append(errs, g.options.Quotas.ReturnQuota(ctx, id.(string), since, spare))
		}
		return true
	})
	return errors.Join(errs...)
}
