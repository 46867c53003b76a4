// Package accesskey mints, parses and hashes access keys.
//
// An access key is an ID, "pak_" and a lower-case ULID, and a secret, "psk_"
// and 43 base62 characters (256 random bits) and 6 base62 characters of CRC-32
// over all that precedes them. [Secret] is the type to know; it never prints
// itself. The checksum refuses a typing error without a look-up and lets
// scanners recognise a leaked key; it is no protection of its own.
//
// The package does not store or compare keys with one another: package auth does.
package accesskey

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

const (
	idPrefix     = "pak_"
	secretPrefix = "psk_"
	randomLen    = 43 // ceil(256 / log2(62))
	checksumLen  = 6  // ceil(32 / log2(62))

	// IDLen and SecretLen are the exact lengths of a key ID and a secret in bytes.
	IDLen     = len(idPrefix) + ulid.EncodedSize
	SecretLen = len(secretPrefix) + randomLen + checksumLen
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// ErrMalformed says that a text is no access-key secret: wrong prefix, length,
// alphabet or checksum. It does not say which.
var ErrMalformed = errors.New("malformed access key secret")

// NewID returns a new key ID that sorts after those made before now.
func NewID(now time.Time) string {
	return idPrefix + strings.ToLower(ulid.MustNew(ulid.Timestamp(now), rand.Reader).String())
}

// MadeAt is the time in a key's ID, to the millisecond.
func MadeAt(id string) (at time.Time, ok bool) {
	packed, ok := PackID(id)
	if !ok {
		return at, false
	}
	return ulid.ULID(packed).Timestamp(), true
}

// In reports whether a text has something in it that begins like a key's ID or
// secret, cut off or not.
func In(text string) bool {
	return strings.Contains(text, idPrefix) || strings.Contains(text, secretPrefix)
}

// ValidID reports whether s has the form of a key ID: the prefix and a ULID in
// Crockford's alphabet, whose 128 bits begin with a digit of 0 to 7. There is
// one spelling of an ID, so upper case is refused.
func ValidID(s string) bool {
	_, ok := PackID(s)
	return ok
}

// Secret is the secret half of an access key. It formats as [redacted] in
// every way that fmt, slog and encoding/json know; Reveal is the one way out.
// The text stands behind a pointer because fmt prints the bare contents of
// unexported fields, for which it cannot call String. So == tells whether two
// are one value, not whether they are one secret: compare hashes.
type Secret struct{ text *string }

func newSecret(text string) Secret { return Secret{&text} }

// NewSecret returns a secret with 256 bits from the operating system's generator.
func NewSecret() Secret {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	var b strings.Builder
	b.Grow(SecretLen)
	b.WriteString(secretPrefix)
	b.WriteString(encode(new(big.Int).SetBytes(raw[:]), randomLen))
	b.WriteString(checksum(b.String()))
	return newSecret(b.String())
}

// ParseSecret checks the form and checksum of s. It does not allocate when it
// refuses, because refusing is what it mostly does under attack.
func ParseSecret(s string) (Secret, error) {
	if !WellFormed(s) {
		return Secret{}, ErrMalformed
	}
	return newSecret(s), nil
}

// WellFormed reports whether s has the form and the checksum of a secret. It
// takes a string or bytes so that a caller need not copy what it decoded.
func WellFormed[T string | []byte](s T) bool {
	if len(s) != SecretLen || string(s[:len(secretPrefix)]) != secretPrefix {
		return false
	}
	crc := uint32(0)
	for i := 0; i < SecretLen; i++ {
		if !isBase62(s[i]) && i >= len(secretPrefix) {
			return false
		}
		if i < SecretLen-checksumLen {
			crc = step(crc, s[i])
		}
	}
	for i := SecretLen - 1; i >= SecretLen-checksumLen; i-- {
		if s[i] != base62[crc%62] {
			return false
		}
		crc /= 62
	}
	return true
}

// Reveal returns the secret's text: for showing it once to its owner, and for
// nothing else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Hash is the SHA-256 of the whole text, the form in which a secret is kept.
func (s Secret) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(s.Reveal())) }

const redacted = "[redacted]"

// String, GoString, LogValue and MarshalJSON keep the secret out of logs,
// errors and answers.
func (s Secret) String() string { return redacted }

// GoString is String, for %#v.
func (s Secret) GoString() string { return redacted }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is String, for encoding/json.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

func isBase62(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// step extends a CRC-32 (IEEE) by one byte. crc32.Update would make the
// generic WellFormed copy its argument.
func step(crc uint32, b byte) uint32 {
	return ^(crc32.IEEETable[byte(^crc)^b] ^ (^crc >> 8))
}

// checksum is the base62 form of the CRC-32 (IEEE) of text.
func checksum(text string) string {
	return encode(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), checksumLen)
}

// encode writes n in base62, padded with zeros to width digits.
func encode(n *big.Int, width int) string {
	out := make([]byte, width)
	base, digit := big.NewInt(62), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}
