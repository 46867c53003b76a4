package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/secret"
)

// openSecrets opens what seals the functions' secrets. Data keys that do not open
// stop the start; a keeper that does not answer does not.
func (s *Server) openSecrets(ctx context.Context) (err error) {
	o := secret.VaultOptions{Store: s.db, Log: s.log}
	if o.Keeper, err = secret.OpenKeeper(ctx, s.box, s.cfg.SecretsKey); err != nil {
		return err
	}
	s.opened(o.Keeper.Close)
	if before := s.cfg.SecretsKeyBefore; before != "" {
		if before == config.DerivedKey {
			before = ""
		}
		if o.Before, err = secret.OpenKeeper(ctx, s.box, before); err != nil {
			return err
		}
		s.opened(o.Before.Close)
	}
	s.vault = secret.NewVault(o)
	return s.vault.Check(ctx)
}

// openCallbacks opens what callbacks are verified with, before the first comes.
// What a keeper that is away leaves sealed is opened when it is back; until then
// those callbacks are answered with 503.
func (s *Server) openCallbacks(ctx context.Context) error {
	if err := s.vault.Settle(ctx); err != nil {
		s.log.Error("callbacks that are verified with secrets are not taken yet", "error", err)
	}
	return ctx.Err()
}

// How long a function is left alone whose workers could not be renewed, at first
// and at most, and one whose first worker is being started.
const (
	renewRetry = time.Second
	renewMost  = time.Minute
	renewSoon  = 250 * time.Millisecond
	renewers   = 4 // functions at a time
)

// renewer brings workers of this node up to secrets that were changed elsewhere,
// or while they were started.
type renewer struct {
	refresh func(ctx context.Context, functionID string) (known bool, err error)
	log     *slog.Logger
	wake    chan struct{}

	mu   sync.Mutex
	jobs map[string]*renewal // by function; guarded by mu
}

// renewal is what is to be done about one function.
type renewal struct {
	at      time.Time // not before
	running bool
	again   bool // it was asked for once more while it ran
	wait    time.Duration
}

func newRenewer(refresh func(context.Context, string) (bool, error), log *slog.Logger) *renewer {
	return &renewer{refresh: refresh, log: log, wake: make(chan struct{}, 1), jobs: map[string]*renewal{}}
}

// enqueue asks for functions to be looked at. It returns at once.
func (r *renewer) enqueue(functionIDs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range functionIDs {
		if j := r.jobs[id]; j == nil {
			r.jobs[id] = &renewal{}
		} else if j.at = (time.Time{}); j.running {
			j.again = true
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (r *renewer) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		ids, next := r.due(time.Now())
		for _, id := range ids {
			wg.Go(func() {
				known, err := r.refresh(ctx, id)
				r.done(ctx, id, known, err)
			})
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due takes what can be begun now, and says when to look again.
func (r *renewer) due(now time.Time) (ids []string, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := 0
	for _, j := range r.jobs {
		if j.running {
			running++
		}
	}
	next = renewMost
	for id, j := range r.jobs {
		switch wait := j.at.Sub(now); {
		case j.running:
		case wait > 0:
			next = min(next, wait)
		case running < renewers:
			j.running, j.again = true, false
			ids = append(ids, id)
			running++
		}
	}
	return ids, next
}

// done notes what became of one function.
func (r *renewer) done(ctx context.Context, id string, known bool, err error) {
	r.mu.Lock()
	j := r.jobs[id]
	first := j.wait == 0
	j.running = false
	switch {
	case err != nil:
		j.wait = min(max(2*j.wait, renewRetry), renewMost)
		j.at = time.Now().Add(j.wait)
	case j.again:
		j.wait, j.at = 0, time.Time{}
	case !known:
		j.at = time.Now().Add(renewSoon)
	default:
		delete(r.jobs, id)
	}
	r.mu.Unlock()
	if err != nil && first && ctx.Err() == nil {
		r.log.Warn("workers were not renewed with the function's new secrets; those that run go on with what they have, and it is tried again", "function", id, "error", err)
	} else if err == nil && !first {
		r.log.Info("workers have the function's new secrets now", "function", id)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
