package supervisor

import "time"

// most is how many workers of the pool may run. p.mu is held.
func (p *pool) most() int {
	if p.launch != nil && p.launch.Workers > 0 {
		return min(p.launch.Workers, p.s.options.Workers)
	}
	return p.s.options.Workers
}

// spare is how many workers without a call are kept. p.mu is held.
func (p *pool) spare() int {
	if p.launch == nil {
		return 0
	}
	return p.launch.Spare
}

// keepSpare starts a worker when fewer than should are without a call. p.mu is held.
func (p *pool) keepSpare(now time.Time) {
	if p.ended != nil || p.spare() == 0 {
		return
	}
	free := 0
	for _, s := range p.slots {
		if s.leases == 0 {
			free++
		}
	}
	if free < p.spare() {
		p.demand(now) // an error only says that it is not yet time
	}
}
