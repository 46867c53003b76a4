package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/internal/function"
)

// The longest texts of a caller's that an access line takes, in bytes.
const (
	longestMethod = 32
	longestHost   = 256
	longestPath   = 1024
	longestID     = 256
)

// logAccess writes the access line: never a query, a header or a secret, and of
// what callers write no more than has room on a line.
func (g *Gateway) logAccess(x *exchange, took time.Duration) {
	var attrs [24]slog.Attr
	list := append(attrs[:0], slog.String("requestId", x.id), slog.String("method", g.cut(x.r.Method, longestMethod)), slog.String("host", g.cut(x.r.Host, longestHost)),
		slog.String("path", g.cut(x.path, longestPath)), slog.String("decision", string(x.outcome())), slog.Int("status", x.status),
		slog.Int64("bytesIn", x.bytesIn()), slog.Int64("bytes", x.sent), slog.Duration("took", took), slog.String("remote", x.remote()))
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
		list = append(list, slog.String("keyId", g.cut(id, longestID)), slog.String("auth", string(x.shownAs())))
	} else if x.principal.Admin != nil {
		list = append(list, slog.String("auth", string(x.principal.Method)))
	}
	if c := x.call; c != nil && c.FunctionID != "" {
		list = append(list, slog.String("caller", c.Function), slog.String("callerRequestId", c.RequestID), slog.Int("hops", c.Hops))
	}
	if w := x.held.Waited(); w > 0 {
		list = append(list, slog.Duration("waited", w))
	}
	if x.work.took > 0 {
		list = append(list, slog.Duration("worked", x.work.took))
	}
	if x.traced.place.Sampled() {
		list = append(list, slog.String("traceId", x.traced.place.TraceID()))
	}
	g.access.LogAttrs(context.Background(), slog.LevelInfo, "request", list...)
}

// cut keeps a text of a caller's to so many bytes, and says so where it did.
// What does not print is written as an escape, for a log is read on terminals
// and by programs that neither format protects from all of it. No part of a
// secret is left before the cut, where the log would not know it any more.
func (g *Gateway) cut(s string, most int) string {
	plain := len(s) <= most
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	s = g.options.Live.Set().String(s)
	b := make([]byte, 0, min(len(s), most)+len("…"))
	for _, r := range s { // of what is not UTF-8 each byte is a U+FFFD
		before := len(b)
		if unicode.IsPrint(r) {
			b = utf8.AppendRune(b, r)
		} else {
			quoted := strconv.AppendQuoteRuneToASCII(nil, r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		if len(b) > most {
			return string(b[:before]) + "…"
		}
	}
	return string(b)
}
