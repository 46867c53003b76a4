package admin

import "sync"

// places bounds what goes on for long: so much of a project, so much in all. What a
// project has is never more than what is left for all others: however many take what
// they can, one that has nothing finds a place.
type places struct {
	ofProject, inAll int
	over             error // there is no place

	mu  sync.Mutex
	of  map[string]int // by project; guarded by mu
	all int            // guarded by mu
}

func (p *places) take(projectID string) (release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[string]int{}
	}
	if p.of[projectID] >= min(p.ofProject, p.inAll-p.all) {
		return nil, p.over
	}
	p.of[projectID]++
	p.all++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.of[projectID]--; p.of[projectID] == 0 {
			delete(p.of, projectID)
		}
	}, nil
}
