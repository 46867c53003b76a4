package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/worker"
)

// What a worker says of a call at the internal door. The fields mean nothing at
// any other, and go no further than the gateway.
const (
	headerToken   = "X-Postern-Token"
	headerRequest = "X-Postern-Request" // in which the function calls
	headerHops    = upstream.HopsField
	// headerRefused is of an answer that is the gateway's own: no handler's
	// answer has it. Its value is the problem's code.
	headerRefused = "X-Postern-Refused"
)

const (
	// maxHops is how many calls of functions by functions may follow from one
	// another. It is against accidents: who means harm can leave the count out.
	maxHops = upstream.MaxHops
	// callRemote stands for the address of a caller that has none.
	callRemote = "127.0.0.1:0"
	// callDomain is the domain of the hosts at the internal door:
	// <name>.internal, and <name>.<project ID>.internal in a subproject.
	callDomain = "internal"
)

var (
	errLoop     = fault.New(fault.Invalid, "the functions call one another in a circle, or too many in a row").WithCode("call_loop")
	errHops     = fault.New(fault.Invalid, "the count of calls that led here is no number")
	errNoCallee = fault.New(fault.NotFound, "there is no function of this name that the calling function may call").WithCode("function_not_found")
)

// Internal is the gateway as functions reach it to call one another: the same
// steps, but that everybody is recognised first, by a token that this server
// gave a worker, before it is looked where the call goes. Private functions
// answer here and nowhere else.
func (g *Gateway) Internal() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = callRemote
		x := g.begin(w, r)
		x.call = &worker.Call{}
		x.traced.put(g.options.Tracer.Follow(r.Header))
		g.serve(x)
	})
}

// place is a function's name and its project.
type place struct{ project, name string }

// routeCall is steps 2 and 3 of a call between functions, in the other order:
// whose token it is says in which project the name is looked up. Functions of
// another project are not there, whether they are or not; those of a subproject
// its parent's functions may call, as its parent's keys may.
func (g *Gateway) routeCall(x *exchange) (err error) {
	x.caller = ""
	x.enter(stepAuthenticate)
	if x.principal, err = g.recogniseFunction(x); err != nil {
		return err
	}
	x.enter(stepRoute)
	own := x.principal.ProjectID()
	to, ok := calleeOf(x.r.Host, own)
	if !ok {
		return errNoCallee
	}
	t := x.snapshot.byName[to]
	if t == nil || own == "" || own != t.function.ProjectID && own != t.function.ParentProjectID {
		return errNoCallee
	}
	x.target, x.own = x.drawn(t), x.path
	if x.call.Hops > maxHops {
		return errLoop
	}
	return nil
}

// recogniseFunction is which function calls, by the token that its worker was
// given, and what it says of the call; of a question, whose key is asked about.
func (g *Gateway) recogniseFunction(x *exchange) (p auth.Principal, err error) {
	c := x.call
	*c = worker.Call{Hops: 1}
	if x.question != nil {
		if p, err = g.recognise(x); err == nil && p.Key.FunctionID() == "" {
			err = auth.ErrToken
		}
	} else {
		switch shown := x.r.Header[headerToken]; len(shown) {
		case 0:
			return p, auth.ErrNone
		case 1:
			p, err = g.options.Auth.Function(x.snapshot.keys, shown[0], x.began)
		default:
			return p, auth.ErrDuplicate
		}
	}
	if err != nil {
		return auth.Principal{}, err
	}
	c.FunctionID = p.Key.FunctionID()
	if t := x.snapshot.byID[c.FunctionID]; t != nil {
		c.Function = t.function.Name
	}
	if id := x.r.Header.Get(headerRequest); len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		c.RequestID = strings.Clone(id)
	}
	if hops := x.r.Header.Get(headerHops); hops != "" {
		if c.Hops, err = strconv.Atoi(hops); err != nil || c.Hops < 1 {
			return p, errHops
		}
	}
	return p, nil
}

// calleeOf is the function that a host names, to a caller of a project.
func calleeOf(host, own string) (to place, ok bool) {
	label, ok := below(host, callDomain)
	if !ok {
		return place{}, false
	}
	name, project, found := strings.Cut(label, ".")
	if !found {
		project = own
	}
	return place{project, name}, true
}

// shownAs is how the caller was recognised, as handlers and logs are told. To
// what a route asks of credentials a function's token is a bearer's.
func (x *exchange) shownAs() auth.Method {
	if x.call != nil && x.principal.Token != nil {
		return auth.MethodFunction
	}
	return x.principal.Method
}

// hidden reports whether a function is none, to callers from outside.
func (t *target) hidden() bool { return t.visibility != platform.Public }
