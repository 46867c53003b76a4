package gateway

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/auth"
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

// rate is what a call takes from. A question takes no place in a book.
func (l *limiter) rate(x *exchange) *limit.Rate {
	switch {
	case l.book == nil:
		return l.all
	case x.question != nil:
		return l.book.Look(x.named(l.By))
	}
	return l.book.Rate(x.named(l.By), x.began)
}

// named is the name of who calls, as a limit tells callers apart. Who has no
// name of their own goes by the address.
func (x *exchange) named(by platform.LimitBy) (name [16]byte) {
	switch {
	case by == platform.LimitByMethod:
		copy(name[:], x.principal.Method)
	case by == platform.LimitByKey && x.principal.Method != auth.MethodNone:
		name = x.principal.Packed()
	default:
		name = network(x)
	}
	return name
}

// network is the caller's address, of IPv6 the /64: that many one caller has.
func network(x *exchange) [16]byte {
	a := x.address()
	if !a.IsValid() {
		return [16]byte{} // who has no address is one caller with all others that have none
	}
	return platform.CallerBlock(a).As16()
}

// mostLimits is how many limits a call can be under without an allocation.
const mostLimits = 12

// takeLimits is step 5's part of rates and quota: the route's and the key's. A
// call takes from all of them or, refused, from none.
func (g *Gateway) takeLimits(x *exchange) error {
	var held [mostLimits]*limit.Rate
	var own *limit.Rate
	var quota *limit.Quota
	if k := x.principal.Key; k != nil {
		own, quota = k.Rate(), k.Quota()
	}
	if len(x.door.limits) == 0 && own == nil && quota == nil {
		return nil
	}
	for {
		rates := held[:0]
		for _, l := range x.door.limits {
			rates = append(rates, l.rate(x))
		}
		if own != nil {
			rates = append(rates, own)
		}
		place, wait := limit.Peek(x.began, rates)
		if over, ok := time.Duration(0), true; place < 0 && quota != nil {
			if over, ok = quota.Peek(x.began); !ok {
				return x.overQuota(quota, over)
			}
		}
		if place < 0 && x.question == nil {
			place, wait = limit.Take(x.began, rates)
		}
		switch {
		case place >= 0 && wait == 0:
			continue // it was forgotten between the look and the taking
		case place >= 0:
			return x.overRate(place, rates[place], wait)
		case x.question != nil:
			return nil
		}
		if quota != nil {
			wait, ok, err := g.takeQuota(x, quota)
			if !ok {
				limit.Return(rates)
			}
			if err != nil {
				return &limitError{errQuotaAway, wait}
			}
			if !ok {
				return x.overQuota(quota, wait)
			}
		}
		x.tellTightest(rates, quota)
		return nil
	}
}

func (x *exchange) overRate(place int, r *limit.Rate, wait time.Duration) error {
	left, _ := r.Left(x.began)
	x.tellRate(place, left, wait)
	if place < len(x.door.limits) {
		return &limitError{x.door.limits[place].over, wait}
	}
	return &limitError{errRate, wait}
}

func (x *exchange) overQuota(q *limit.Quota, wait time.Duration) error {
	x.tellQuota(q)
	return &limitError{errQuota, wait}
}

// told is what an answer says of the limit that is tightest for its caller.
type told struct {
	who              string // whose limit it is; empty: there is none
	requests, period int64  // so many in so many seconds
	left, reset      int64  // so many still, for so many seconds
}

// tellRate takes down the state of the limit at a place.
func (x *exchange) tellRate(place int, left int64, reset time.Duration) {
	x.told = told{who: "key", period: 1, left: left, reset: seconds(reset)}
	if place == len(x.door.limits) {
		x.told.requests = int64(x.principal.Key.PerSecond())
		return
	}
	l := x.door.limits[place]
	x.told.who, x.told.requests, x.told.period = string(l.By), int64(l.Requests), seconds(l.Per)
}

func (x *exchange) tellQuota(q *limit.Quota) {
	requests, period := q.Limit(x.began)
	left, reset := q.Left(x.began)
	x.told = told{"quota", requests, seconds(period), left, seconds(reset)}
}

// tellTightest takes down the state of the limit of which least is left.
func (x *exchange) tellTightest(rates []*limit.Rate, q *limit.Quota) {
	tightest, least, until := -1, int64(0), time.Duration(0)
	for i, r := range rates {
		if left, reset := r.Left(x.began); tightest < 0 || left < least || left == least && reset > until {
			tightest, least, until = i, left, reset
		}
	}
	if q != nil {
		if left, reset := q.Left(x.began); tightest < 0 || left < least || left == least && reset > until {
			x.tellQuota(q)
			return
		}
	}
	x.tellRate(tightest, least, until)
}

// seconds rounds up: coming back then is not too early.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// field is a header field of a limit (draft-ietf-httpapi-ratelimit-headers-10):
// a policy "who";q=a;w=b, or its state "who";r=a;t=b.
type field struct {
	who    string
	a, b   int64
	policy bool
}

// fields remembers header fields as they are sent: under load few differ, and
// those cost no allocation.
type fields struct {
	slots [1024]atomic.Pointer[sent]
}

type sent struct {
	field
	value []string
}

func (c *fields) get(f field) []string {
	slot := &c.slots[(uint64(f.a)*31+uint64(f.b)*1009+uint64(len(f.who))*127)%uint64(len(c.slots))]
	if s := slot.Load(); s != nil && s.field == f {
		return s.value
	}
	first, second := `;r=`, `;t=`
	if f.policy {
		first, second = `;q=`, `;w=`
	}
	s := &sent{f, []string{strconv.Quote(f.who) + first + strconv.FormatInt(f.a, 10) + second + strconv.FormatInt(f.b, 10)}}
	slot.Store(s)
	return s.value
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
