// Package signin lets people sign in to a function with a browser: with the
// function's own user and password, from its variables.
//
// [Pair] is the type to know: it compares, and it seals and opens [Session]s,
// which lie in the browser's cookie and nowhere else. A session is signed with
// a key that is made of the installation's key, the function's ID and the pair
// itself, so it opens no other function, and ends on every node when the user
// or the password is another or gone. Ending one by itself, at a log-out, takes
// the list of revoked tokens.
//
// [Desk] counts what failed: an attempt by its address and by the user that it
// names, known or not, with waits that double. Nothing here does I/O.
package signin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
)

// The variables that hold a function's pair.
const (
	UserVariable     = "ADMIN_USER"
	PasswordVariable = "ADMIN_PASSWORD"
)

// MinPassword is how many bytes a password needs to be one. A shorter one opens
// nothing. MaxText is how many a user or a password may have.
const (
	MinPassword = 8
	MaxText     = 1024
)

// The refusals. A wrong user and a wrong password are one.
var (
	ErrWrong  = fault.New(fault.Unauthenticated, "the user or the password is wrong").WithCode("signin_failed")
	ErrForged = fault.New(fault.Denied, "the form did not come from this site, or was open for too long").WithCode("signin_forged")
	errLocked = fault.New(fault.TooMany, "too many attempts have failed").WithCode("signin_locked")
)

// Pair is the user and the password of one function. It is immutable.
type Pair struct {
	user, password [sha256.Size]byte
	key            []byte // signs sessions and forms
	function       []byte // its ID
}

// Key is an installation's key, from which those of all pairs are made.
type Key [32]byte

// RandomKey is a key whose sessions end with the process.
func RandomKey() (k Key) {
	rand.Read(k[:])
	return k
}

// Pair makes the pair of a function. It is nil where the variables make none:
// when both are missing without an error, else with one that says why, and that
// has neither of them.
func (k Key) Pair(functionID, user, password string) (*Pair, error) {
	switch {
	case user == "" && password == "":
		return nil, nil
	case user == "" || password == "":
		return nil, fmt.Errorf("%s and %s are used together only, and one of them is empty: nobody can sign in", UserVariable, PasswordVariable)
	case len(password) < MinPassword:
		return nil, fmt.Errorf("%s has fewer than %d bytes: nobody can sign in with it", PasswordVariable, MinPassword)
	case len(user) > MaxText || len(password) > MaxText:
		return nil, fmt.Errorf("%s or %s has more than %d bytes: nobody can sign in with it", UserVariable, PasswordVariable, MaxText)
	}
	m := hmac.New(sha256.New, k[:])
	for _, part := range []string{"pair 1", functionID, user, password} {
		m.Write(binary.AppendUvarint(nil, uint64(len(part))))
		m.Write([]byte(part))
	}
	return &Pair{user: sha256.Sum256([]byte(user)), password: sha256.Sum256([]byte(password)), key: m.Sum(nil), function: []byte(functionID)}, nil
}

// is compares in constant time, and user and password in any case both.
func (p *Pair) is(user, password string) bool {
	u, w := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(p.user[:], u[:])&subtle.ConstantTimeCompare(p.password[:], w[:]) == 1
}

// sign is the signature over a text for one purpose.
func (p *Pair) sign(purpose string, text []byte) []byte {
	m := hmac.New(sha256.New, p.key)
	m.Write([]byte(purpose))
	m.Write([]byte{0})
	m.Write(text)
	return m.Sum(nil)
}

var encoding = base64.RawURLEncoding.Strict()

// Basic is the user and the password that an Authorization value shows as HTTP
// Basic (RFC 7617).
func Basic(authorization string) (user, password string, ok bool) {
	scheme, credential, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "basic") || len(credential) > 3*MaxText {
		return "", "", false
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(credential, " "))
	if err != nil || strings.ContainsAny(credential, "\r\n") {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}

// FormToken proves that a form was made by us for the browser that has the
// cookie with that value.
func (p *Pair) FormToken(cookie string) string {
	return encoding.EncodeToString(p.sign("form", []byte(cookie)))
}

// Made reports whether a form's token is the one for a cookie's value.
func (p *Pair) Made(cookie, token string) bool {
	return cookie != "" && subtle.ConstantTimeCompare([]byte(p.FormToken(cookie)), []byte(token)) == 1
}

// NewFormCookie is a value for the cookie that a form is bound to.
func NewFormCookie() string {
	var b [32]byte
	rand.Read(b[:])
	return encoding.EncodeToString(b[:])
}

// LockedError refuses an attempt, right or wrong, because of those before it.
type LockedError struct{ wait time.Duration }

func (e *LockedError) Error() string { return errLocked.Error() }

// RetryAfter is how long to wait.
func (e *LockedError) RetryAfter() time.Duration { return e.wait }

// Unwrap gives the fault.
func (e *LockedError) Unwrap() error { return errLocked }
