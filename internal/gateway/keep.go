package gateway

import (
	"net/http"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/funclog"
)

// keepCall gives a call that is over to the function's log, if it is wanted
// there. What is kept has no body and no credential, and is a copy: it outlives
// the request.
func (g *Gateway) keepCall(x *exchange, took time.Duration) {
	if x.target == nil || x.target.upstream != nil || !g.options.Logs.Takes(x.target.function.ID, x.status) {
		return
	}
	c := &funclog.Invocation{BeganAt: x.began.UTC(), Took: took, Method: g.cut(x.r.Method, longestMethod), URL: funclog.Address(g.scheme(x.r), g.cut(x.r.Host, longestHost), x.path, x.query, g.hide),
		Auth: strings.Clone(string(x.shownAs())), Remote: strings.Clone(x.remote()), Request: funclog.Headers(x.r.Header, g.hide), Status: x.status,
		Cold: x.held.Cold(), Memory: x.held.Memory(), Code: x.code}
	if h := x.match.Handler; h != nil {
		c.Handler = h.Name
	}
	if x.w != nil { // of a WebSocket it is the connection's by now
		c.Response = funclog.Headers(answered(x.w.Header()), g.hide)
	}
	if x.why != nil {
		c.Error = whyOf(x)
	}
	g.options.Logs.Append(x.target.function.ID, funclog.Entry{At: x.began.Add(took).UTC(), Level: c.Level(), RequestID: x.id, DeploymentID: x.target.deployment.ID, Invocation: c})
}

// hide takes the keys and secrets out of a text that somebody may have put there.
func (g *Gateway) hide(s string) string {
	return string(accesskey.Redact([]byte(g.options.Live.Set().String(s))))
}

// answered is a header without what announces trailers, which was none of it.
func answered(h http.Header) http.Header {
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			h = h.Clone()
			delete(h, name)
		}
	}
	return h
}
