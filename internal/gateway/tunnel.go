package gateway

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// TunnelLimits bound each call through a tunnel. A zero field takes the default
// that is named beside it.
type TunnelLimits struct {
	Timeout   time.Duration // 30 s: until the answer begins, and each pause in it
	BodyLimit int64         // 100 MiB: of a request
}

// tunnelLabel is the function of all tunnels in the metrics, whose names are
// without number. No function has such a name.
const tunnelLabel = "(tunnels)"

const (
	tunnelPrefix = "tun-"
	tunnelRandom = 26
)

// IsTunnel reports whether a name is of the form that tunnels have. It is theirs
// alone: whoever named a function like a tunnel that has ended would be sent the
// calls that are still made there.
func IsTunnel(name string) bool {
	random, ok := strings.CutPrefix(name, tunnelPrefix)
	return ok && len(random) == tunnelRandom && strings.Trim(random, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// OpenTunnel has the gateway serve a tunnel at the addresses that a function of
// its name would have, until CloseTunnel. It is in this process's memory alone.
// Nobody is asked for credentials here: the server at its other end does that,
// and is sent them.
func (g *Gateway) OpenTunnel(name, projectID string, proxy *upstream.Proxy) {
	if !IsTunnel(name) {
		g.log.Error("a tunnel is not served: its name is none of a tunnel", "tunnel", name)
		return
	}
	h := platform.Handler{Name: "tunnel", Routes: []platform.Route{{Pattern: "/{path...}", Guard: platform.GuardOpen,
		Rule: platform.Rule{Timeout: cmp.Or(g.options.Tunnel.Timeout, 30*time.Second), BodyLimit: cmp.Or(g.options.Tunnel.BodyLimit, 100<<20)}}}}
	t := &target{function: platform.Function{ID: name, ProjectID: projectID, Name: name, Slug: name}, upstream: proxy, tunnel: true, metrics: g.metrics.Function(tunnelLabel)}
	t.deployment.Handlers = []platform.Handler{h}
	t.routes = function.NewRoutes(h)
	t.verifiers = g.verifiers(t)
	t.describe(g.options)
	g.openDoors(t)
	g.tunnels.Store(name, t)
}

// CloseTunnel ends what OpenTunnel began. Calls that are under way end with the
// tunnel's connections.
func (g *Gateway) CloseTunnel(name string) {
	g.tunnels.Delete(name)
	g.limits.drop(name)
}

// routeTunnel finds the tunnel that a request is for.
func (g *Gateway) routeTunnel(x *exchange) bool {
	name, own := addressed(x.r.Host, x.path, g.options.BaseDomain)
	if !IsTunnel(name) {
		return false
	}
	t, ok := g.tunnels.Load(name)
	if ok {
		x.target, x.own = t.(*target), own
	}
	return ok
}

// tunnelFault says of a failure what is said of tunnels; that of anything else
// stays as it is.
func (x *exchange) tunnelFault(err error) error {
	f, _ := errors.AsType[*fault.Error](err)
	switch {
	case f == nil || !x.target.tunnel:
		return err
	case f.Kind == fault.Timeout:
		return fault.Wrap(err, fault.Timeout, "the server at the other end of the tunnel did not answer in time").WithHint("the tunnel waits no longer than that; answer sooner, or try it without the tunnel")
	case f.Code == "upstream_unreachable" && !x.ran:
		return fault.Wrap(err, fault.Unavailable, "nobody is at the other end of this tunnel at the moment").WithCode("tunnel_down")
	case f.Code == "upstream_unreachable":
		return fault.Wrap(err, fault.Unavailable, "the tunnel broke off, or the server at its other end hung up, before the answer").WithCode("tunnel_failed")
	case f.Code == "upstream_failed":
		return fault.Wrap(err, fault.Unavailable, "what came through the tunnel is no answer, or broke off").WithCode("tunnel_failed")
	}
	return err
}
