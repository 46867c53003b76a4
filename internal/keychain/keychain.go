// Package keychain keeps the secrets of the person at the terminal: in the
// operating system's keychain ([System]), or, only where that was chosen, in a
// file that a passphrase encrypts ([File]). [Keychain] is the type to know.
//
// A secret has an account: "auth/<profile>" is the secret of the key that
// `postern auth login` was given, "<function>/<KEY>" one of a function's own.
// A function that is named auth has another namespace (environ.Account), so that
// none takes the place of a profile. In the operating system's keychain the
// service is "postern".
//
// A keychain may hang: it waits for a person who is asked to unlock it, or the
// bus that leads to it is dead. No call of System's takes longer than three
// seconds. One that is late goes on in its goroutine until the library returns,
// and what it then brings is thrown away; calls are made one at a time, so a
// late Set never overtakes the Delete that follows it. A Set that was late may
// have stored its secret: who was told of the failure sets it again, or deletes it.
//
// The package decides nothing about which secret is sent where: package cli does.
package keychain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
)

// The failures that callers tell apart. They come wrapped in a fault that has
// the words and the hint.
var (
	// ErrNotFound says that the keychain answers and has no such secret.
	ErrNotFound = errors.New("no such secret in the keychain")
	// ErrUnavailable says that there is no keychain, that it is locked, or
	// that it did not answer in time.
	ErrUnavailable = errors.New("no keychain")
	// ErrPassphrase says that the passphrase is not that of the file.
	ErrPassphrase = errors.New("wrong passphrase")
)

const (
	service = "postern"
	limit   = 3 * time.Second
)

// provider is one kind of keychain. Its calls may block, and know no context.
type provider interface {
	get(account string) (string, error)
	set(account, secret string) error
	delete(account string) error
	// unanswered describes a call that was late.
	unanswered() error
}

// Keychain gives access to secrets. It is safe for concurrent use.
type Keychain struct {
	provider provider
	place    string
	limit    time.Duration // of one call; 0 is none
	busy     chan struct{} // holds one token while the provider is at work
}

func newKeychain(p provider, place string, limit time.Duration) *Keychain {
	return &Keychain{p, place, limit, make(chan struct{}, 1)}
}

// String says where the secrets are, for people.
func (k *Keychain) String() string { return k.place }

// Get returns the secret of an account. It is ErrNotFound where there is none.
func (k *Keychain) Get(ctx context.Context, account string) (secret string, err error) {
	return k.do(ctx, account, func() (string, error) { return k.provider.get(account) })
}

// Set stores a secret, in the place of the one before.
func (k *Keychain) Set(ctx context.Context, account, secret string) error {
	if secret == "" {
		return fault.New(fault.Invalid, "an empty secret is not stored")
	}
	_, err := k.do(ctx, account, func() (string, error) { return "", k.provider.set(account, secret) })
	return err
}

// Delete removes the secret of an account. It is ErrNotFound where there is none.
func (k *Keychain) Delete(ctx context.Context, account string) error {
	_, err := k.do(ctx, account, func() (string, error) { return "", k.provider.delete(account) })
	return err
}

type answer struct {
	secret string
	err    error
}

// do makes one call of the provider, within the limit.
func (k *Keychain) do(ctx context.Context, account string, call func() (string, error)) (string, error) {
	if !validAccount(account) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%q is no account of a secret", account))
	}
	timed := ctx
	if k.limit > 0 {
		var cancel context.CancelFunc
		timed, cancel = context.WithTimeout(ctx, k.limit)
		defer cancel()
	}
	late := func() (string, error) {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", k.provider.unanswered()
	}
	select {
	case k.busy <- struct{}{}:
	case <-timed.Done():
		return late()
	}
	done := make(chan answer, 1)
	go func() { // ends when the provider returns; nobody waits for one that is late
		defer func() { <-k.busy }()
		secret, err := call()
		done <- answer{secret, err}
	}()
	select {
	case a := <-done:
		return a.secret, a.err
	case <-timed.Done():
		return late()
	}
}

// validAccount holds for two names with a slash between, in printable
// characters. Windows takes no more than 512 bytes, our own name included.
func validAccount(s string) bool {
	space, name, ok := strings.Cut(s, "/")
	return ok && space != "" && name != "" && !strings.Contains(name, "/") && len(s) <= 400 && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func notFound(account string) error {
	return fault.Wrap(ErrNotFound, fault.NotFound, "the keychain has no secret for "+account).WithCode("secret_not_found")
}
