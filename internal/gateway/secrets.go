package gateway

import (
	"context"
	"errors"
	"maps"

	"postern.dev/postern/internal/platform"
)

// Secrets knows what functions keep secret. *secret.Vault is one.
type Secrets interface {
	// Refresh reads again what an owner has, a function or a project that shares;
	// with an empty ID what all have.
	Refresh(ctx context.Context, ownerID string) error
	// Secret is the value of a secret that a deployment gets, as it was read last;
	// empty if it gets none of that name. It touches memory only: what a keeper has
	// to be asked for is an error until the keeper has answered.
	Secret(d platform.Deployment, name string) (string, error)
}

// errSealed is why a callback is not verified that could be.
var errSealed = errors.New("the function's secrets do not open at the moment")

// secretsOf gives what callbacks and users of a function are checked against:
// its secrets, and of what is none its variables. The target remembers if one
// did not open.
func (g *Gateway) secretsOf(t *target) func(name string) string {
	return func(name string) string {
		if g.options.Secrets == nil || name == "" {
			return t.deployment.Variables[name]
		}
		s, err := g.options.Secrets.Secret(t.deployment, name)
		if err != nil {
			t.sealed = true
			g.sealed.Store(true)
			g.log.Debug("a secret does not open yet", "function", t.function.Slug, "secret", name, "error", err)
			return ""
		}
		if s != "" {
			return s
		}
		return t.deployment.Variables[name]
	}
}

// refresh reads secrets again, if any are known.
func (g *Gateway) refresh(ctx context.Context, ownerID string) error {
	if g.options.Secrets == nil {
		return nil
	}
	return g.options.Secrets.Refresh(ctx, ownerID)
}

// applySecrets makes the snapshot after a change of secrets, in which callbacks
// and users are checked against those of now.
func (g *Gateway) applySecrets(ctx context.Context, src Source, s *snapshot, ownerID string) (next *snapshot, retired []string, err error) {
	if err := g.refresh(ctx, ownerID); err != nil {
		return nil, nil, err
	}
	users := s.users(ownerID)
	copied := *s
	next = &copied
	for _, id := range users {
		var gone []string
		if next, gone, err = g.applyFunction(ctx, src, next, id); err != nil {
			return nil, nil, err
		}
		retired = append(retired, gone...)
	}
	return next, retired, nil
}

// users lists the functions that get secrets of an owner.
func (s *snapshot) users(ownerID string) (ids []string) {
	if t := s.byID[ownerID]; t != nil {
		return []string{ownerID}
	}
	for id, t := range s.byID {
		shares := func(v *target) bool { return v != nil && len(v.deployment.SecretNames) > 0 }
		if t.function.ProjectID == ownerID && (shares(t) || shares(t.candidate)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// announce tells whoever starts workers that functions may have other secrets now
// than their workers were started with.
func (g *Gateway) announce(s *snapshot, c platform.Change) {
	if g.options.Changed == nil {
		return
	}
	switch c.Kind {
	case platform.ChangeSecret:
		g.options.Changed(s.users(c.ID)...)
	case platform.ChangeFunction: // it was deployed with what its secrets were a moment before
		if s.byID[c.ID] != nil {
			g.options.Changed(c.ID)
		}
	}
}

// unseal makes the functions anew whose secrets did not open.
func (g *Gateway) unseal(ctx context.Context, src Source) {
	if !g.sealed.Swap(false) {
		return
	}
	for id, t := range maps.Clone(g.snapshot.Load().byID) {
		if !t.sealed && (t.candidate == nil || !t.candidate.sealed) {
			continue
		}
		next, retired, err := g.applyFunction(ctx, src, g.snapshot.Load(), id)
		if err != nil {
			g.sealed.Store(true)
			return
		}
		g.publish(next)
		for _, id := range retired {
			g.invoker.Retire(id)
		}
	}
}
