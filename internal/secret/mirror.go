package secret

import (
	"context"
	"maps"
	"sync/atomic"

	"postern.dev/postern/internal/platform"
)

// mirror is what is sealed of all owners, as the change log told last. A change
// makes another map.
type mirror struct {
	owners atomic.Pointer[map[string]platform.SealedSecrets]
}

// Refresh reads again what is sealed of an owner; of all where the ID is empty.
// One caller at a time calls it, for each change in its order.
func (v *Vault) Refresh(ctx context.Context, ownerID string) error {
	var owners []string
	if ownerID != "" {
		owners = []string{ownerID}
	}
	all, err := v.o.Store.SealedSecrets(ctx, owners...)
	if err != nil {
		return err
	}
	next := map[string]platform.SealedSecrets{}
	if have := v.mirror.owners.Load(); have != nil && ownerID != "" {
		next = maps.Clone(*have)
		delete(next, ownerID)
	}
	for _, o := range all {
		next[o.Key.OwnerID] = o
	}
	v.mirror.owners.Store(&next)
	return nil
}

// Secret is the value of a secret that a deployment gets; empty if it gets none
// of that name. It asks the keeper where the owner's
// data key has not been opened yet, and the store never.
func (v *Vault) Secret(ctx context.Context, d platform.Deployment, name string) (string, error) {
	have := v.mirror.owners.Load()
	if have == nil {
		return "", nil
	}
	var all []platform.SealedSecrets
	for _, id := range []string{d.FunctionID, d.ProjectID} {
		if o, ok := (*have)[id]; ok {
			all = append(all, o)
		}
	}
	p, ok := pick(d, all)[name]
	if !ok {
		return "", nil
	}
	plain, err := v.value(ctx, p.key, p.sealed)
	return string(plain), err
}
