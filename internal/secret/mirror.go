package secret

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"time"

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

// ErrNotYet says that a keeper has to be asked first, which happens now.
var ErrNotYet = errors.New("the keeper of the secrets is being asked")

// Secret is the value of a secret that a deployment gets; empty if it gets none
// of that name. It asks nobody: where the data key has to be opened by a keeper
// that is elsewhere, the answer is ErrNotYet until Run, or Settle, has done so.
func (v *Vault) Secret(d platform.Deployment, name string) (string, error) {
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
	v.mu.Lock()
	known, lost := v.opened[p.key.ID] != nil, v.lost[p.key.ID]
	if !known && lost == nil && v.remote() {
		v.wanted[p.key.ID], lost = p.key, ErrNotYet
		select {
		case v.wake <- struct{}{}:
		default:
		}
	}
	v.mu.Unlock()
	if lost != nil {
		return "", lost
	}
	plain, err := v.value(context.Background(), p.key, p.sealed)
	return string(plain), err
}

// remote reports whether a keeper is asked over the network.
func (v *Vault) remote() bool { return v.o.Keeper.remote || v.o.Before != nil && v.o.Before.remote }

// Settle opens the data keys that Secret was asked for in vain.
func (v *Vault) Settle(ctx context.Context) error {
	v.mu.Lock()
	wanted := maps.Clone(v.wanted)
	v.mu.Unlock()
	for id, k := range wanted {
		_, err := v.box(ctx, k)
		if err != nil && !errors.Is(err, ErrUnsealable) {
			return err
		}
		if err != nil {
			v.o.Log.Error("secrets do not open", "owner", k.OwnerID, "keeper", k.Keeper, "error", err)
		}
		v.mu.Lock()
		if delete(v.wanted, id); err != nil {
			v.lost[id] = err
		}
		v.mu.Unlock()
	}
	return nil
}

// settle opens what is wanted, at once and then every second, until ctx ends.
func (v *Vault) settle(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		case <-tick.C:
		}
		err := v.Settle(ctx)
		if err != nil && !away && ctx.Err() == nil {
			v.o.Log.Error("the keeper of the secrets is away; it is asked until it is back", "error", err)
		} else if err == nil && away {
			v.o.Log.Info("the keeper of the secrets is back")
		}
		away = err != nil
	}
}
