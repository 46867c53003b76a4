package console

import (
	"testing"
	"time"
)

// What is past is rounded down, so that nothing is said to be older than it is, and
// what is to come to what is nearest.
func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 4 * time.Second: "now", -4 * time.Second: "now", -30 * time.Second: "30 s ago", 59 * time.Second: "in 59 s",
		-119 * time.Second: "1 min ago", 119 * time.Second: "in 2 min", 59*time.Minute + 40*time.Second: "in 1 h", -119 * time.Minute: "1 h ago", 110 * time.Minute: "in 2 h",
		12*time.Hour - time.Second: "in 12 h", -12*time.Hour + time.Second: "11 h ago", 48*time.Hour - time.Second: "in 2 days", 30*24*time.Hour - time.Minute: "in 30 days", -61 * 24 * time.Hour: "27 Jan 2026", 61 * 24 * time.Hour: "29 May 2026",
	} {
		if got := agoAt(now.Add(d), now); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
