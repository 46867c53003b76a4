package audit

import (
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

// Series is what decisions have in common that one event may stand for.
type Series struct {
	Door      platform.Door
	ProjectID string
	Target    string
	KeyID     string
	Action    string
	Outcome   platform.Outcome
	Code      string
	Status    int
}

// The sampling rule of the package comment.
const (
	singlesAMinute = 20
	maxSeries      = 256
)

// sampler decides which decisions are recorded by themselves.
type sampler struct {
	mu   sync.Mutex
	runs map[Series]*run // guarded by mu
	size map[class]int   // how many runs of each class there are; guarded by mu
}

// class is what has a share of its own of the series: strangers, who can make
// up projects, must not use up what is for the callers of a door who are known.
type class struct {
	door  platform.Door
	known bool
}

func (s Series) class() class { return class{s.Door, s.KeyID != ""} }

// run is one series in the minute that began with its first decision.
type run struct {
	began   time.Time
	singles int
	pending int64 // decisions that no event stands for yet
}

func newSampler() sampler { return sampler{runs: map[Series]*run{}, size: map[class]int{}} }

func (p *sampler) take(s Series, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.find(s, now)
	if now.Sub(r.began) >= time.Minute {
		r.began, r.singles = now, 0
	}
	if r.singles < singlesAMinute {
		r.singles++
		return true
	}
	r.pending++
	return false
}

// count adds decisions that are recorded in sum only.
func (p *sampler) count(s Series, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.find(s, time.Now()).pending += n
}

// find finds the run of a series, or of all those for which there is no room;
// p.mu is held.
func (p *sampler) find(s Series, now time.Time) *run {
	if r := p.runs[s]; r != nil {
		return r
	}
	if p.size[s.class()] >= maxSeries {
		s = Series{Door: s.Door, Action: "various", Outcome: s.Outcome}
		if r := p.runs[s]; r != nil {
			return r
		}
	}
	r := &run{began: now}
	p.runs[s] = r
	p.size[s.class()]++
	return r
}

// due takes the summaries that are to be recorded, and forgets series that
// have been quiet for a minute.
func (p *sampler) due(now time.Time) (out []Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, r := range p.runs {
		if r.pending > 0 {
			out = append(out, Event{Door: s.Door, ProjectID: s.ProjectID, Target: s.Target, KeyID: s.KeyID, Action: s.Action, Outcome: s.Outcome, Code: s.Code, Status: s.Status, Count: r.pending})
			r.pending = 0
		} else if now.Sub(r.began) >= time.Minute {
			delete(p.runs, s)
			p.size[s.class()]--
		}
	}
	return out
}
