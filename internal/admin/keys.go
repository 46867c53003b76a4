package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// KeyPath names an access key of a project.
type KeyPath struct {
	ProjectPath
	ID string `path:"accessKeyId" maxLength:"64"`
}

// errNoKey answers for a key that is not there and, but where it is only looked at,
// for one that was revoked.
var errNoKey = fault.New(fault.NotFound, "there is no such access key").WithHint("list the keys with: postern keys list")

// known refuses an ID that none can have before a database is asked that may
// not even take it as text.
func (p *KeyPath) known() error {
	if !accesskey.ValidID(p.ID) {
		return errNoKey
	}
	return nil
}

func (s *service) registerKeys() {
	const all = "/v1/projects/{projectId}/accessKeys"
	const one = all + "/{accessKeyId}"
	register(s, huma.Operation{OperationID: "listAccessKeys", Method: http.MethodGet, Path: all, Summary: "List access keys", Errors: []int{400}}, s.listKeys)
	register(s, huma.Operation{OperationID: "createAccessKey", Method: http.MethodPost, Path: all, Summary: "Make an access key",
		Description: "The answer has the key's secret; it is shown this once. The key can be used at once.", Errors: []int{400, 409}}, s.createKey)
	register(s, huma.Operation{OperationID: "getAccessKey", Method: http.MethodGet, Path: one, Summary: "One access key", Description: "Also one that was revoked, as it was when it ended.", Errors: []int{404}}, s.getKey)
	register(s, huma.Operation{OperationID: "updateAccessKey", Method: http.MethodPatch, Path: one, Summary: "Change an access key",
		Description: "What is absent stays as it is. No key can be given more than the one that asks has.", Errors: []int{400, 404, 409}}, s.updateKey)
	register(s, huma.Operation{OperationID: "rotateAccessKey", Method: http.MethodPost, Path: one + "/rotate", Summary: "Give an access key a new secret",
		Description: "The answer has the new secret; it is shown this once. The secret of now ends after the grace period, one from before it at once.", Errors: []int{400, 404, 409}}, s.rotateKey)
	register(s, huma.Operation{OperationID: "revokeAccessKey", Method: http.MethodDelete, Path: one, Summary: "End an access key",
		Description: "When this succeeds the key opens nothing any more on this machine, and neither do its tokens.", DefaultStatus: 200, Errors: []int{404, 503}}, s.revokeKey)
}

// liveKey is a key that was not revoked.
func (s *service) liveKey(ctx context.Context, in *KeyPath) (k platform.AccessKey, err error) {
	if err = in.known(); err == nil {
		k, err = s.o.Store.Key(ctx, in.ProjectID, in.ID)
	}
	if err == nil && !k.RevokedAt.IsZero() {
		err = errNoKey
	}
	return k, err
}

func (s *service) getKey(ctx context.Context, in *KeyPath) (*body[api.AccessKey], error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	k, err := s.o.Store.Key(ctx, in.ProjectID, in.ID)
	if fault.KindOf(err) == fault.NotFound {
		err = errNoKey
	}
	if err != nil {
		return nil, err
	}
	return &body[api.AccessKey]{describeKey(k, time.Now())}, nil
}

func (s *service) createKey(ctx context.Context, in *struct {
	ProjectPath
	Body api.CreateKeyRequest
}) (*body[api.CreatedKey], error) {
	now := time.Now().UTC().Truncate(time.Microsecond) // as it will be read back
	secret := accesskey.NewSecret()
	k := platform.AccessKey{ID: accesskey.NewID(now), ProjectID: in.ProjectID, SecretHash: secret.Hash(), CreatedAt: now, UpdatedAt: now, ServicePlanID: in.Body.ServicePlanID}
	if in.Body.AccessKeyID != "" {
		if k.ID = in.Body.AccessKeyID; !madeLately(k.ID, now) {
			return nil, errKeyID
		}
	}
	if err := fill(&k, in.Body, now); err != nil {
		return nil, err
	}
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := mayGrant(caller, nil, k); err != nil {
		return nil, err
	}
	seq, err := s.o.Store.CreateKey(ctx, k)
	if err != nil {
		return nil, s.madeBefore(ctx, k, err)
	}
	s.applied(ctx, seq)
	return &body[api.CreatedKey]{api.CreatedKey{AccessKey: describeKey(k, now), Secret: secret.Reveal()}}, nil
}

