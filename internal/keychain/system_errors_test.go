package keychain_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

// Whatever the library says on whichever system comes back as a failure that
// callers tell apart, with its exit code, and with what can be typed.
func TestSystem_Errors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		is   error // nil: none of ours
		kind fault.Kind
	}{
		{"there is none, on any system", keyring.ErrNotFound, keychain.ErrNotFound, fault.NotFound},
		{"there is none, with more words", fmt.Errorf("read: %w", keyring.ErrNotFound), keychain.ErrNotFound, fault.NotFound},
		{"too large for macOS or Windows", keyring.ErrSetDataTooBig, nil, fault.Invalid},
		{"a system without a keychain", keyring.ErrUnsupportedPlatform, keychain.ErrUnavailable, fault.Unavailable},
		{"macOS: locked, or nobody may interact", &exec.ExitError{}, keychain.ErrUnavailable, fault.Unavailable},
		{"macOS: no security(1)", exec.ErrNotFound, keychain.ErrUnavailable, fault.Unavailable},
		{"Windows: no logon session", errors.New("A specified logon session does not exist."), keychain.ErrUnavailable, fault.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := keychain.SystemError(account, tc.err)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != tc.kind || tc.is != nil && !errors.Is(err, tc.is) {
				t.Fatalf("%v: %+v", tc.err, err)
			}
			if away := tc.kind == fault.Unavailable; away != (f.Code == "keychain_unavailable") || away != strings.Contains(f.Hint, "POSTERN_KEYCHAIN=file") {
				t.Errorf("code %q, hint %q", f.Code, f.Hint)
			}
		})
	}
	if err := keychain.SystemError(account, nil); err != nil {
		t.Errorf("without an error: %v", err)
	}
}
