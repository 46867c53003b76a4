package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

func (s *service) registerKeys() {
	const all = "/v1/projects/{projectId}/accessKeys"
	register(s, huma.Operation{OperationID: "listAccessKeys", Method: http.MethodGet, Path: all, Summary: "List access keys"}, s.listKeys)
	register(s, huma.Operation{OperationID: "createAccessKey", Method: http.MethodPost, Path: all, Summary: "Make an access key",
		Description: "The answer has the key's secret; it is shown this once. The key can be used at once.", Errors: []int{400, 409}}, s.createKey)
	register(s, huma.Operation{OperationID: "revokeAccessKey", Method: http.MethodDelete, Path: all + "/{accessKeyId}", Summary: "End an access key",
		Description: "When this answers the key opens nothing any more on this machine.", DefaultStatus: 204, Errors: []int{404}}, s.revokeKey)
}

func (s *service) listKeys(ctx context.Context, in *struct {
	ProjectPath
	Page
}) (*body[api.AccessKeys], error) {
	ks, err := s.o.Store.Keys(ctx, in.ProjectID, in.PageToken, in.PageSize+1, false)
	if err != nil {
		return nil, err
	}
	out := api.AccessKeys{AccessKeys: []api.AccessKey{}}
	for i, k := range ks {
		if i == in.PageSize {
			out.NextPageToken = ks[i-1].ID
			break
		}
		out.AccessKeys = append(out.AccessKeys, describeKey(k))
	}
	return &body[api.AccessKeys]{out}, nil
}

func (s *service) createKey(ctx context.Context, in *struct {
	ProjectPath
	Body api.CreateKeyRequest
}) (*body[api.CreatedKey], error) {
	secret := accesskey.NewSecret()
	k, err := newKey(in.ProjectID, in.Body, secret, time.Now())
	if err != nil {
		return nil, err
	}
	seq, err := s.o.Store.CreateKey(ctx, k)
	if err != nil {
		return nil, err
	}
	s.applied(ctx, seq)
	return &body[api.CreatedKey]{api.CreatedKey{AccessKey: describeKey(k), Secret: secret.Reveal()}}, nil
}

func newKey(projectID string, in api.CreateKeyRequest, secret accesskey.Secret, now time.Time) (platform.AccessKey, error) {
	name := strings.TrimSpace(in.DisplayName)
	if name == "" || strings.ContainsFunc(name, unicode.IsControl) || strings.HasPrefix(name, "function:") {
		return platform.AccessKey{}, fault.New(fault.Invalid, "the display name must have visible characters, no control characters, and not begin with function:")
	}
	k := platform.AccessKey{ID: accesskey.NewID(now), ProjectID: projectID, DisplayName: name, SecretHash: secret.Hash(), RatePerSecond: in.RatePerSecond, CreatedAt: now}
	for _, sc := range in.Scopes {
		k.Scopes = append(k.Scopes, platform.Scope(sc))
	}
	if len(k.Scopes) == 0 {
		k.Scopes = []platform.Scope{platform.ScopeInvoke}
	}
	for _, c := range in.AllowedCIDRs {
		p, err := netip.ParsePrefix(c)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() { // callers' addresses come unmapped
			return platform.AccessKey{}, fault.New(fault.Invalid, fmt.Sprintf("%.80q is no address range", c)).WithHint("write it like 192.0.2.0/24 or 2001:db8::/32, with the host bits zero")
		}
		k.AllowedCIDRs = append(k.AllowedCIDRs, p)
	}
	if in.ExpireTime != nil {
		if !in.ExpireTime.After(now) {
			return platform.AccessKey{}, fault.New(fault.Invalid, "expireTime has passed already")
		}
		k.ExpiresAt = *in.ExpireTime
	}
	return k, nil
}

func (s *service) revokeKey(ctx context.Context, in *struct {
	ProjectPath
	ID string `path:"accessKeyId" maxLength:"64"`
}) (*struct{}, error) {
	seq, err := s.o.Store.RevokeKey(ctx, in.ProjectID, in.ID, time.Now())
	if err != nil {
		return nil, err
	}
	s.applied(ctx, seq)
	return nil, nil
}

// applied waits, for a while, until the gateway here knows of a change: what
// was made can then be used, and what was ended not.
func (s *service) applied(ctx context.Context, seq int64) {
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := s.o.Applied(wait, seq); err != nil {
		s.o.Log.Warn("the gateway is late to apply a change", "seq", seq, "error", err)
	}
}

func describeKey(k platform.AccessKey) api.AccessKey {
	out := api.AccessKey{AccessKeyID: k.ID, DisplayName: k.DisplayName, ProjectID: k.ProjectID, Scopes: []string{}, RatePerSecond: k.RatePerSecond, CreateTime: k.CreatedAt.UTC()}
	for _, s := range k.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	for _, c := range k.AllowedCIDRs {
		out.AllowedCIDRs = append(out.AllowedCIDRs, c.String())
	}
	if !k.ExpiresAt.IsZero() {
		e := k.ExpiresAt.UTC()
		out.ExpireTime = &e
	}
	return out
}
