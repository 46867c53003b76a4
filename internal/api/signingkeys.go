package api

import (
	"context"
	"net/http"
	"time"
)

// SigningKey is one of the keys that sign access tokens. All nodes of the
// installation share them.
type SigningKey struct {
	KID        string     `json:"kid"`
	Algorithm  string     `json:"algorithm" doc:"EdDSA or ES256."`
	State      string     `json:"state" enum:"next,signing,verifying" doc:"next: published, and used soon; verifying: replaced, and kept until the last of its tokens has ended."`
	CreateTime time.Time  `json:"createTime" doc:"Published from here on."`
	ActiveTime time.Time  `json:"activeTime" doc:"Used from here on."`
	ExpireTime *time.Time `json:"expireTime,omitempty" doc:"Until when it verifies; absent: it has not been replaced yet."`
}

// SigningKeys are the signing keys of now, newest first.
type SigningKeys struct {
	SigningKeys []SigningKey `json:"signingKeys"`
	JWKSURI     string       `json:"jwksUri" doc:"Where the public keys are."`
	Rotated     bool         `json:"rotated,omitempty" doc:"A key was made; after a rotation that changed nothing it is absent."`
}

// SigningKeys lists the keys that sign access tokens.
func (c *Client) SigningKeys(ctx context.Context) (out SigningKeys, err error) {
	return out, c.call(ctx, http.MethodGet, "/v1/signingKeys", nil, &out)
}

// RotateSigningKey makes the next key that signs access tokens.
func (c *Client) RotateSigningKey(ctx context.Context) (out SigningKeys, err error) {
	return out, c.call(ctx, http.MethodPost, "/v1/signingKeys/rotate", nil, &out)
}
