package say_test

import (
	"testing"
	"time"

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

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 20: "1 MiB", 5 << 30: "5 GiB", 3 << 40: "3 TiB", 5 << 50: "5120 TiB"} {
		if got := say.Size(n); got != want {
			t.Errorf("%d is told as %q, want %q", n, got, want)
		}
	}
}

func TestTook(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{-1: "–", 0: "0.0 ms", 9.94: "9.9 ms", 10.4: "10 ms", 9999: "9999 ms", 10_000: "10.0 s", 1_234_567: "1,234.6 s"} {
		if got := say.Took(ms); got != want {
			t.Errorf("%v is told as %q, want %q", ms, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for share, want := range map[float64]string{0: "0 %", 0.004: "0.4 %", 0.0999: "10.0 %", 0.1: "10 %", 0.126: "13 %", 1: "100 %"} {
		if got := say.Percent(share); got != want {
			t.Errorf("%v is told as %q, want %q", share, got, want)
		}
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 calls", 1: "1 call", 2: "2 calls", 12_000: "12,000 calls"} {
		if got := say.Plural(n, "call", "calls"); got != want {
			t.Errorf("%d is told as %q, want %q", n, got, want)
		}
	}
}

// What is past is rounded down, so that nothing is said to be older than it is, and
// what is to come to what is nearest.
func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "now", 4 * time.Second: "now", -4 * time.Second: "now", -30 * time.Second: "30 s ago", 59 * time.Second: "in 59 s",
		-119 * time.Second: "1 min ago", 119 * time.Second: "in 2 min", 59*time.Minute + 40*time.Second: "in 1 h", -119 * time.Minute: "1 h ago", 110 * time.Minute: "in 2 h",
		12*time.Hour - time.Second: "in 12 h", -12*time.Hour + time.Second: "11 h ago", 48*time.Hour - time.Second: "in 2 days", -48 * time.Hour: "2 days ago",
		30*24*time.Hour - time.Minute: "in 30 days", -61 * 24 * time.Hour: "27 Jan 2026", 61 * 24 * time.Hour: "29 May 2026",
	} {
		if got := say.Ago(now.Add(d), now); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// A name must not look like another, or turn the text around it.
func TestPlain(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"plain": "plain", "two\nlines\tand a tab": "two\nlines\tand a tab", "a\u202eb": "a␦b", "a\u200bb": "a␦b", "\x00\x1b[2J": "␦␦[2J", "a\u2028b": "a␦b", "\ufffd": "␦", "é日": "é日"} {
		if got := say.Plain(s); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	}
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36":                                   "Chrome on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1": "Safari on an iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0":                                                    "Firefox on a Mac",
		"curl/8.5.0":     "curl/8.5.0",
		"Chrome/1 Linux": "Chrome/1 Linux",
		"<script>":       "<script>",
	} {
		if got := say.Browser(agent); got != want {
			t.Errorf("%s is %s, want %s", agent, got, want)
		}
	}
}
