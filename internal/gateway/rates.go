package gateway

import (
	"cmp"
	"slices"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/platform"
)

// Rates are the rates of all doors of a project, with what is used of them on
// this node now. One that several doors share is told once.
func (g *Gateway) Rates(projectID string) []audit.Rate {
	now, at := time.Now(), map[*limiter]int{}
	var out []audit.Rate
	for _, t := range g.snapshot.Load().of(projectID) {
		for i, d := range t.routes.Doors() {
			if d.Handler == nil || t.closed {
				continue
			}
			for _, l := range t.doors[i].limits {
				n, known := at[l]
				if !known {
					n = len(out)
					at[l] = n
					out = append(out, l.used(now))
				}
				out[n].Doors = append(out[n].Doors, audit.Door{Of: t.function.Name, Handler: d.Handler.Name, Pattern: d.Pattern})
			}
		}
	}
	return out
}

func (l *limiter) used(now time.Time) audit.Rate {
	out := audit.Rate{Limit: l.RateLimit}
	if l.book != nil {
		out.Callers, out.Spent = l.book.Used(now)
	} else {
		out.Left, out.Reset = l.all.Left(now)
	}
	return out
}

// of are the functions and upstreams of a project, by name.
func (s *snapshot) of(projectID string) []*target {
	var out []*target
	for at, t := range s.byName {
		if at.project == projectID {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *target) int { return cmp.Compare(a.function.Name, b.function.Name) })
	return out
}

// Used is what is used now of the limits of a key, as this node knows them.
func (g *Gateway) Used(k platform.AccessKey) (out audit.KeyUse) {
	key, now := g.Keys().ByID(k.ID), time.Now()
	if key == nil {
		return out
	}
	if r := key.Rate(); r != nil {
		left, _ := r.Left(now)
		out.RateLeft = &left
	}
	if q := key.Quota(); q != nil {
		left, _ := q.Left(now)
		out.QuotaLeft = &left
	}
	return out
}