// madeBefore is why a key was not made: a request that comes again is told that the
// key is there, and not that its name is taken, which is by that key.
func (s *service) madeBefore(ctx context.Context, k platform.AccessKey, err error) error {
	if fault.KindOf(err) != fault.Conflict {
		return err
	}
	if _, none := s.o.Store.Key(ctx, k.ProjectID, k.ID); none != nil {
		return err
	}
	return fault.New(fault.Conflict, "the key "+k.ID+" was made already").WithCode("key_exists")
}

// madeLately reports whether a caller may give a key an ID: lists are in the order of
// IDs, and one of another day would stand in the wrong place for ever.
func madeLately(id string, now time.Time) bool {
	at, ok := accesskey.MadeAt(id)
	return ok && at.After(now.Add(-24*time.Hour)) && at.Before(now.Add(5*time.Minute))
}

var errKeyID = invalid("accessKeyId", "is no ID of a key of today", "write pak_ and a ULID of the last 24 hours in lower case, or leave it out")

// asExpected refuses a change of a key that is not any more what its caller saw.
func asExpected(k *platform.AccessKey, updated *time.Time) error {
	if updated != nil && !k.UpdatedAt.Equal(*updated) {
		return fault.New(fault.Conflict, "the key was changed after it was read for this").WithCode("key_changed")
	}
	return nil
}

func (s *service) updateKey(ctx context.Context, in *struct {
	KeyPath
	Body api.UpdateKeyRequest
}) (*body[api.AccessKey], error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	k, seq, err := s.o.Store.UpdateKey(ctx, in.ProjectID, in.ID, now, func(k *platform.AccessKey) error {
		before := *k // its lists are replaced, never written into
		if k.FunctionID != "" {
			return errKeyOfFunction
		}
		if k.ByPolicy {
			return errKeyOfPolicy
		}
		if err := asExpected(k, in.Body.ExpectUpdateTime); err != nil {
			return err
		}
		if err := alter(k, in.Body, now); err != nil {
			return err
		}
		return mayGrant(caller, &before, *k)
	})
	if err != nil {
		return nil, err
	}
	return &body[api.AccessKey]{describeKey(k, now)}, s.enforced(ctx, seq)
}

var errKeyOfFunction = fault.New(fault.Invalid, "this key was given to a function by its deploy, and only a deploy changes it").WithCode("key_of_function")

// A policy that is applied again would undo what was changed by hand, and bring
// back a secret that was taken away.
var errKeyOfPolicy = fault.New(fault.Invalid, "this key is made by the project's policy, and only a policy changes it").WithCode("key_of_policy")

