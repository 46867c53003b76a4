package oauth

import (
	"strconv"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	f := newFailures()
	at := time.Now()
	for _, tc := range []struct {
		name, id, secret string
		after            time.Duration
		again            bool
	}{
		{"first", "a", "x", 0, false}, {"the same", "a", "x", time.Second, true}, {"a third time", "a", "x", time.Second, false}, {"another secret", "a", "y", time.Second, false},
		{"another key", "b", "x", time.Second, false}, {"the parts shifted", "a\x00", "x", time.Second, false}, {"in the next lot", "b", "x", 5900 * time.Millisecond, true}, {"too late", "a", "y", 6 * time.Second, false},
	} {
		if got := f.again(tc.id, tc.secret, at.Add(tc.after)); got != tc.again {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// However many wrong secrets come, each is noted in the time of one and the
// memory has an end.
func TestFailures_Bounded(t *testing.T) {
	t.Parallel()
	f := newFailures()
	at := time.Now()
	for i := range 200_000 {
		f.again("pak", strconv.Itoa(i), at)
		if n := len(f.now) + len(f.older); n > 2*rememberMax {
			t.Fatalf("%d are remembered", n)
		}
	}
	if !f.again("pak", "199999", at) {
		t.Error("under flood nothing is remembered")
	}
}
