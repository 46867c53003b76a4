package oauth

import (
	"encoding/json"
	"strings"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

// metadata describes the token server (RFC 8414 §2).
func metadata(issuer string) []byte {
	client := []string{"client_secret_basic", "client_secret_post"}
	out, err := json.Marshal(struct {
		Issuer            string   `json:"issuer"`
		Token             string   `json:"token_endpoint"`
		TokenAuth         []string `json:"token_endpoint_auth_methods_supported"`
		Introspection     string   `json:"introspection_endpoint"`
		IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`
		Revocation        string   `json:"revocation_endpoint"`
		RevocationAuth    []string `json:"revocation_endpoint_auth_methods_supported"`
		JWKS              string   `json:"jwks_uri"`
		Scopes            []string `json:"scopes_supported"`
		Responses         []string `json:"response_types_supported"`
		Grants            []string `json:"grant_types_supported"`
		Proofs            []string `json:"dpop_signing_alg_values_supported"`
		CertificateBound  bool     `json:"tls_client_certificate_bound_access_tokens"`
	}{
		issuer, issuer + TokenPath, client, issuer + IntrospectPath, client, issuer + RevokePath, client, issuer + JWKSPath,
		[]string{string(platform.ScopeInvoke), string(platform.ScopeControl)}, []string{}, []string{"client_credentials"}, token.ProofAlgorithms(), strings.HasPrefix(issuer, "https://"),
	})
	if err != nil {
		panic(err) // our own type, which always encodes
	}
	return append(out, '\n')
}
