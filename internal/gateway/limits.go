package gateway

import (
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
)

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
