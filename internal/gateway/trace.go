package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/telemetry"
)

// traced is an exchange's place in a trace. The zero value is of one that is
// traced nowhere.
type traced struct {
	place telemetry.Place
	steps *[stepAccount + 1]time.Time // when each was begun; nil where nobody wants to know
}

// put takes a place that was decided on.
func (t *traced) put(p telemetry.Place) {
	if t.place, t.steps = p, nil; p.Sampled() {
		t.steps = new([stepAccount + 1]time.Time)
	}
}

// enter begins a step.
func (x *exchange) enter(step int8) {
	x.step = step
	if s := x.traced.steps; s != nil {
		s[step] = time.Now()
	}
}

// stepNames are the steps in logs, metrics and spans.
var stepNames = [...]string{stepIdentify: "identify", stepRoute: "route", stepAuthenticate: "authenticate", stepAuthorise: "authorise",
	stepLimit: "limit", stepAcquire: "acquire", stepInvoke: "invoke", stepAccount: "account"}

// outcome is what was decided: to refuse is to run nothing, because of the
// caller or for want of a worker.
func (x *exchange) outcome() platform.Outcome {
	switch {
	case x.code == "":
		return platform.OutcomeAllowed
	case x.ran, x.status == http.StatusInternalServerError, x.status == statusClientClosed:
		return platform.OutcomeFailed
	}
	return platform.OutcomeRefused
}

// tell exports the spans of a request that was sampled. None of it is the
// caller's own words: no path, query, host, header field or body.
func (g *Gateway) tell(x *exchange, over time.Time) {
	steps := x.traced.steps
	if steps == nil {
		return
	}
	method, route := knownMethod(x.r.Method), x.where()
	if method == otherMethod {
		method = "_OTHER"
	}
	r := telemetry.Record{Name: strings.TrimSpace(strings.Replace(method, "_OTHER", "HTTP", 1) + " " + route), Began: x.began, Ended: over, Server: true, Attrs: []slog.Attr{
		slog.String("http.request.method", method), slog.Int("http.response.status_code", x.status), slog.String("network.protocol.name", "http"),
		slog.String("network.protocol.version", protocol(x.r)), slog.String("url.scheme", g.scheme(x.r)), slog.Int64("http.request.body.size", x.bytesIn()),
		slog.Int64("http.response.body.size", x.sent), slog.String("postern.request_id", x.id), slog.String("postern.decision", string(x.outcome())),
		slog.String("postern.step", stepNames[x.step])}}
	add := func(key, value string) {
		if value != "" {
			r.Attrs = append(r.Attrs, slog.String(key, value))
		}
	}
	add("http.route", route)
	add("postern.code", x.code)
	if x.target != nil {
		add("postern.function", x.target.function.Slug)
		add("postern.deployment", x.target.deployment.ID)
		if h := x.match.Handler; h != nil {
			add("postern.handler", h.Name)
			add("postern.guard", function.GuardWord(x.match.Guard))
		}
	}
	if k := x.principal.Key; k != nil { // who another issuer speaks of is none of the collector's business
		add("postern.key_id", k.ID())
	}
	add("postern.auth", string(x.principal.Method))
	if x.status >= http.StatusInternalServerError || x.code == codeAborted {
		r.Failure = x.code
		if r.Failure == "" {
			r.Failure = fmt.Sprint(x.status)
		}
		add("error.type", r.Failure)
	}
	r.Steps = x.stepsOf(steps, over, r.Failure)
	g.options.Tracer.Tell(&x.traced.place, r)
}

// stepsOf are the steps that may take time, as spans: each ends where the next
// began. Of steps that were taken again the last time is told.
func (x *exchange) stepsOf(began *[stepAccount + 1]time.Time, over time.Time, failure string) (out []telemetry.Record) {
	for _, s := range [...]struct{ step, next int8 }{{stepAuthenticate, stepLimit}, {stepLimit, stepAcquire}, {stepAcquire, stepInvoke}, {stepInvoke, stepAccount}} {
		if s.step > x.step {
			break
		}
		r := telemetry.Record{Name: stepNames[s.step], Began: began[s.step], Ended: over}
		if s.next <= x.step {
			r.Ended = began[s.next]
		} else {
			r.Failure = failure
		}
		if s.step == stepAcquire {
			r.Attrs = []slog.Attr{slog.Bool("postern.cold_start", x.held.Cold()), slog.Duration("postern.queue_wait", x.held.Waited())}
		}
		out = append(out, r)
	}
	return out
}

// where is the path under which a call was found, without what its caller
// put into it: a route's pattern, or the handler's name. Empty: nothing was found.
func (x *exchange) where() string {
	switch {
	case x.match.Pattern != "":
		_, path, found := strings.Cut(x.match.Pattern, " ")
		if !found {
			return x.match.Pattern
		}
		return path
	case x.match.Handler != nil:
		return "/" + x.match.Handler.Name
	case x.target == nil, x.asking, x.step <= stepRoute:
		return ""
	case strings.HasPrefix(x.path, wellKnown):
		return wellKnown
	case x.own == "/health":
		return "/health"
	}
	return ""
}

func protocol(r *http.Request) string {
	if r.ProtoMajor >= 2 {
		return "2"
	}
	return fmt.Sprintf("1.%d", r.ProtoMinor&1)
}
