package oauth

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// KeyStore keeps signing keys. *store.DB is one.
type KeyStore interface {
	SigningKeys(ctx context.Context, now time.Time) ([]platform.SigningKey, error)
	AddSigningKey(ctx context.Context, k platform.SigningKey, newest string, replacedExpires time.Time) (seq int64, err error)
}

// Sealer seals private keys. *secret.Box is one.
type Sealer interface {
	Seal(ctx context.Context, bind string, plain []byte) ([]byte, error)
	Open(ctx context.Context, bind string, sealed []byte) ([]byte, error)
}

// RingOptions are what a Ring works with.
type RingOptions struct {
	Store     KeyStore
	Sealer    Sealer
	Algorithm token.Algorithm // of the keys that are made; others stay until they expire
	Every     time.Duration   // after how long a key is replaced; 0: 30 days
	Tokens    time.Duration   // how long what they sign lives; 0: one hour
	Log       *slog.Logger
}

// overlap is how long a key is published before it is used, and how long one
// that was replaced still verifies after its last token expired: whoever keeps
// our keys in memory has them in time.
const overlap = 10 * time.Minute

// Ring is the signing keys of an installation. All nodes share them: each makes
// the next one when it is time, and the store lets one of them. It is safe for
// concurrent use.
type Ring struct {
	o    RingOptions
	keys atomic.Pointer[[]member]
}

type member struct {
	platform.SigningKey
	signing token.SigningKey
}

// OpenRing reads the signing keys, and makes the first.
func OpenRing(ctx context.Context, o RingOptions) (*Ring, error) {
	if o.Every == 0 {
		o.Every = 30 * 24 * time.Hour
	}
	if o.Tokens == 0 {
		o.Tokens = usualLifetime
	}
	r := &Ring{o: o}
	return r, r.turn(ctx, time.Now(), false)
}

// Current is the key to sign with: the newest that is active, and the oldest
// where none is yet, as when another node made the first with a clock that is
// ahead of ours.
func (r *Ring) Current(now time.Time) (token.SigningKey, error) {
	var oldest *member
	for _, k := range slices.Backward(*r.keys.Load()) {
		if !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
			continue
		}
		if !now.Before(k.ActiveAt) {
			return k.signing, nil
		}
		oldest = &k
	}
	if oldest == nil {
		return token.SigningKey{}, fault.New(fault.Unavailable, "there is no signing key")
	}
	return oldest.signing, nil
}

// Published are the keys of now, newest first and without their private parts, and
// the ID of the one that signs.
func (r *Ring) Published(now time.Time) (keys []platform.SigningKey, signs string) {
	for _, k := range slices.Backward(*r.keys.Load()) {
		if k.Sealed = nil; k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt) {
			keys = append(keys, k.SigningKey)
		}
	}
	if k, err := r.Current(now); err == nil {
		signs = k.KID()
	}
	return keys, signs
}

// Run reads what other nodes did and replaces keys when it is time, until ctx
// ends.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := r.turn(ctx, now, false); err != nil && ctx.Err() == nil {
				r.o.Log.Error("the signing keys cannot be read or replaced", "error", err)
			}
		}
	}
}

// Rotate replaces the newest key now: the next one is used after the overlap.
func (r *Ring) Rotate(ctx context.Context) error { return r.turn(ctx, time.Now(), true) }

// turn reads the keys, and makes one when there is none, when the newest is due
// or of another algorithm, or when it must.
func (r *Ring) turn(ctx context.Context, now time.Time, must bool) error {
	if err := r.read(ctx, now); err != nil {
		return err
	}
	keys := *r.keys.Load()
	active, newest := now, ""
	if len(keys) > 0 {
		last := keys[len(keys)-1]
		if !must && now.Before(last.ActiveAt.Add(r.o.Every)) && last.Algorithm == string(r.o.Algorithm) {
			return nil
		}
		if now.Before(last.ActiveAt) {
			return nil // it has been replaced a moment ago
		}
		active, newest = now.Add(overlap), last.KID
	}
	if err := r.add(ctx, now, active, newest); err != nil {
		return err
	}
	return r.read(ctx, now)
}

func (r *Ring) add(ctx context.Context, now, active time.Time, newest string) error {
	k, err := token.NewSigningKey(r.o.Algorithm, now)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(k.Public().Key)
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	sealed, err := r.o.Sealer.Seal(ctx, sealedAs(k.KID()), k.PKCS8())
	if err != nil {
		return fmt.Errorf("seal a signing key: %w", err)
	}
	_, err = r.o.Store.AddSigningKey(ctx, platform.SigningKey{KID: k.KID(), Algorithm: string(k.Algorithm()), Public: public, Sealed: sealed, CreatedAt: now, ActiveAt: active},
		newest, active.Add(r.o.Tokens+overlap))
	return err
}

func (r *Ring) read(ctx context.Context, now time.Time) error {
	stored, err := r.o.Store.SigningKeys(ctx, now)
	if err != nil {
		return err
	}
	var known []member
	if p := r.keys.Load(); p != nil {
		known = *p
	}
	keys := make([]member, 0, len(stored))
next:
	for _, k := range stored {
		for _, old := range known {
			if old.KID == k.KID {
				keys = append(keys, member{k, old.signing})
				continue next
			}
		}
		private, err := r.o.Sealer.Open(ctx, sealedAs(k.KID), k.Sealed)
		if err != nil {
			// To make another one instead would be to take the keys away from the
			// nodes that have the right file.
			return fault.Wrap(err, fault.Internal, "a signing key does not open").
				WithHint("it was sealed with another sealing.key: nodes that share a database share that file. If it is lost for good, DELETE FROM signing_keys in the database, start, and deploy every function again; all tokens end")
		}
		signing, err := token.ParseSigningKey(k.KID, token.Algorithm(k.Algorithm), private)
		if err != nil {
			return err
		}
		keys = append(keys, member{k, signing})
	}
	r.keys.Store(&keys)
	return nil
}

func sealedAs(kid string) string { return "signing-key/" + kid }
