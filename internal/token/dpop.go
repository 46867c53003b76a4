package token

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// ErrProof is the one error of VerifyProof, wrapped with what is wrong in words
// that the sender may read.
var ErrProof = errors.New("the DPoP proof is not good")

// ProofExpect is what a DPoP proof must be for, and from when.
type ProofExpect struct {
	Method      string        // of the request, exactly
	URL         string        // of the request as the client wrote it: scheme, host and path
	AccessToken string        // that is shown with it; "" at the token endpoint, where there is none yet
	Now         time.Time     // when it is
	Window      time.Duration // by which a proof may be older or newer
	JKT         string        // whose key made it; "" if any may
}

// Proof is what a good proof says. Whether it was shown before is for Replays
// to say.
type Proof struct {
	JKT, ID  string // the key's thumbprint (RFC 7638), the proof's jti
	IssuedAt time.Time
}

const maxProofID = 256 // bytes

// VerifyProof checks a DPoP proof (RFC 9449 §4.3). The signature shows no more
// than that the sender has the key in the proof's own header; who that is, the
// JKT must say: the caller's, or that in the claims of the access token.
func VerifyProof(raw string, e ProofExpect) (Proof, error) {
	t, err := parse(raw)
	if err != nil {
		return Proof{}, badProof("it is malformed")
	}
	if !isType(t.typ, "dpop+jwt") {
		return Proof{}, badProof("its typ is not dpop+jwt")
	}
	if t.jwk == nil {
		return Proof{}, badProof("it has no jwk")
	}
	key, err := parseJWK(t.jwk, t.alg)
	if err != nil {
		return Proof{}, badProof("its jwk is no public key for its alg")
	}
	if !key.signed(t) {
		return Proof{}, badProof("its signature is wrong")
	}
	p, err := e.check(t.payload)
	if err != nil {
		return Proof{}, err
	}
	if p.JKT, err = thumbprint(key.Key); err != nil {
		return Proof{}, badProof("its jwk has no thumbprint")
	}
	if e.JKT != "" && p.JKT != e.JKT {
		return Proof{}, badProof("it is by another key")
	}
	return p, nil
}

func badProof(text string) error { return fmt.Errorf("%w: %s", ErrProof, text) }

// check reads a proof's claims and compares them with the request.
func (e ProofExpect) check(payload []byte) (p Proof, err error) {
	var htm, htu, ath string
	err = members(payload, func(name, value []byte) error {
		switch string(name) {
		case "jti":
			return text(value, &p.ID)
		case "htm":
			return text(value, &htm)
		case "htu":
			return text(value, &htu)
		case "ath":
			return text(value, &ath)
		case "iat":
			return date(value, &p.IssuedAt)
		}
		return nil
	})
	if err != nil {
		return p, badProof("it is malformed")
	}
	sent, ok := normalURL(htu)
	asked, known := normalURL(e.URL)
	switch {
	case p.ID == "" || len(p.ID) > maxProofID:
		return p, badProof("its jti is missing or too long")
	case htm == "" || htm != e.Method:
		return p, badProof("its htm is another method")
	case !ok || !known || sent != asked:
		return p, badProof("its htu is another address")
	case p.IssuedAt.IsZero() || e.Now.Sub(p.IssuedAt).Abs() > e.Window:
		return p, badProof("its iat is missing or too far from now")
	case e.AccessToken != "" && ath != tokenHash(e.AccessToken):
		return p, badProof("its ath is of another access token")
	}
	return p, nil
}

func tokenHash(raw string) string {
	sum := sha256.Sum256([]byte(raw))
	return base64url.EncodeToString(sum[:])
}

// normalURL brings an address into the form in which RFC 9449 §4.3 compares
// them: without query and fragment, and as RFC 3986 §6.2.2 and §6.2.3 have it.
// One with dot segments has none: the gateway admits no request to it.
func normalURL(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", false
	}
	path := normalEscapes(u.EscapedPath())
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path, true
}

// normalEscapes decodes what need not be encoded and writes the rest in upper
// case. Its argument is encoded properly.
func normalEscapes(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
