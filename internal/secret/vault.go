package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Store keeps what is sealed. *store.DB is one.
type Store interface {
	SealedSecrets(ctx context.Context, owners ...string) ([]platform.SealedSecrets, error)
	DataKeys
}

// DataKeys is the changing of what seals.
type DataKeys interface {
	SecretOwners(ctx context.Context, projectID string) ([]string, error)
	RotateDataKey(ctx context.Context, expect string, anew platform.SealedSecrets, at time.Time) (seq int64, err error)
	DataKeysBut(ctx context.Context, keeper string, limit int) ([]platform.DataKey, error)
	ResealDataKey(ctx context.Context, k platform.DataKey, before string) error
}

// VaultOptions are what a vault works with.
type VaultOptions struct {
	Store  Store
	Keeper *Keeper
	// Before is the keeper that sealed the data keys until now, where that is
	// another one; nil: there is none.
	Before *Keeper
	Log    *slog.Logger
}

// Vault opens and seals the secrets of functions and of projects. It is safe for
// concurrent use.
type Vault struct {
	o VaultOptions

	mu     sync.Mutex
	opened map[string]*Box             // data keys by their IDs; guarded by mu
	wanted map[string]platform.DataKey // that are to be opened; guarded by mu
	lost   map[string]error            // why some never will be; guarded by mu
	mirror mirror
	wake   chan struct{} // something is wanted
}

// maxOpened bounds the data keys that are held in memory, at some megabytes.
// Past it all are let go.
const maxOpened = 1 << 16

// NewVault makes a vault.
func NewVault(o VaultOptions) *Vault {
	return &Vault{o: o, opened: map[string]*Box{}, wanted: map[string]platform.DataKey{}, lost: map[string]error{}, wake: make(chan struct{}, 1)}
}

// Opened are the secrets of a function, as they were at one moment.
type Opened struct {
	Values Values
	// Version stands for all the values: another one, another version. It tells
	// nothing of them.
	Version string
}

// Open opens the secrets that the workers of a deployment get, as they would be
// after changes that are not written yet: those of its function, and of what its
// project shares those that it declares. The function's own win.
func (v *Vault) Open(ctx context.Context, d platform.Deployment, after ...platform.SecretInput) (Opened, error) {
	owners := []string{d.FunctionID}
	if len(d.SecretNames) > 0 {
		owners = append(owners, d.ProjectID)
	}
	all, err := v.o.Store.SealedSecrets(ctx, owners...)
	if err != nil {
		return Opened{}, err
	}
	for _, in := range after {
		if !in.Changes() || !slices.Contains(owners, in.OwnerID) {
			continue
		}
		if all, err = changed(all, in); err != nil {
			return Opened{}, err
		}
	}
	out := Opened{Values: Values{}}
	chosen := pick(d, all)
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		p := chosen[name]
		plain, err := v.value(ctx, p.key, p.sealed)
		if err != nil {
			return Opened{}, err
		}
		out.Values[name] = string(plain)
		versions = append(versions, fmt.Sprintf("%s %s %d", name, p.key.OwnerID, p.sealed.Version))
	}
	out.Version = strings.Join(versions, "\n")
	return out, nil
}

// picked is a secret that a function gets, with what opens it.
type picked struct {
	key    platform.DataKey
	sealed platform.SealedSecret
}

// pick chooses what a deployment gets, by name.
func pick(d platform.Deployment, all []platform.SealedSecrets) map[string]picked {
	out := map[string]picked{}
	for _, owner := range all {
		own := owner.Key.OwnerID == d.FunctionID
		for _, s := range owner.Secrets {
			if len(s.Sealed) == 0 || !own && (owner.Key.OwnerID != d.ProjectID || !slices.Contains(d.SecretNames, s.Name)) {
				continue
			}
			if _, taken := out[s.Name]; own || !taken {
				out[s.Name] = picked{owner.Key, s}
			}
		}
	}
	return out
}

// changed is what is sealed after a change.
func changed(all []platform.SealedSecrets, in platform.SecretInput) ([]platform.SealedSecrets, error) {
	all = slices.Clone(all)
	i := slices.IndexFunc(all, func(o platform.SealedSecrets) bool { return o.Key.OwnerID == in.OwnerID })
	if i < 0 && in.ExpectKey == "" {
		all, i = append(all, platform.SealedSecrets{Key: in.Key}), len(all)
	} else if i < 0 || all[i].Key.ID != in.ExpectKey {
		return nil, errRaced
	}
	all[i].Secrets = slices.DeleteFunc(slices.Clone(all[i].Secrets), func(s platform.SealedSecret) bool {
		return slices.Contains(in.Remove, s.Name) || slices.ContainsFunc(in.Set, func(n platform.SealedSecret) bool { return n.Name == s.Name })
	})
	all[i].Secrets = append(all[i].Secrets, in.Set...)
	return all, nil
}

var errRaced = fault.New(fault.Conflict, "the secrets were changed meanwhile").WithCode("secrets_raced").WithHint("try again")