func (s *service) rotateKey(ctx context.Context, in *struct {
	KeyPath
	Body *api.RotateKeyRequest
}) (*body[api.RotatedKey], error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	var asked api.RotateKeyRequest
	if in.Body != nil {
		asked = *in.Body
	}
	grace := time.Duration(asked.GracePeriod) * time.Second
	now := time.Now()
	secret, endedOlder := accesskey.NewSecret(), false
	k, seq, err := s.o.Store.UpdateKey(ctx, in.ProjectID, in.ID, now, func(k *platform.AccessKey) error {
		switch {
		case k.FunctionID != "":
			return errKeyOfFunction
		case k.ByPolicy:
			return errKeyOfPolicy
		case !k.LiveAt(now):
			return fault.New(fault.Invalid, "the key has expired, and so would its new secret have").WithCode("key_expired")
		}
		if err := asExpected(k, asked.ExpectUpdateTime); err != nil {
			return err
		}
		// Whoever gets the secret has all that the key has.
		if err := mayGrant(caller, nil, *k); err != nil {
			return err
		}
		endedOlder = k.PreviousUntil.After(now)
		k.PreviousHash, k.PreviousUntil = [32]byte{}, time.Time{}
		if grace > 0 {
			k.PreviousHash, k.PreviousUntil = k.SecretHash, now.Add(grace)
		}
		k.SecretHash = secret.Hash()
		k.Generation++
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.applied(ctx, seq)
	return &body[api.RotatedKey]{api.RotatedKey{AccessKey: describeKey(k, now), Secret: secret.Reveal(), EndedOlderSecret: endedOlder}}, nil
}

func (s *service) revokeKey(ctx context.Context, in *KeyPath) (*struct{}, error) {
	if err := in.known(); err != nil {
		return nil, err
	}
	seq, err := s.o.Store.RevokeKey(ctx, in.ProjectID, in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	// Asked directly: a second revocation of the key changes nothing to wait for.
	if err := s.enforced(ctx, seq); err != nil || s.o.Directory().ByID(in.ID) == nil {
		return nil, err
	}
	return nil, errNotEnforced
}

// applied waits, for a while, until the gateway here knows of a change: what
// was made can then be used, and what was ended not.
func (s *service) applied(ctx context.Context, seq int64) error {
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := s.o.Applied(wait, seq)
	if err != nil {
		s.o.Log.Warn("the gateway is late to apply a change", "seq", seq, "error", err)
	}
	return err
}

// enforced waits like applied, for a change that takes something away: who
// asked for that must not be told that it is done while it is not.
func (s *service) enforced(ctx context.Context, seq int64) error {
	if s.applied(ctx, seq) != nil {
		return errNotEnforced
	}
	return nil
}

var errNotEnforced = fault.New(fault.Unavailable, "the change is stored, but the gateway has not applied it yet").WithCode("change_late").
	WithHint("ask again until it answers without this error; what was there before may still be let in")

// caller is the key that asks, as it is now, with the scopes of the credential
// that was shown: what it may give on is bounded by both. For a user it is a key
// without limits that is stored nowhere.
func (s *service) caller(ctx context.Context) (platform.AccessKey, error) {
	shown := principal(ctx)
	if u := shown.User; u != nil {
		return platform.AccessKey{ID: u.ID, ProjectID: u.ProjectID, Scopes: scopesShown(ctx)}, nil
	}
	k, err := s.o.Store.Key(ctx, shown.ProjectID(), shown.ID())
	if err != nil {
		return k, fmt.Errorf("read the key that asks: %w", err)
	}
	k.Scopes = slices.DeleteFunc(k.Scopes, func(sc platform.Scope) bool { return !slices.Contains(scopesShown(ctx), sc) })
	return k, nil
}

func describeKey(k platform.AccessKey, now time.Time) api.AccessKey {
	out := api.AccessKey{AccessKeyID: k.ID, DisplayName: k.DisplayName, ProjectID: k.ProjectID, CreateTime: k.CreatedAt.UTC(), UpdateTime: k.UpdatedAt.UTC(), Scopes: []string{},
		Groups: k.Groups, RatePerSecond: k.RatePerSecond, Binding: string(k.Binding), CertThumbprint: k.CertThumbprint, Metadata: k.Metadata,
		ServicePlanID: k.ServicePlanID, FunctionID: k.FunctionID, ByPolicy: k.ByPolicy, State: string(k.StateAt(now)),
		ExpireTime: when(k.ExpiresAt), LastUsedTime: when(k.LastUsedAt), RevokeTime: when(k.RevokedAt)}
	for _, s := range k.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	for _, c := range k.AllowedCIDRs {
		out.AllowedCIDRs = append(out.AllowedCIDRs, c.String())
	}
	if k.Quota.Limit > 0 {
		out.Quota = &api.Quota{Limit: k.Quota.Limit, Per: string(k.Quota.Per)}
		out.Used = &api.Usage{Count: k.Used.Count, Since: k.Used.Since.UTC()}
		if began := k.Quota.Per.Begin(now); k.Used.Since.Before(began) { // of a period that is over
			out.Used = &api.Usage{Since: began}
		}
	}
	if k.PreviousUntil.After(now) && k.RevokedAt.IsZero() {
		out.PreviousSecretExpireTime = when(k.PreviousUntil)
	}
	return out
}

// when is a time for the API; nil for the zero time.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
