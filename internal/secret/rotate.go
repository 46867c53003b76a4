package secret

import (
	"context"
	"errors"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// resealStep is how many data keys are read at a time.
const resealStep = 100

// Check refuses what could not be worked with: data keys that neither keeper
// opens. One that does not answer is not refused, because it may come back.
func (v *Vault) Check(ctx context.Context) error {
	seen := map[string]bool{}
	for _, but := range []string{"", v.o.Keeper.Name()} {
		keys, err := v.o.Store.DataKeysBut(ctx, but, 1)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if seen[k.ID] {
				continue
			}
			seen[k.ID] = true
			_, _, err := v.unseal(ctx, k)
			if e, ok := errors.AsType[*fault.Error](err); ok && errors.Is(err, ErrUnsealable) {
				return fault.Wrap(err, fault.Invalid, e.Text).WithCode(e.Code).WithHint(e.Hint)
			}
			if err != nil {
				v.o.Log.Error("the keeper of the secrets is away; functions that need secrets do not start until it is back", "keeper", k.Keeper, "error", err)
			}
		}
	}
	return nil
}

// Rotate gives each owner of a project that has secrets a new data key, and
// seals their values anew. Each owner is done as a whole; ended half-way, some
// have the new and some the old, and all of them open. It returns how many there
// were, and the last change.
func (v *Vault) Rotate(ctx context.Context, projectID string, at time.Time) (owners int, seq int64, err error) {
	ids, err := v.o.Store.SecretOwners(ctx, projectID)
	if err != nil {
		return 0, 0, err
	}
	for _, id := range ids {
		if seq, err = v.rotate(ctx, id, at); err != nil {
			return owners, seq, err
		}
		owners++
	}
	return owners, seq, nil
}

// rotateTries bounds how often an owner is begun anew because its secrets were
// changed meanwhile.
const rotateTries = 8

func (v *Vault) rotate(ctx context.Context, ownerID string, at time.Time) (seq int64, err error) {
	for range rotateTries {
		all, err := v.o.Store.SealedSecrets(ctx, ownerID)
		if err != nil || len(all) == 0 {
			return 0, err // it ended meanwhile
		}
		anew, err := v.anew(ctx, all[0], at)
		if err != nil {
			return 0, err
		}
		seq, err = v.o.Store.RotateDataKey(ctx, all[0].Key.ID, anew, at)
		if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == errRaced.Code {
			continue
		}
		return seq, err
	}
	return 0, errRaced
}

// anew seals all of an owner under a new data key.
func (v *Vault) anew(ctx context.Context, old platform.SealedSecrets, at time.Time) (out platform.SealedSecrets, err error) {
	var box *Box
	if out.Key, box, err = v.newKey(ctx, old.Key.OwnerID, at); err != nil {
		return out, err
	}
	for _, s := range old.Secrets {
		if len(s.Sealed) == 0 {
			continue
		}
		plain, err := v.value(ctx, old.Key, s)
		if err != nil {
			return out, err
		}
		if s.Sealed, err = box.Seal(ctx, bindValue(s.Secret), plain); err != nil {
			return out, err
		}
		out.Secrets = append(out.Secrets, s)
	}
	return out, nil
}

// Reseal has every data key that another keeper sealed sealed by the one that is
// in force, each by itself: begun again, it goes on where it was ended. It
// returns how many it did.
func (v *Vault) Reseal(ctx context.Context) (done int, err error) {
	to := v.o.Keeper
	for {
		keys, err := v.o.Store.DataKeysBut(ctx, to.Name(), resealStep)
		if err != nil || len(keys) == 0 {
			return done, err
		}
		for _, k := range keys {
			key, _, err := v.unseal(ctx, k)
			if err != nil {
				return done, err
			}
			next := k
			next.Keeper = to.Name()
			if next.Sealed, err = to.seal(ctx, bindKey(k), key[:]); err != nil {
				return done, err
			}
			if err := v.o.Store.ResealDataKey(ctx, next, k.Keeper); err != nil {
				return done, err
			}
			done++
		}
	}
}

// resealRetry is how long a keeper is left alone that did not answer.
const resealRetry = 5 * time.Second

// Run opens what is waited for, and has the data keys of the keeper before
// sealed by that in force, until ctx ends.
func (v *Vault) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { v.settle(ctx) })
	if v.o.Before != nil {
		wg.Go(func() { v.resealAll(ctx) })
	}
	wg.Wait()
	return nil
}

// resealAll goes on until all are sealed anew. A keeper that is away is waited
// for.
func (v *Vault) resealAll(ctx context.Context) {
	for total, told := 0, false; ctx.Err() == nil; {
		done, err := v.Reseal(ctx)
		if total += done; err == nil {
			v.o.Log.Info("all data keys are sealed by the keeper in force; --secrets-key-before is not needed any more", "keeper", v.o.Keeper.Name(), "sealed", total)
			return
		}
		if !told && ctx.Err() == nil {
			v.o.Log.Error("data keys of the keeper before are not sealed anew yet; it is tried until they are", "sealed", total, "error", err)
			told = true
		}
		timer := time.NewTimer(resealRetry)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
