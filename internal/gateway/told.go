package gateway

import (
	"strconv"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/limit"
)

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
