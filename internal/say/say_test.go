package say_test

import (
	"testing"

	"postern.dev/postern/internal/say"
)

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[any]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567", "1234.5678": "1,234.5678", int64(10_000): "10,000"} {
		if got := say.Count(n); got != want {
			t.Errorf("%v is told as %q, want %q", n, got, want)
		}
	}
}
