package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AccessKey is an access key without its secret.
type AccessKey struct {
	AccessKeyID   string    `json:"accessKeyId"`
	DisplayName   string    `json:"displayName"`
	ProjectID     string    `json:"projectId"`
	CreateTime    time.Time `json:"createTime"`
	UpdateTime    time.Time `json:"updateTime"`
	Scopes        []string  `json:"scopes"`
	Groups        []string  `json:"groups,omitempty" doc:"Route groups that it opens; all when absent."`
	AllowedCIDRs  []string  `json:"allowedCidrs,omitempty" doc:"Networks from which it may be used; any when absent."`
	RatePerSecond int       `json:"ratePerSecond,omitempty"`
	Quota         *Quota    `json:"quota,omitempty"`
	Used          *Usage    `json:"used,omitempty" doc:"What it has used of its quota; written every few seconds."`
	Binding       string    `json:"binding,omitempty" doc:"dpop or mtls; absent: none."`
	// CertThumbprint is of the one certificate that the binding mtls accepts.
	CertThumbprint string            `json:"certThumbprint,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	ServicePlanID  string            `json:"servicePlanId,omitempty" doc:"Its secret is the API token of this service plan, and nothing else."`
	FunctionID     string            `json:"functionId,omitempty" doc:"The function that was given this key, if people did not make it."`
	ByPolicy       bool              `json:"byPolicy,omitempty" doc:"The project's policy made it, and changes it."`
	State          string            `json:"state" enum:"live,expiring,expired,revoked" doc:"A live key that ends within 30 days is expiring."`
	ExpireTime     *time.Time        `json:"expireTime,omitempty"`
	RevokeTime     *time.Time        `json:"revokeTime,omitempty"`
	LastUsedTime   *time.Time        `json:"lastUsedTime,omitempty" doc:"Written every few seconds."`
	// PreviousSecretExpireTime is until when the secret before the last rotation is good.
	PreviousSecretExpireTime *time.Time `json:"previousSecretExpireTime,omitempty" doc:"Until when the secret before the last rotation is good."`
}

// Quota is how many requests a key may make in a period of UTC's calendar.
type Quota struct {
	Limit int64  `json:"limit" minimum:"0" maximum:"1000000000000" doc:"0: none."`
	Per   string `json:"per,omitempty" enum:"day,month" doc:"Default: day."`
}

// Usage is how much of its quota a key has used.
type Usage struct {
	Count int64     `json:"count"`
	Since time.Time `json:"since"`
}

// AccessKeys is one page of keys.
type AccessKeys struct {
	AccessKeys    []AccessKey `json:"accessKeys"`
	NextPageToken string      `json:"nextPageToken" doc:"Empty on the last page."`
	Total         *Total      `json:"total,omitempty" doc:"With withTotal."`
}

// Total is how much there is on all pages of a list.
type Total struct {
	Count int  `json:"count"`
	More  bool `json:"more" doc:"There is more than was counted."`
}

// KeyQuery says which access keys are wanted; a zero field takes the server's
// default.
type KeyQuery struct {
	Query     string // a part of the name, or the beginning of the ID
	State     string // live, expiring, expired or revoked; empty: all but revoked ones
	Order     string // oldest or newest
	Functions bool   // those that functions were given, too
	Plans     bool   // only those of service plans
	WithTotal bool
	PageSize  int
	PageToken string
}

func (q KeyQuery) values() string {
	return listQuery(map[string]string{"query": q.Query, "state": q.State, "order": q.Order, "pageToken": q.PageToken},
		map[string]bool{"includeFunctionKeys": q.Functions, "servicePlans": q.Plans, "withTotal": q.WithTotal}, q.PageSize)
}

// CreateKeyRequest asks for a new key.
type CreateKeyRequest struct {
	DisplayName    string            `json:"displayName" doc:"1 to 100 characters, unique among the project's keys."`
	Scopes         []string          `json:"scopes,omitempty" enum:"invoke,control" doc:"Default: invoke only. At most those of the key that asks."`
	Groups         []string          `json:"groups,omitempty" doc:"At most 32 route groups that it opens; all when absent."`
	AllowedCIDRs   []string          `json:"allowedCidrs,omitempty" doc:"At most 64 networks from which it may be used; any when absent."`
	RatePerSecond  int               `json:"ratePerSecond,omitempty" minimum:"0" maximum:"1000000" doc:"Requests a second; 0: no limit of its own."`
	Quota          *Quota            `json:"quota,omitempty"`
	Binding        string            `json:"binding,omitempty" enum:"none,dpop,mtls" doc:"To what its tokens are bound; a bound key opens nothing by its bare secret."`
	CertThumbprint string            `json:"certThumbprint,omitempty" doc:"With mtls: base64url SHA-256 of the one certificate (DER) that it accepts."`
	Metadata       map[string]string `json:"metadata,omitempty" doc:"At most 32 entries, names to 64 and values to 256 characters. Never a secret."`
	ExpireTime     string            `json:"expireTime,omitempty" doc:"RFC 3339; never when absent."`
	AccessKeyID    string            `json:"accessKeyId,omitempty" doc:"An ID of the caller's making: pak_ and a ULID of the last 24 hours, in lower case. Asked for twice the key is made once, and the second answer is 409 key_exists. Absent: made here."`
	ServicePlanID  string            `json:"servicePlanId,omitempty" doc:"Makes the secret the API token of this service plan, good for paths that name the plan and for nothing else."`
}

// UpdateKeyRequest changes a key. What is absent stays; an empty list or
// text, 0 or none takes a limit away.
type UpdateKeyRequest struct {
	DisplayName    *string           `json:"displayName,omitempty" doc:"1 to 100 characters, unique among the project's keys."`
	Scopes         []string          `json:"scopes,omitzero" enum:"invoke,control" doc:"At most those of the key that asks, beyond those it has."`
	Groups         []string          `json:"groups,omitzero" doc:"At most 32; empty: all."`
	AllowedCIDRs   []string          `json:"allowedCidrs,omitzero" doc:"At most 64; empty: any."`
	RatePerSecond  *int              `json:"ratePerSecond,omitempty" minimum:"0" maximum:"1000000" doc:"0: no limit of its own."`
	Quota          *Quota            `json:"quota,omitempty" doc:"A limit of 0: none."`
	Binding        *string           `json:"binding,omitempty" enum:"none,dpop,mtls"`
	CertThumbprint *string           `json:"certThumbprint,omitempty" doc:"Empty: any certificate."`
	Metadata       map[string]string `json:"metadata,omitzero" doc:"Takes the place of all there is."`
	ExpireTime     *string           `json:"expireTime,omitempty" doc:"RFC 3339; empty: never."`
	// ExpectUpdateTime keeps two people from overwriting one another.
	ExpectUpdateTime *time.Time `json:"expectUpdateTime,omitempty" doc:"The updateTime that the key must have, or the answer is 409 key_changed; absent: any."`
}

// RotateKeyRequest asks for a new secret.
type RotateKeyRequest struct {
	GracePeriod int `json:"gracePeriod,omitempty" minimum:"0" maximum:"2592000" doc:"For how many seconds the secret of now stays good beside the new one."`
	// ExpectUpdateTime keeps a request that is sent again from rotating again.
	ExpectUpdateTime *time.Time `json:"expectUpdateTime,omitempty" doc:"The updateTime that the key must have, or the answer is 409 key_changed; absent: any."`
}

// CreatedKey is a new key with its secret, which is shown this once.
type CreatedKey struct {
	AccessKey AccessKey `json:"accessKey"`
	Secret    string    `json:"secret" doc:"Shown this once."`
}

// RotatedKey is a key with its new secret, which is shown this once.
type RotatedKey struct {
	AccessKey AccessKey `json:"accessKey"`
	Secret    string    `json:"secret" doc:"Shown this once."`
	// EndedOlderSecret tells that a grace was still running.
	EndedOlderSecret bool `json:"endedOlderSecret" doc:"The secret before the one of now was still good, and ended with this rotation."`
}

// CreateKey makes an access key.
func (c *Client) CreateKey(ctx context.Context, in CreateKeyRequest) (out CreatedKey, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("accessKeys"), in, &out)
}

// Keys lists one page of access keys, from a page token on; those of functions
// as well when asked.
func (c *Client) Keys(ctx context.Context, pageToken string, functions bool) (out AccessKeys, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("accessKeys")+page(pageToken, "includeFunctionKeys", functions), nil, &out)
}

// FindKeys lists one page of those access keys that a query asks for.
func (c *Client) FindKeys(ctx context.Context, q KeyQuery) (out AccessKeys, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("accessKeys")+q.values(), nil, &out)
}

// Key returns one access key.
func (c *Client) Key(ctx context.Context, id string) (out AccessKey, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("accessKeys", id), nil, &out)
}

// UpdateKey changes an access key.
func (c *Client) UpdateKey(ctx context.Context, id string, in UpdateKeyRequest) (out AccessKey, err error) {
	return out, c.call(ctx, http.MethodPatch, c.project("accessKeys", id), in, &out)
}

// RotateKey gives an access key a new secret.
func (c *Client) RotateKey(ctx context.Context, id string, in RotateKeyRequest) (out RotatedKey, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("accessKeys", id, "rotate"), in, &out)
}

// RevokeKey ends an access key.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, c.project("accessKeys", id), nil, nil)
}

// page is the query for one page of a list, in large ones.
func page(token, switched string, on bool) string {
	q := url.Values{"pageSize": {"1000"}}
	if token != "" {
		q.Set("pageToken", token)
	}
	if on {
		q.Set(switched, strconv.FormatBool(on))
	}
	return "?" + q.Encode()
}

// listQuery is the query for one page of a list; what is empty, off or 0 is left
// to the server.
func listQuery(texts map[string]string, switches map[string]bool, size int) string {
	q := url.Values{}
	for name, text := range texts {
		if text != "" {
			q.Set(name, text)
		}
	}
	for name, on := range switches {
		if on {
			q.Set(name, "true")
		}
	}
	if size > 0 {
		q.Set("pageSize", strconv.Itoa(size))
	}
	return "?" + q.Encode()
}
