package admin

import (
	"slices"
	"testing"
)

func TestPageOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rows, size, shown int
		next              string
	}{{0, 3, 0, ""}, {2, 3, 2, ""}, {3, 3, 3, ""}, {4, 3, 3, "c"}, {2, 1, 1, "a"}, {9, 3, 3, "c"}} {
		rows := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}[:c.rows]
		page, next := pageOf(rows, c.size, func(s string) string { return s })
		if next != c.next || !slices.Equal(page, rows[:c.shown]) {
			t.Errorf("%d rows by %d: %v, then %q; want %d and %q", c.rows, c.size, page, next, c.shown, c.next)
		}
	}
}
