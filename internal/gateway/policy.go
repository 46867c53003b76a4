package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// A policy is laid over the functions of its project when a target is made, so
// that a request finds nothing but the function's own table. What follows keeps
// each pair of function and policy one that was in force at one moment: a policy
// that opens a route of the next version must never meet the version before.

// errClosed refuses all that is asked of a function whose policy does not fit.
var errClosed = fault.New(fault.Unavailable, "this function is shut: the policy of its project does not fit it").WithCode("policy_unfit")

// target is a version of a function as requests find it, but for its doors, under
// the policy of its project; nil is none. A policy that does not fit was refused when it was applied, and
// the deploy that it does not fit as well: whatever came to be here all the
// same opens no door.
func (g *Gateway) target(f platform.Function, d platform.Deployment, p *platform.Policy) *target {
	t := &target{function: f, deployment: d, visibility: d.Visibility}
	if err := g.govern(t, p); err != nil {
		g.log.Error("a function is shut: its policy does not fit", "functionId", f.ID, "function", f.Slug, "error", err)
		t.closed, t.deployment.Handlers = true, nil
	}
	t.routes, t.metrics = function.NewTable(t.deployment.Handlers), g.metrics.Function(f.Slug)
	t.traffic = g.options.Traffic.Function(f.ProjectID, f.ID, f.Name)
	t.verifiers = g.verifiers(t)
	t.describe(g.options)
	return t
}

var errUnread = errors.New("the policy cannot be read")

// govern lays a policy over the handlers of a target's deployment. Where the
// function sets no limit of its own the gateway's stands, and a policy does not
// raise it.
func (g *Gateway) govern(t *target, p *platform.Policy) error {
	if p == nil {
		return nil
	}
	if p.Number == 0 {
		return errUnread
	}
	hs := slices.Clone(t.deployment.Handlers)
	for i := range hs {
		hs[i].BodyLimit, hs[i].Timeout = cmp.Or(hs[i].BodyLimit, g.options.BodyLimit), cmp.Or(hs[i].Timeout, g.options.Timeout)
	}
	over := function.PolicyOf(p, t.function.Name)
	t.visibility = function.VisibilityOf(t.deployment, over)
	hs, err := function.Govern(hs, over, p.Groups)
	t.deployment.Handlers = hs
	return err
}

// policies reads the policies in force by project. One that cannot be read is
// there without its number, so that what it is above is shut.
func (g *Gateway) policies(ctx context.Context, src Source, projectID string) (map[string]*platform.Policy, error) {
	ps, err := src.Policies(ctx, projectID)
	out := make(map[string]*platform.Policy, len(ps))
	for i := range ps {
		out[ps[i].ProjectID] = &ps[i]
	}
	if err != nil && !unreadable(err) {
		return nil, fmt.Errorf("load policies: %w", err)
	}
	for _, id := range damaged(err) {
		g.log.Error("a policy cannot be read; all of its project is shut", "projectId", id, "error", err)
		out[id] = &platform.Policy{ProjectID: id}
	}
	return out, nil
}

// damaged lists what an error says cannot be read.
func damaged(err error) (ids []string) {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range all.Unwrap() {
			ids = append(ids, damaged(e)...)
		}
		return ids
	}
	if e, ok := errors.AsType[*platform.UnreadableError](err); ok {
		ids = append(ids, e.ID)
	}
	return ids
}

// numbered reports whether two policies are the same one.
func numbered(a, b *platform.Policy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Number == b.Number
}

// loadPolicies makes the targets of a new snapshot. before are the policies as
// they were before the functions were read: where one is another now, the
// functions of its project are read again.
func (g *Gateway) loadPolicies(ctx context.Context, src Source, next *snapshot, active []platform.ActiveFunction, before map[string]*platform.Policy) (err error) {
	if next.policies, err = g.policies(ctx, src, ""); err != nil {
		return err
	}
	moved := map[string][]string{}
	for _, a := range active {
		f := a.Function
		if p := next.policies[f.ProjectID]; numbered(before[f.ProjectID], p) {
			next.put(g.versions(a, p))
		} else {
			moved[f.ProjectID] = append(moved[f.ProjectID], f.ID)
		}
	}
	for _, p := range next.policies {
		next.putUpstreams(g, p)
	}
	for id, ids := range moved {
		p, active, err := g.project(ctx, src, id, ids)
		if err != nil {
			return err
		}
		next.govern(g, id, p, active)
	}
	return nil
}

