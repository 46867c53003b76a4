package deploy

import "context"

// lock lets one deploy or deletion of a function through at a time.
type lock struct {
	held  chan struct{} // has one element while somebody holds it
	users int           // holders and waiters; guarded by Deployer.mu
}

// lock waits for its turn, or for ctx. A lock that nobody uses is forgotten:
// names are given by callers, and would pile up.
func (d *Deployer) lock(ctx context.Context, name string) (unlock func(), err error) {
	d.mu.Lock()
	l := d.locks[name]
	if l == nil {
		l = &lock{held: make(chan struct{}, 1)}
		d.locks[name] = l
	}
	l.users++
	d.mu.Unlock()
	leave := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(d.locks, name)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
