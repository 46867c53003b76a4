package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
)

// account is step 8: what is said of a request when it is over, whatever
// became of it. It recovers a panic of ours, so that one request cannot take
// the server down, and gives the exchange back.
func (g *Gateway) account(x *exchange) {
	failed := recover()
	if failed != nil && failed != http.ErrAbortHandler {
		g.log.Error("panic in the gateway", "requestId", x.id, "panic", failed)
		if x.status == 0 {
			p := httpx.WriteProblem(x.w, nil, x.id)
			x.status, x.code = p.Status, p.Code
			failed = nil
		}
	}
	g.settle(x)
	took := time.Since(x.began)
	g.metrics.InFlight.Dec()
	if x.target != nil {
		x.target.metrics.Observe(x.status, took)
	}
	if x.code != "" && !x.ran {
		g.metrics.Refused(x.code)
	}
	g.remember(x, took)
	g.meter(x, x.began.Add(took))
	if g.options.AccessLog == AccessLogAll || g.options.AccessLog == AccessLogErrors && x.status >= 400 {
		g.logAccess(x, took)
	}
	if cap(x.body) > inlineBody || x.callback.by != nil { // a worker may still be reading what was handed over
		x.body = nil
	}
	*x = exchange{body: x.body[:0]}
	g.pool.Put(x)
	if failed != nil {
		panic(http.ErrAbortHandler)
	}
}

// logAccess writes the access line: never a query, a header or a secret.
func (g *Gateway) logAccess(x *exchange, took time.Duration) {
	var attrs [16]slog.Attr
	list := append(attrs[:0], slog.String("requestId", x.id), slog.String("method", x.r.Method), slog.String("host", x.r.Host), slog.String("path", x.path),
		slog.Int("status", x.status), slog.Int64("bytes", x.sent), slog.Duration("took", took), slog.String("remote", x.r.RemoteAddr))
	if x.code != "" {
		list = append(list, slog.String("code", x.code))
	}
	if e, ok := errors.AsType[*callbackError](x.why); ok {
		list = append(list, slog.String("reason", e.reason.Error()))
	}
	if x.target != nil {
		list = append(list, slog.String("function", x.target.function.Slug), slog.Int("deployment", x.target.deployment.Number))
		if h := x.match.Handler; h != nil {
			list = append(list, slog.String("handler", h.Name), slog.String("guard", function.GuardWord(x.match.Guard)))
		}
		if x.match.Pattern != "" {
			list = append(list, slog.String("route", x.match.Pattern))
		}
	}
	if id := x.callerID(); id != "" {
		list = append(list, slog.String("keyId", id), slog.String("auth", string(x.principal.Method)))
	}
	g.access.LogAttrs(context.Background(), slog.LevelInfo, "request", list...)
}
