package keychain

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/zalando/go-keyring"

	"postern.dev/postern/internal/fault"
)

// System is the operating system's keychain: Keychain on macOS, the Credential
// Manager on Windows, and elsewhere the Secret Service of the session's bus.
func System() *Keychain {
	return newKeychain(withBounds(runtime.GOOS, system{}), "the operating system's keychain", limit)
}

type system struct{}

func (system) get(account string) (secret string, err error) {
	if err := reachable(); err != nil {
		return "", unavailable(err)
	}
	secret, err = keyring.Get(service, account)
	return secret, systemError(account, err)
}

func (system) set(account, secret string) error {
	if err := reachable(); err != nil {
		return unavailable(err)
	}
	return systemError(account, keyring.Set(service, account, secret))
}

func (system) delete(account string) error {
	if err := reachable(); err != nil {
		return unavailable(err)
	}
	return systemError(account, keyring.Delete(service, account))
}

func (system) unanswered() error {
	return unavailable(fmt.Errorf("it did not answer within %v", limit))
}

// systemError classifies what the library says. A keychain that is locked has
// no error of its own there: whatever is not known is "unavailable".
func systemError(account string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return notFound(account)
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return fault.Wrap(err, fault.Invalid, "the secret for "+account+" is larger than the operating system's keychain takes")
	default:
		return unavailable(err)
	}
}

func unavailable(cause error) error {
	return fault.Wrap(ErrUnavailable, fault.Unavailable, fmt.Sprintf("the operating system's keychain cannot be used: %v", cause)).
		WithCode("keychain_unavailable").
		WithHint("unlock it and try again; where there is none, choose a file that a passphrase encrypts: export POSTERN_KEYCHAIN=file")
}
