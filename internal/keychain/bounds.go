package keychain

import (
	"fmt"

	"postern.dev/postern/internal/fault"
)

// bounded refuses a secret that its keychain would not take, before the secret is
// on its way: on macOS the library has started the program that it would go to by
// then, and leaves it waiting.
type bounded struct {
	provider
	name string
	most func(account string) int // bytes of a secret
}

func (b bounded) set(account, secret string) error {
	if most := b.most(account); len(secret) > most {
		return fault.New(fault.Invalid, fmt.Sprintf("the secret for %s has %d bytes; %s takes at most %d", account, len(secret), b.name, most)).
			WithCode("secret_too_large").WithHint("keep what is larger in the encrypted file: export POSTERN_KEYCHAIN=file")
	}
	return b.provider.set(account, secret)
}

// withBounds is a provider with the limits of a system's keychain.
func withBounds(goos string, p provider) provider {
	switch goos {
	case "windows": // CRED_MAX_CREDENTIAL_BLOB_SIZE
		return bounded{p, "the Windows Credential Manager", func(string) int { return 5 * 512 }}
	case "darwin":
		return bounded{p, "the program that leads to the keychain of macOS", darwinMost}
	default: // the Secret Service names none; what a function can be given is far below
		return p
	}
}

// darwinMost is what fits into one command of security(1), of 4096 bytes, where the
// library writes the secret as base64 behind a prefix of its own.
func darwinMost(account string) int {
	command := len("add-generic-password -U -s  -a  -w go-keyring-base64:\n") + len(service) + len(account)
	return max(0, (4096-command)/4*3)
}
