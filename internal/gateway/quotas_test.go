package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
)

// quotas is a store of quotas in memory, which nodes share.
type quotas struct {
	mu    sync.Mutex
	away  error
	since time.Time
	taken int64
	asked int
}

func (q *quotas) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away = err
}

func (q *quotas) ReserveQuota(_ context.Context, _ string, since, _ time.Time, limit, n int64) (got, taken int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asked++; q.away != nil {
		return 0, 0, q.away
	}
	if !q.since.Equal(since) {
		q.since, q.taken = since, 0
	}
	got = max(min(n, limit-q.taken), 0)
	q.taken += got
	return got, q.taken, nil
}

func (q *quotas) ReturnQuota(_ context.Context, _ string, since time.Time, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.since.Equal(since) {
		q.taken -= n
	}
	return q.away
}

// node is one gateway of several on one store.
func (w *world) node(t *testing.T, q *quotas) *gateway.Gateway {
	t.Helper()
	g := gateway.New(gateway.Options{Quotas: q}, w.invoker)
	if err := g.Load(t.Context(), w.src); err != nil {
		t.Fatal(err)
	}
	return g
}

// However many nodes there are, and however they end, no more calls run than
// the quota allows; what does not run is in the last blocks of nodes that have
// no calls, or were killed.
func TestQuota_OfNodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		killed bool
		least  int64
	}{"in good order": {false, 1000 - 4*9}, "killed": {true, 1000 - 8*9}} {
		w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/x": {}})
		id, secret := w.key(func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 1000, Per: platform.PerMonth} })
		q := &quotas{}
		var ran atomic.Int64
		for range 2 { // a second time, after all were started again
			var nodes []*gateway.Gateway
			for range 4 {
				nodes = append(nodes, w.node(t, q))
			}
			var wg sync.WaitGroup
			for i, g := range slices.Repeat(nodes, 2) {
				wg.Go(func() {
					for range 73 + i {
						switch _, p := ask(g, "GET", "/fn/orders/x", [2]string{id, secret}); p.Code {
						case "queue_full":
							ran.Add(1)
						case "quota_exceeded":
						default:
							t.Error(p.Code)
						}
					}
				})
			}
			wg.Wait()
			for _, g := range nodes {
				if tc.killed {
					continue // what it had is gone
				}
				if err := g.ReturnQuotas(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
		if n := ran.Load(); n > 1000 || n < tc.least {
			t.Errorf("%s: %d of 1000 ran", name, n)
		}
	}
}

// With the store away a node uses up what it has, and then refuses: what cannot
// be counted is not allowed. It asks once a second, and goes on when it is back.
func TestQuota_StoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fitted(t, platform.GuardKey, map[string]platform.Rule{"/x": limited(rate(1000, time.Hour, platform.LimitByRoute))})
		_, secret := w.key(func(k *platform.AccessKey) { k.Quota = platform.Quota{Limit: 300, Per: platform.PerDay} })
		_, plain := w.key(nil)
		q := &quotas{}
		g := w.node(t, q)
		w.g = g
		calls := func(n int, secret string) (codes map[string]int) {
			codes = map[string]int{}
			for range n {
				res, p := w.from(here, "/x", http.Header{"X-Api-Key": {secret}})
				codes[fmt.Sprint(res.StatusCode, " ", p.Code)]++
				if p.Code == "unavailable" && res.Header.Get("Retry-After") != "1" {
					t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
				}
			}
			return codes
		}
		if got := calls(1, secret); got["503 queue_full"] != 1 {
			t.Fatal(got)
		}
		q.fail(errors.New("away"))
		before := w.invoker.acquired.Load()
		if got := calls(50, secret); got["503 queue_full"] != 2 || got["503 unavailable"] != 48 || w.invoker.acquired.Load()-before != 2 {
			t.Errorf("with two left of a block of three: %v", got)
		}
		if q.asked != 2 {
			t.Errorf("the store was asked %d times in a second", q.asked)
		}
		if got := calls(5, plain); got["503 queue_full"] != 5 {
			t.Errorf("a key without a quota: %v", got)
		}
		if got := w.codes(call{here, "/x", plain}); got[0] != `ran "route";r=991;t=33` { // 3 + 5 + 1 calls ran
			t.Errorf("what was refused was taken from the route: %q", got)
		}
		q.fail(nil)
		if got := calls(1, secret); got["503 unavailable"] != 1 {
			t.Errorf("within the second: %v", got)
		}
		time.Sleep(time.Second)
		if got := calls(400, secret); got["503 queue_full"] != 297 || got["429 quota_exceeded"] != 103 {
			t.Errorf("when it is back: %v", got)
		}
		// The next day begins at midnight UTC, to the nanosecond.
		midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		time.Sleep(time.Until(midnight) - time.Nanosecond)
		if got := calls(1, secret); got["429 quota_exceeded"] != 1 {
			t.Errorf("before midnight: %v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := calls(301, secret); got["503 queue_full"] != 300 || got["429 quota_exceeded"] != 1 {
			t.Errorf("the next day: %v", got)
		}
	})
}
