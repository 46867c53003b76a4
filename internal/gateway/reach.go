package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// Reach tells what becomes of keys at doors: for each key what each door says,
// in the order of the question. It is steps 3 and 4 that decide, as for a
// request; nothing is taken from a limit.
func (g *Gateway) Reach(q audit.Reaching) [][]audit.Reach {
	s, now := g.snapshot.Load(), time.Now()
	out := make([][]audit.Reach, len(q.Keys))
	for k := range q.Keys {
		out[k] = make([]audit.Reach, len(q.Doors))
	}
	for d, at := range q.Doors {
		x := &exchange{r: &http.Request{Method: http.MethodGet, Header: http.Header{}}, began: now, snapshot: s}
		err := x.standAt(q.ProjectID, at)
		for k := range q.Keys {
			out[k][d] = g.reach(x, err, &q, &q.Keys[k])
		}
	}
	return out
}

var errPrivate = fault.New(fault.NotFound, "other functions of the project alone may call").WithCode("function_not_found")

// standAt puts a question before a door, as step 2 does with a request.
func (x *exchange) standAt(projectID string, at audit.Door) error {
	t := x.snapshot.byName[place{projectID, at.Of}]
	switch {
	case t == nil:
		return errNoFunction
	case t.closed:
		return errClosed
	case t.hidden():
		return errPrivate
	}
	x.target = t
	if at.Handler == "" {
		x.match, x.door = function.Match{Guard: platform.GuardOpen}, &plain
		return nil
	}
	for i, d := range t.routes.Doors() {
		if h := d.Handler; h != nil && h.Name == at.Handler && d.Pattern == at.Pattern {
			x.match = function.Match{Handler: h, Guard: h.Guard, Door: i, Pattern: d.Pattern}
			x.door = &t.doors[i]
			return nil
		}
	}
	return errNoHandler
}

// reach is what becomes of a key at the door where a question stands, unless
// the door is refused to all.
func (g *Gateway) reach(x *exchange, err error, q *audit.Reaching, k *platform.AccessKey) audit.Reach {
	if err != nil {
		return audit.Reach{Reason: reasonOf(err), Why: err.Error()}
	}
	x.principal, x.caller = auth.Principal{}, ""
	x.question = &audit.Question{ProjectID: q.ProjectID, CallerID: q.CallerID, KeyID: k.ID}
	x.own = pathNaming(k.ServicePlanID, x.match)
	from := x.door.addresses
	out := audit.Reach{Reason: audit.ReasonKey}
	switch x.match.Guard {
	case platform.GuardOpen:
		out.Reason = audit.ReasonOpen
	case platform.GuardKey:
		from = both(x.door.addresses, k.AllowedCIDRs)
	default:
		out.Reason, out.Why = audit.ReasonSignature, "signed by its sender; no key is asked for"
	}
	out.From = from[:min(len(from), toldMost)]
	out.More = len(from) - len(out.From)
	if out.Reason == audit.ReasonSignature {
		return out
	}
	x.r.RemoteAddr = q.Remote
	if q.Remote == "" {
		x.r.RemoteAddr = somewhere(from, x.door.addresses)
	}
	if err = g.authenticate(x); errors.Is(err, auth.ErrBare) { // its tokens do open
		x.principal, err = x.shownAsTaken(x.snapshot.keys.ByID(k.ID))
	}
	if err == nil {
		err = x.authorise()
	}
	if err != nil {
		return audit.Reach{Reason: reasonOf(err), Why: x.reachWhy(err, k)}
	}
	if out.Opens, out.Why = true, "open to everyone"; out.Reason == audit.ReasonKey {
		out.Why = "shown as " + string(x.principal.Method)
	}
	return out
}

// pathNaming is a path to a door, which names a service plan if that can be.
func pathNaming(planID string, m function.Match) string {
	if m.Pattern == "" {
		if planID == "" || m.Handler == nil || m.Handler.Kind != platform.HandlerCustom {
			return "/"
		}
		return "/xms/v1/" + planID + "/" + m.Handler.Name // found by its last segment
	}
	_, path, ok := strings.Cut(m.Pattern, " ")
	if !ok {
		path = m.Pattern
	}
	if rest, ok := strings.CutPrefix(path, "/xms/v1/{"); ok && planID != "" {
		_, after, _ := strings.Cut(rest, "}")
		return "/xms/v1/" + planID + after
	}
	return path
}

// toldMost is how many entries of a list are told: what is said of each key at
// each door would be longer than everything else together.
const toldMost = 16

// both are the networks that two lists have in common, of which an empty one has
// all; nil, where both are empty, and where nothing is in both. It may be one of
// the lists.
func both(a, b []netip.Prefix) []netip.Prefix {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	var out []netip.Prefix
	within := func(p netip.Prefix, list []netip.Prefix, less int) bool {
		return slices.ContainsFunc(list, func(q netip.Prefix) bool { return q.Bits() <= p.Bits()-less && q.Contains(p.Addr()) })
	}
	for _, p := range a {
		if within(p, b, 0) {
			out = append(out, p)
		}
	}
	for _, q := range b {
		if within(q, a, 1) { // what is in both lists is there already
			out = append(out, q)
		}
	}
	return out
}

// somewhere is an address of the first of networks, or where there is none of
// the door's: a key that may be used from elsewhere alone is then refused for that.
func somewhere(lists ...[]netip.Prefix) string {
	for _, l := range lists {
		if len(l) > 0 {
			return netip.AddrPortFrom(l[0].Addr(), 1).String()
		}
	}
	return "192.0.2.1:1"
}

// reasonOf is the word for a refusal.
func reasonOf(err error) audit.Reason {
	for _, r := range [...]struct {
		err  error
		word audit.Reason
	}{
		{auth.ErrInvalid, audit.ReasonEnded}, {errWay, audit.ReasonCredential}, {auth.ErrScope, audit.ReasonScope}, {auth.ErrProject, audit.ReasonProject}, {auth.ErrGroup, audit.ReasonGroup},
		{auth.ErrAddress, audit.ReasonAddress}, {errAddress, audit.ReasonAddress}, {errPrivate, audit.ReasonPrivate}, {errClosed, audit.ReasonShut},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return audit.ReasonUnknown
}

// reachWhy says which values decided against a key, to who may know them.
func (x *exchange) reachWhy(err error, k *platform.AccessKey) string {
	switch reasonOf(err) {
	case audit.ReasonEnded:
		if !k.ExpiresAt.IsZero() && !x.began.Before(k.ExpiresAt) {
			return "the key expired at " + k.ExpiresAt.UTC().Format("2006-01-02 15:04:05Z")
		}
		return "the key has ended"
	case audit.ReasonCredential:
		return fmt.Sprintf("the route takes what is shown as %s; the key can be shown as %s", strings.Join(x.door.ways, ", "), listed(x.snapshot.keys.ByID(k.ID).Ways(planOf(x.own)), "nothing here"))
	case audit.ReasonScope:
		return fmt.Sprintf("the key has the scopes %v; asked for is %v", k.Scopes, append([]platform.Scope{platform.ScopeInvoke}, x.match.Handler.Scopes...))
	case audit.ReasonGroup:
		return fmt.Sprintf("the key is for the groups %s; the route is in %s", listed(k.Groups, "of none"), x.group())
	case audit.ReasonAddress:
		return fmt.Sprintf("the key may be used from %s; the route takes callers from %s", listed(k.AllowedCIDRs, "anywhere"), listed(x.door.addresses, "anywhere"))
	}
	return err.Error()
}
