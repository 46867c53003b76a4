package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// applyKeys makes the keys of a policy what it says of them. live are the keys
// that a policy made or this one names. Keys that people made are not touched: an entry that says of
// one what it is already changes nothing, and any other is refused.
func (db *DB) applyKeys(ctx context.Context, t *tx, projectID string, live, wanted []platform.AccessKey, at time.Time) error {
	for _, have := range live { // first, so that their display names are free
		if have.ByPolicy && !slices.ContainsFunc(wanted, func(k platform.AccessKey) bool { return k.ID == have.ID }) {
			if err := endKeys(ctx, t, `id`, have.ID, at); err != nil {
				return err
			}
		}
	}
	for _, k := range wanted {
		k.ProjectID, k.ByPolicy, k.FunctionID = projectID, true, ""
		if err := digestFree(ctx, t, k, at); err != nil {
			return err
		}
		i := slices.IndexFunc(live, func(have platform.AccessKey) bool { return have.ID == k.ID })
		if i < 0 {
			if err := idFree(ctx, t, k); err != nil {
				return err
			}
			k.CreatedAt = at
			if err := db.insertKey(ctx, t, k); err != nil {
				return err
			}
			continue
		}
		have := live[i]
		next := have // its use and its times stay
		next.DisplayName, next.Scopes, next.Groups, next.AllowedCIDRs, next.RatePerSecond, next.Quota = k.DisplayName, k.Scopes, k.Groups, k.AllowedCIDRs, k.RatePerSecond, k.Quota
		next.Binding, next.CertThumbprint, next.Metadata, next.ExpiresAt = k.Binding, k.CertThumbprint, k.Metadata, fromMicros(micros(k.ExpiresAt))
		if next.SecretHash != k.SecretHash {
			next.SecretHash, next.PreviousHash, next.PreviousUntil = k.SecretHash, [32]byte{}, time.Time{}
			next.Generation++
		}
		switch same := slices.Equal(mutable(have), mutable(next)) && have.ServicePlanID == k.ServicePlanID; {
		case same:
		case !have.ByPolicy:
			return fault.New(fault.Conflict, fmt.Sprintf("the key %s was made by hand, and differs from what the policy says of it", k.ID)).WithCode("key_taken").
				WithHint("change it with postern keys update, or give the policy a key of its own")
		case have.ServicePlanID != k.ServicePlanID:
			return fault.New(fault.Conflict, fmt.Sprintf("the service plan of the key %s cannot be changed", k.ID)).WithCode("key_taken").WithHint("make another key")
		default:
			next.UpdatedAt = fromMicros(micros(at))
			if err := db.writeKey(ctx, t, next); err != nil {
				return err
			}
		}
	}
	return nil
}

// digestFree refuses a digest that another key has, revoked or not: of two
// owners of one secret the last that was loaded would win.
func digestFree(ctx context.Context, t *tx, k platform.AccessKey, at time.Time) error {
	var others int
	err := t.QueryRowContext(ctx, `SELECT COUNT(*) FROM access_keys WHERE id <> $1 AND (secret_hash = $2 OR previous_hash = $2 AND previous_until > $3)`,
		k.ID, hex.EncodeToString(k.SecretHash[:]), micros(at)).Scan(&others)
	if err != nil {
		return failed("look for the digest", err)
	}
	if others > 0 {
		return fault.New(fault.Conflict, fmt.Sprintf("the digest of the key %s (%s) is that of another key", k.ID, k.DisplayName)).WithCode("digest_taken")
	}
	return nil
}

// idFree refuses the ID of a key that is of another project, of a function, or
// revoked: what was ended does not come back.
func idFree(ctx context.Context, t *tx, k platform.AccessKey) error {
	have, err := scanKey(t.QueryRowContext(ctx, `SELECT `+keyColumns+keyTables+`WHERE k.id = $1`, k.ID))
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err == nil && have.ProjectID == k.ProjectID && !have.RevokedAt.IsZero():
		return fault.New(fault.Conflict, fmt.Sprintf("the key %s (%s) was revoked at %s", k.ID, k.DisplayName, have.RevokedAt.Format(time.RFC3339))).WithCode("key_revoked")
	case err == nil, isUnreadable(err):
		return fault.New(fault.Conflict, fmt.Sprintf("the ID of the key %s (%s) belongs to another key", k.ID, k.DisplayName)).WithCode("key_taken").WithHint("make an ID of its own")
	}
	return err
}
