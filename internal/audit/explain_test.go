package audit_test

import (
	"testing"

	"postern.dev/postern/internal/audit"
)

func TestKeyWhy(t *testing.T) {
	for _, c := range []struct{ id, method, want string }{
		{"pak_1", "basic", "access key pak_1, shown as basic"},
		{"", "bearer", "access key of another project, shown as bearer"},
		{"pak_1", "", "access key pak_1, shown as a credential"},
		{"usr_1", "session", "user usr_1, signed in to the console"},
	} {
		if got := audit.KeyWhy(c.id, c.method); got != c.want {
			t.Errorf("%q by %q: %q, want %q", c.id, c.method, got, c.want)
		}
	}
}
