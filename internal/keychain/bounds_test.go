package keychain_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

// What a system's keychain would not take is refused in words before it is sent,
// and the secret before it stays.
func TestKeychain_Bounds(t *testing.T) {
	t.Parallel()
	// As the library writes the command for macOS.
	command := func(n int) int {
		return len(fmt.Sprintf("add-generic-password -U -s %s -a %s -w %s\n", "postern", account, "go-keyring-base64:"+base64.StdEncoding.EncodeToString(make([]byte, n))))
	}
	darwin := 0
	for command(darwin+1) <= 4096 {
		darwin++
	}
	for goos, most := range map[string]int{"windows": 2560, "darwin": darwin, "linux": 60000} {
		stored := map[string]string{account: "old"}
		k := keychain.Bounded(goos, stored)
		err := k.Set(t.Context(), account, strings.Repeat("s", most+1))
		if goos == "linux" {
			if err != nil {
				t.Errorf("%s: %v", goos, err)
			}
			continue
		}
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Invalid || f.Code != "secret_too_large" || !strings.Contains(f.Text, fmt.Sprintf("has %d bytes", most+1)) || !strings.Contains(f.Text, fmt.Sprintf("at most %d", most)) || !strings.Contains(f.Hint, "POSTERN_KEYCHAIN=file") || strings.Contains(f.Error(), "sss") {
			t.Errorf("%s, a byte too many: %v", goos, err)
		}
		if stored[account] != "old" {
			t.Errorf("%s: the secret before it is gone", goos)
		}
		if err := k.Set(t.Context(), account, strings.Repeat("s", most)); err != nil || len(stored[account]) != most {
			t.Errorf("%s, as much as it takes: %v", goos, err)
		}
		if err := k.Delete(t.Context(), account); err != nil {
			t.Errorf("%s: %v", goos, err)
		}
	}
}
