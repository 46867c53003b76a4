package gateway

import (
	"net/http"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/traffic"
)

// outcomes are those of a request, in the order in which decided has them.
var outcomes = [...]platform.Outcome{platform.OutcomeAllowed, platform.OutcomeRefused, platform.OutcomeFailed}

// decided are the counters of decisions, by outcome and step.
type decided [len(outcomes)][len(stepNames)]telemetry.Counter

func newDecided(m *telemetry.Metrics) *decided {
	d := new(decided)
	for i, o := range outcomes {
		for step := stepIdentify; step < stepAccount; step++ {
			d[i][step] = m.Decision(string(o), stepNames[step])
		}
	}
	return d
}

func (d *decided) count(o platform.Outcome, step int8) {
	for i := range outcomes {
		if outcomes[i] == o {
			d[i][step].Inc()
		}
	}
}

// measure counts a request that is over.
func (g *Gateway) measure(x *exchange, took time.Duration) {
	g.metrics.InFlight.Dec()
	g.decided.count(x.outcome(), x.step)
	if x.code != "" && !x.ran {
		g.metrics.Refused(x.code)
	}
	if s := x.callback.scheme; s != "" {
		g.metrics.Callback(s, x.callback.by != nil)
	}
	if x.target == nil {
		return
	}
	m := x.target.metrics
	m.Observe(x.status, took)
	m.Moved(x.bytesIn(), x.sent)
	if w := x.held.Waited(); w > 0 {
		m.Waited(w)
	}
	x.target.traffic.Record(traffic.Call{At: x.began.Add(took), Took: took, Class: x.class(), Untimed: x.status == http.StatusSwitchingProtocols, Cold: x.held.Cold(), BytesIn: x.bytesIn(), BytesOut: x.sent})
}

// class is how a call ended, as the traffic of its function has it.
func (x *exchange) class() traffic.Class {
	switch {
	case x.code == codeAborted, x.status == statusClientClosed, x.status == 0:
		return traffic.CutOff
	case x.status == http.StatusSwitchingProtocols: // also of one that we ended later
		return traffic.Success
	case x.code != "" && !x.ran && (x.step < stepAcquire || x.status < http.StatusInternalServerError):
		return traffic.Refused
	case x.status >= http.StatusInternalServerError:
		return traffic.ServerError
	case x.status >= http.StatusBadRequest:
		return traffic.ClientError
	case x.status >= http.StatusMultipleChoices:
		return traffic.Redirect
	}
	return traffic.Success
}

// drop forgets what was counted of a function that is gone.
func (g *Gateway) drop(id string) {
	g.limits.drop(id)
	g.options.Traffic.Forget(id)
}

// Levels are what the gateway knows for the metrics. status tells how a
// deployment's workers are doing.
func (g *Gateway) Levels(status func(deploymentID string) (workers, inFlight, waiting int)) telemetry.Levels {
	s := g.snapshot.Load()
	out := telemetry.Levels{Sequence: s.seq, Shut: g.Shut(), Functions: make([]telemetry.FunctionLevels, 0, len(s.byID))}
	for _, t := range s.byID {
		f := telemetry.FunctionLevels{Slug: t.function.Slug}
		for v := t; v != nil; v = v.candidate {
			workers, inFlight, waiting := status(v.deployment.ID)
			f.Workers, f.InFlight, f.Waiting = f.Workers+workers, f.InFlight+inFlight, f.Waiting+waiting
		}
		out.Functions = append(out.Functions, f)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.readAt.IsZero() {
		out.Age = max(time.Since(g.readAt), 0)
	}
	return out
}

// Shut is how many functions answer nobody, because their policy does not fit
// them.
func (g *Gateway) Shut() (n int) {
	for _, t := range g.snapshot.Load().byID {
		if t.closed || t.candidate != nil && t.candidate.closed {
			n++
		}
	}
	return n
}
