package tunnel

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Key signs what clients show to get their name back. Nodes that have the same
// one, and a server that was started again, know their own.
type Key [32]byte

// claim is what a tunnel was when it was opened first.
type claim struct {
	Name      string `json:"n"`
	ProjectID string `json:"p"`
	KeyID     string `json:"k"`
	BeganAt   int64  `json:"t"` // Unix seconds; of the first of its connections
}

// newName is 26 characters of base 32: 130 bits.
func newName() string { return "tun-" + strings.ToLower(rand.Text()) }

func (k Key) sign(body []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(body)
	return h.Sum(nil)
}

// mint makes the text that brings a name back.
func (k Key) mint(c claim) string {
	body, _ := json.Marshal(c) // of strings and a number
	return base64.RawURLEncoding.EncodeToString(append(k.sign(body), body...))
}

// resume reads such a text. It is good for the project and the access key that it
// was made for, and for as long as a tunnel may stand.
func (k Key) resume(text, projectID, keyID string, lifetime time.Duration, now time.Time) (claim, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) <= sha256.Size {
		return claim{}, false
	}
	mark, body := raw[:sha256.Size], raw[sha256.Size:]
	var c claim
	if !hmac.Equal(mark, k.sign(body)) || json.Unmarshal(body, &c) != nil || c.ProjectID != projectID || c.KeyID != keyID {
		return claim{}, false
	}
	age := now.Sub(time.Unix(c.BeganAt, 0))
	return c, age >= -time.Minute && age < lifetime
}
