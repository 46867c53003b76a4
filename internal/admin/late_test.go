package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern.dev/postern/internal/admin"
)

// A key that the gateway still lets in is not answered as ended, however often
// somebody asks.
func TestRevoke_Late(t *testing.T) {
	t.Parallel()
	late := true
	w := newWorld(t, func(o *admin.Options) {
		apply := o.Applied
		o.Applied = func(ctx context.Context, seq int64) error {
			if late {
				return errors.New("the gateway is stuck")
			}
			return apply(ctx, seq)
		}
	})
	path := w.keys() + "/" + w.id["invoke"]
	for range 2 {
		if rec, _ := w.do("DELETE", path, w.key["control"], ""); rec.Code != 503 || !strings.Contains(rec.Body.String(), "change_late") {
			t.Errorf("a key that is still let in: %d %s", rec.Code, rec.Body)
		}
	}
	late = false
	if rec, _ := w.do("DELETE", path, w.key["control"], ""); rec.Code != 200 {
		t.Errorf("once it is in force: %d %s", rec.Code, rec.Body)
	}
}