// Draft seals new values of an owner, ready to be written. It writes nothing;
// it is good until the owner's secrets are changed by somebody else.
func (v *Vault) Draft(ctx context.Context, ownerID string, set Values, remove []string, by string, at time.Time) (platform.SecretInput, error) {
	in := platform.SecretInput{OwnerID: ownerID, Remove: remove, By: by, At: at}
	if len(set)+len(remove) == 0 {
		return in, nil
	}
	all, err := v.o.Store.SealedSecrets(ctx, ownerID)
	if err != nil {
		return in, err
	}
	var have []platform.SealedSecret
	var box *Box
	if len(all) == 0 && len(set) == 0 {
		in.Remove = nil
		return in, nil
	}
	if len(all) == 0 {
		in.Key, box, err = v.newKey(ctx, ownerID, at)
	} else {
		have, in.ExpectKey = all[0].Secrets, all[0].Key.ID
		box, err = v.box(ctx, all[0].Key)
	}
	if err != nil {
		return in, err
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		s := platform.SealedSecret{Secret: platform.Secret{OwnerID: ownerID, Name: name, Version: 1, UpdatedAt: at, UpdatedBy: by}}
		if i := slices.IndexFunc(have, func(h platform.SealedSecret) bool { return h.Name == name }); i >= 0 {
			s.Version = have[i].Version + 1
		}
		if s.Sealed, err = box.Seal(ctx, bindValue(s.Secret), []byte(set[name])); err != nil {
			return in, err
		}
		in.Set = append(in.Set, s)
	}
	return in, nil
}

// bindValue is what a value is bound to: it opens as that version of that secret
// of that owner, and as nothing else.
func bindValue(s platform.Secret) string {
	return fmt.Sprintf("secret %s %s %d", s.OwnerID, s.Name, s.Version)
}

func bindKey(k platform.DataKey) string { return "data key " + k.OwnerID + " " + k.ID }

// newKey makes a data key and has it sealed.
func (v *Vault) newKey(ctx context.Context, ownerID string, at time.Time) (k platform.DataKey, box *Box, err error) {
	var key [keySize]byte
	rand.Read(key[:])
	k = platform.DataKey{ID: "dk_" + strings.ToLower(rand.Text()), OwnerID: ownerID, Keeper: v.o.Keeper.Name(), CreatedAt: at}
	if k.Sealed, err = v.o.Keeper.seal(ctx, bindKey(k), key[:]); err != nil {
		return k, nil, err
	}
	box = newBox(key)
	v.remember(k.ID, box)
	return k, box, nil
}

// value opens one value.
func (v *Vault) value(ctx context.Context, k platform.DataKey, s platform.SealedSecret) ([]byte, error) {
	box, err := v.box(ctx, k)
	if err != nil {
		return nil, err
	}
	return box.Open(ctx, bindValue(s.Secret), s.Sealed)
}

// box is an opened data key. The keeper is asked for it once.
func (v *Vault) box(ctx context.Context, k platform.DataKey) (*Box, error) {
	v.mu.Lock()
	box := v.opened[k.ID]
	v.mu.Unlock()
	if box != nil {
		return box, nil
	}
	key, _, err := v.unseal(ctx, k)
	if err != nil {
		return nil, err
	}
	box = newBox(key)
	v.remember(k.ID, box)
	return box, nil
}

func (v *Vault) remember(id string, box *Box) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.opened) >= maxOpened {
		clear(v.opened)
	}
	v.opened[id] = box
}

// unseal opens a data key with the keeper that sealed it. The name that is
// remembered is where to begin: a keeper may have been renamed.
func (v *Vault) unseal(ctx context.Context, k platform.DataKey) (key [keySize]byte, by *Keeper, err error) {
	keepers := []*Keeper{v.o.Keeper}
	if b := v.o.Before; b != nil {
		keepers = append(keepers, b)
		if b.Name() == k.Keeper {
			slices.Reverse(keepers)
		}
	}
	var failed error
	for _, by := range keepers {
		plain, err := by.open(ctx, bindKey(k), k.Sealed)
		if err == nil && len(plain) == keySize {
			return [keySize]byte(plain), by, nil
		}
		if failed == nil || errors.Is(failed, ErrUnsealable) {
			failed = err // that one is away weighs more than that another cannot
		}
	}
	if failed == nil || errors.Is(failed, ErrUnsealable) {
		failed = fault.Wrap(ErrUnsealable, fault.Unavailable, "secrets were sealed with another key, "+k.Keeper).WithCode("keeper_wrong").
			WithHint("start the server with that key as --secrets-key-before")
	}
	return key, nil, failed
}

// Away is since when a keeper that is needed does not answer; zero: all do.
func (v *Vault) Away() time.Time {
	since := v.o.Keeper.Away()
	if b := v.o.Before; since.IsZero() && b != nil {
		since = b.Away()
	}
	return since
}
