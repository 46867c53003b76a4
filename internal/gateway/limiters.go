package gateway

import (
	"sync"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

// limiter counts what one limit is of. It outlives the snapshots.
type limiter struct {
	platform.RateLimit
	text string       // as a manifest has it
	over *fault.Error // what is said of it
	// all is for all callers together, and book for each name apart.
	all  *limit.Rate
	book *limit.Book[[16]byte]
}

// The bounds of memory: how many callers one limit tells apart, and how many all
// limits of a project do. About 100 bytes each.
const (
	namesOfLimit   = 1 << 14
	namesOfProject = 1 << 17
)

func (g *limits) limiter(projectID string, l platform.RateLimit) *limiter {
	said := l
	if said.Burst == said.Requests {
		said.Burst = 0
	}
	made := &limiter{RateLimit: l, text: function.FormatRate(said)}
	where := "this route"
	if l.Pool != "" {
		where = "this group of routes" // callers are not told its name
	}
	made.over = fault.New(fault.TooMany, whose(l.By, where)+": "+made.text).WithCode("rate_limited")
	if l.Pool != "" {
		made.text += " in the pool " + l.Pool
	}
	var err error
	if l.By == platform.LimitByRoute {
		made.all, err = limit.Of(l)
	} else {
		made.book, err = limit.BookOf[[16]byte](l, namesOfLimit, g.room(projectID))
	}
	if err != nil {
		made.all, made.book = new(limit.Rate), nil // lets nobody in: it was refused when it was written, and somebody wrote it here since
	}
	return made
}

// whose is whose limit it is, in words that tell a caller nothing of others.
func whose(by platform.LimitBy, where string) string {
	switch by {
	case platform.LimitByKey:
		return "the caller is over its rate on " + where
	case platform.LimitByAddress:
		return "this address is over its rate on " + where
	case platform.LimitByMethod:
		return "credentials that are shown in this way are over their rate on " + where
	}
	return where + " is over its rate"
}

// limits are the limiters of all functions. They outlive the snapshots, so that
// neither a deploy nor a policy gives anybody another burst; a limit that is
// changed begins anew.
type limits struct {
	mu        sync.Mutex
	functions map[string]map[limitKey]*limiter // by function ID; guarded by mu
	pools     map[limitKey]*pool               // guarded by mu
	rooms     map[string]*limit.Room           // by project; guarded by mu
}

// limitKey is what a limiter is known by: the address, or the project of its
// pool, and what it allows.
type limitKey struct {
	of string
	platform.RateLimit
}

// pool is a limiter that addresses of several functions may share.
type pool struct {
	*limiter
	users map[string]bool // by function ID
}

// room is the room of a project; g.mu is held.
func (g *limits) room(projectID string) *limit.Room {
	r := g.rooms[projectID]
	if r == nil {
		r = limit.NewRoom(namesOfProject)
		if g.rooms == nil {
			g.rooms = map[string]*limit.Room{}
		}
		g.rooms[projectID] = r
	}
	return r
}

// limitSet collects the limiters of a function's new form.
type limitSet struct {
	g        *limits
	function platform.Function
	own      map[limitKey]*limiter
	shared   map[limitKey]bool
}

// begin begins a new form of a function; end ends what only its old one has.
func (g *limits) begin(f platform.Function) *limitSet {
	g.mu.Lock()
	return &limitSet{g, f, map[limitKey]*limiter{}, map[limitKey]bool{}}
}

// add adds a limit of a door to its limiters, once.
func (s *limitSet) add(to []*limiter, d function.Door, l platform.RateLimit) []*limiter {
	l.Burst = l.AtOnce() // that it is said or not makes no difference
	key := limitKey{of: d.Handler.Name + " " + d.Pattern, RateLimit: l}
	if l.Pool != "" {
		key.of = s.function.ProjectID
	}
	made := s.find(key)
	for _, has := range to {
		if has == made {
			return to
		}
	}
	return append(to, made)
}

func (s *limitSet) find(key limitKey) *limiter {
	if key.Pool != "" {
		p := s.g.pools[key]
		if p == nil {
			p = &pool{s.g.limiter(s.function.ProjectID, key.RateLimit), map[string]bool{}}
			if s.g.pools == nil {
				s.g.pools = map[limitKey]*pool{}
			}
			s.g.pools[key] = p
		}
		p.users[s.function.ID], s.shared[key] = true, true
		return p.limiter
	}
	made := s.own[key]
	if made == nil {
		if made = s.g.functions[s.function.ID][key]; made == nil {
			made = s.g.limiter(s.function.ProjectID, key.RateLimit)
		}
		s.own[key] = made
	}
	return made
}

func (s *limitSet) end() {
	s.g.replace(s.function.ID, s.own, s.shared)
	s.g.mu.Unlock()
}

// drop ends the limiters of a function that is gone.
func (g *limits) drop(functionID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.replace(functionID, nil, nil)
}

// replace ends what a function no longer has; g.mu is held.
func (g *limits) replace(functionID string, own map[limitKey]*limiter, shared map[limitKey]bool) {
	for key, old := range g.functions[functionID] {
		if own[key] == nil {
			old.close()
		}
	}
	delete(g.functions, functionID)
	if len(own) > 0 {
		if g.functions == nil {
			g.functions = map[string]map[limitKey]*limiter{}
		}
		g.functions[functionID] = own
	}
	for key, p := range g.pools {
		if p.users[functionID] && !shared[key] {
			if delete(p.users, functionID); len(p.users) == 0 {
				p.close()
				delete(g.pools, key)
			}
		}
	}
}

func (l *limiter) close() {
	if l.book != nil {
		l.book.Close()
	}
}
