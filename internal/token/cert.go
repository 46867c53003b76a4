package token

import (
	"crypto/sha256"
	"crypto/x509"
)

// CertThumbprint is the x5t#S256 of a client certificate (RFC 8705 §3.1), which
// a token that is bound to it has in its claims as X5T.
func CertThumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64url.EncodeToString(sum[:])
}