// tries bounds how often a project is read again because its policy was
// changed meanwhile.
const tries = 8

// project reads functions of a project together with the policy that was in
// force while they were. Those that are gone, or cannot be read, are left out.
func (g *Gateway) project(ctx context.Context, src Source, id string, functions []string) (*platform.Policy, []platform.ActiveFunction, error) {
	before, err := g.policies(ctx, src, id)
	for range tries {
		if err != nil {
			return nil, nil, err
		}
		var active []platform.ActiveFunction
		for _, functionID := range functions {
			a, err := g.active(ctx, src, functionID)
			switch {
			case unreadable(err):
				g.log.Error("a function cannot be read, and is not served any more", "functionId", functionID, "error", err)
			case fault.KindOf(err) == fault.NotFound:
			case err != nil:
				return nil, nil, err
			default:
				active = append(active, a)
			}
		}
		var now map[string]*platform.Policy
		if now, err = g.policies(ctx, src, id); err == nil && numbered(before[id], now[id]) {
			return now[id], active, nil
		}
		before = now
	}
	return nil, nil, fault.New(fault.Unavailable, "the policy of project "+id+" is changed faster than it can be read")
}

// applyFunction makes the snapshot after a change of a function. It lists the
// deployments that no request will be routed to any more.
func (g *Gateway) applyFunction(ctx context.Context, src Source, s *snapshot, id string) (next *snapshot, retired []string, err error) {
	a, err := g.active(ctx, src, id)
	f, old := a.Function, s.byID[id]
	switch {
	case unreadable(err):
		g.log.Error("a function cannot be read, and is not served any more", "functionId", id, "error", err)
		fallthrough
	case fault.KindOf(err) == fault.NotFound:
		if old != nil {
			retired = old.replaced(nil)
			g.metrics.Forget(old.function.Slug)
			g.drop(id)
		}
		return s.without(id), retired, nil
	case err != nil:
		return nil, nil, err
	}
	now, err := g.policies(ctx, src, f.ProjectID)
	if err != nil {
		return nil, nil, err
	}
	if !numbered(s.policies[f.ProjectID], now[f.ProjectID]) {
		return g.applyPolicy(ctx, src, s, f.ProjectID, id)
	}
	t := g.versions(a, s.policies[f.ProjectID])
	return s.with(t), old.replaced(t), nil
}

// applyPolicy makes the snapshot in which all functions and upstreams of a
// project are as its policy of now has them: those that are known, and more.
func (g *Gateway) applyPolicy(ctx context.Context, src Source, s *snapshot, projectID string, more ...string) (next *snapshot, retired []string, err error) {
	var ids []string
	for id, t := range s.byID {
		if t.function.ProjectID == projectID && t.deployment.ID != "" && !slices.Contains(more, id) {
			ids = append(ids, id)
		}
	}
	p, active, err := g.project(ctx, src, projectID, append(ids, more...))
	if err != nil {
		return nil, nil, err
	}
	copied := *s
	next = &copied
	next.bySlug, next.byID, next.byName = maps.Clone(s.bySlug), maps.Clone(s.byID), maps.Clone(s.byName)
	next.govern(g, projectID, p, active)
	for id, t := range s.byID {
		now := next.byID[id]
		retired = append(retired, t.replaced(now)...)
		if now == nil {
			g.metrics.Forget(t.function.Slug)
			g.drop(id)
		}
	}
	return next, retired, nil
}

// govern puts a project into a snapshot that nobody reads yet, in place of what
// is there of it.
func (s *snapshot) govern(g *Gateway, projectID string, p *platform.Policy, active []platform.ActiveFunction) {
	for _, t := range s.byID {
		if t.function.ProjectID == projectID {
			s.remove(t)
		}
	}
	s.policies = maps.Clone(s.policies)
	if delete(s.policies, projectID); p != nil {
		s.policies[projectID] = p
	}
	for _, a := range active {
		s.put(g.versions(a, p))
	}
	s.putUpstreams(g, p)
}

func (s *snapshot) putUpstreams(g *Gateway, p *platform.Policy) {
	if p == nil {
		return
	}
	for _, u := range p.Upstreams {
		s.put(g.upstreamTarget(u, p))
	}
}
