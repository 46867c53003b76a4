package gateway

import (
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/usage"
)

// stint is how long a worker had a call: from when it was handed over until the
// answer was whole there, or what streams was read to its end.
type stint struct {
	began time.Time
	took  time.Duration
}

func (s *stint) begin() time.Time { s.began = time.Now(); return s.began }
func (s *stint) end()             { s.took = time.Since(s.began) }

// meter counts a call that is over: as one that ran if a handler was asked, and
// else, where a function is known, apart from those, as refused. What the
// gateway answers by itself, and who went away before anything was decided, is
// neither.
func (g *Gateway) meter(x *exchange, over time.Time) {
	if x.target == nil || x.target.tunnel || g.options.Usage == nil {
		return
	}
	f := usage.Function{ProjectID: x.target.function.ProjectID, ID: x.target.function.ID, Name: x.target.function.Name}
	switch {
	case x.asked():
		c := usage.Call{Caller: accountOf(x.principal, x.callerID()), At: over, Took: x.work.took, Failed: x.status >= 500 || x.code == codeAborted, BytesIn: x.bytesIn(), BytesOut: x.sent}
		g.options.Usage.Ran(f, c)
	case x.code != "" && x.status != statusClientClosed:
		g.options.Usage.Refused(f, x.code, over)
	}
}

// bytesIn is how much of the body was read.
func (x *exchange) bytesIn() int64 {
	if x.rest != nil {
		return x.rest.taken.Load()
	}
	return int64(len(x.body))
}

// asked reports whether a handler was asked: a worker took the call, with all of
// the body that the handler waits for, and could read it; or an upstream was.
func (x *exchange) asked() bool {
	if !x.ran || x.match.Handler == nil || x.code == "body_malformed" {
		return false
	}
	if x.proxied() {
		return true // it may answer before it has read everything
	}
	return x.rest == nil || x.match.Handler.Body == platform.BodyStream || x.rest.whole.Load()
}

// codeAborted is of an answer that was cut off.
const codeAborted = "aborted"

// accountOf is on whom a call is counted: a key, or of another issuer's tokens
// the issuer alone, whose subjects nobody here can number. id is the
// principal's, as text.
func accountOf(p auth.Principal, id string) string {
	switch {
	case p.Key == nil && p.Token != nil:
		return p.Token.Issuer()
	case id != "":
		return id
	case p.Method == auth.MethodNone:
		return platform.CallerOpen
	}
	return string(p.Method)
}
