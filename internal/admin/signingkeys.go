package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// Ring is the keys that sign access tokens. *oauth.Ring is one.
type Ring interface {
	// Published are the keys of now, newest first and without their private parts,
	// and the ID of the one that signs.
	Published(now time.Time) (keys []platform.SigningKey, signs string)
	// Rotate makes the next key, unless the newest is not used yet.
	Rotate(ctx context.Context) error
}

func (s *service) registerSigningKeys() {
	const path = "/v1/signingKeys"
	register(s, huma.Operation{OperationID: "listSigningKeys", Method: http.MethodGet, Path: path, Summary: "The keys that sign access tokens"}, s.listSigningKeys)
	register(s, huma.Operation{OperationID: "rotateSigningKey", Method: http.MethodPost, Path: path + "/rotate", Summary: "Make the next key that signs access tokens",
		Description: "It is published at once and used ten minutes later; the one of now verifies until the last of its tokens has ended, so no token ends. Asked for again before it is used, nothing is done. It is for keys of a project that is below no other.", DefaultStatus: 200, Errors: []int{503}}, s.rotateSigningKey)
}

func (s *service) listSigningKeys(context.Context, *struct{}) (*body[api.SigningKeys], error) {
	return &body[api.SigningKeys]{s.signingKeys(time.Now())}, nil
}

func (s *service) rotateSigningKey(ctx context.Context, _ *struct{}) (*body[api.SigningKeys], error) {
	if err := s.theirs(ctx); err != nil {
		return nil, err
	}
	now := time.Now()
	before, _ := s.o.Ring.Published(now)
	if err := s.o.Ring.Rotate(ctx); err != nil {
		return nil, err
	}
	out := s.signingKeys(now)
	out.Rotated = len(before) == 0 || len(out.SigningKeys) > 0 && out.SigningKeys[0].KID != before[0].KID
	noteDetail(ctx, "kid", out.SigningKeys[0].KID)
	return &body[api.SigningKeys]{out}, nil
}

func (s *service) signingKeys(now time.Time) api.SigningKeys {
	keys, signs := s.o.Ring.Published(now)
	out := api.SigningKeys{SigningKeys: []api.SigningKey{}, JWKSURI: s.o.Issuer + "/.well-known/jwks.json"}
	for _, k := range keys {
		one := api.SigningKey{KID: k.KID, Algorithm: k.Algorithm, State: "verifying", CreateTime: k.CreatedAt.UTC(), ActiveTime: k.ActiveAt.UTC(), ExpireTime: when(k.ExpiresAt)}
		switch {
		case k.KID == signs:
			one.State = "signing"
		case now.Before(k.ActiveAt):
			one.State = "next"
		}
		out.SigningKeys = append(out.SigningKeys, one)
	}
	return out
}
