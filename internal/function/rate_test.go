package function_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]platform.RateLimit{
		"10/s":                         {Requests: 10, Per: time.Second, By: platform.LimitByRoute},
		"100/m by address, burst 20":   {Requests: 100, Per: time.Minute, Burst: 20, By: platform.LimitByAddress},
		"1000/1h by key":               {Requests: 1000, Per: time.Hour, By: platform.LimitByKey},
		"1/24h":                        {Requests: 1, Per: 24 * time.Hour, By: platform.LimitByRoute},
		"5/1m30s by method":            {Requests: 5, Per: 90 * time.Second, By: platform.LimitByMethod},
		" 10/s  by  route ,  burst  3": {Requests: 10, Per: time.Second, Burst: 3, By: platform.LimitByRoute},
		"1000000/s":                    {Requests: 1_000_000, Per: time.Second, By: platform.LimitByRoute},
	} {
		if got, err := function.ParseRate(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "10", "10/", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1e3/s", "0x10/s", "1000001/s", "99999999999999999999/s", "10/x", "10/0s", "10/-1s", "10/999ms", "10/25h", "10/d",
		"10 / s", "10/s by", "10/s by host", "10/s by key address", "10/s per key", "10/s,", "10/s, 5", "10/s, burst", "10/s, burst 0", "10/s, burst -1", "10/s, burst 5 by key", "10/s, burst 1, burst 2", "10/s;burst 5", "１０/s"} {
		if got, err := function.ParseRate(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

func TestFormatRate_ReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := platform.RateLimit{Requests: rapid.IntRange(1, 1_000_000).Draw(t, "requests"), Per: time.Duration(rapid.Int64Range(int64(time.Second), int64(24*time.Hour)).Draw(t, "per")),
			Burst: rapid.IntRange(0, 1_000_000).Draw(t, "burst"), By: rapid.SampledFrom([]platform.LimitBy{platform.LimitByRoute, platform.LimitByKey, platform.LimitByAddress, platform.LimitByMethod}).Draw(t, "by")}
		if got, err := function.ParseRate(function.FormatRate(l)); err != nil || got != l {
			t.Fatalf("%+v is written %q and read %+v, %v", l, function.FormatRate(l), got, err)
		}
	})
}
