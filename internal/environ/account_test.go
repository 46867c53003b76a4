package environ_test

import (
	"strings"
	"testing"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
)

// No two functions have a place of the keychain in common, whatever they are named
// after, nor has one with who signed in, also where upper and lower case are one.
func TestAccount(t *testing.T) {
	t.Parallel()
	names := []string{"a", "a-b", "ab", "auth", "auth-x", "shop", "shop2"}
	for _, forged := range []string{"a/b", "a/B", "fn-auth", "auth/x", "../a", "A", "a.b", ""} {
		if function.ValidName(forged) == nil {
			t.Errorf("a function may be named %q", forged)
		}
	}
	owner := map[string]string{}
	for _, profile := range []string{"default", "key", "b_key"} {
		owner["auth/"+profile] = "profile " + profile
	}
	for _, name := range names {
		for _, key := range []string{"DEFAULT", "KEY", "B_KEY", "_KEY"} {
			account := strings.ToLower(environ.Account(name, key))
			if before, taken := owner[account]; taken {
				t.Errorf("%s of %s is at %s, which is of %s", key, name, account, before)
			}
			owner[account] = name
		}
	}
}
