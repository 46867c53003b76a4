package signature

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
)

// Secret holds a signing secret as its owner has it. It formats as [redacted]
// in every way that fmt, slog and encoding/json know, and there is no way out of
// this package. It stands behind a pointer because fmt prints the bare contents
// of unexported fields, for which it cannot call String.
type Secret struct{ text *string }

// NewSecret returns text as a secret.
func NewSecret(text string) Secret { return Secret{&text} }

func (s Secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

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

var errNotBase64 = errors.New("it is not base64")

// lenientBase64 reads a secret as the senders' own libraries do: in either
// alphabet, with padding or without. A key has no second meaning, so nothing is
// won by being strict. A signature is read by canonicalBase64.
func lenientBase64(text string) ([]byte, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	out, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(out) == 0 || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, errNotBase64 // the decoder's own error tells where, and so a little of what
	}
	return out, nil
}
