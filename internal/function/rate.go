package function

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// Limits of a rate: a person writes none beyond, and what counts it stays small.
const (
	maxRate       = 1_000_000
	maxRatePeriod = 24 * time.Hour
)

const rateForm = `write "10/s", "100/m by address" or "1000/1h by key, burst 50"`

// ParseRate reads a limit as people write it, in a manifest and in a policy:
//
//	<requests>/<s|m|h|duration> [by route|key|address|method][, burst <requests>]
//
// By nothing it is by route: all callers together.
func ParseRate(text string) (platform.RateLimit, error) {
	l := platform.RateLimit{By: platform.LimitByRoute}
	main, burst, withBurst := strings.Cut(text, ",")
	fields := strings.Fields(main)
	if len(fields) != 1 && (len(fields) != 3 || fields[1] != "by") {
		return platform.RateLimit{}, fmt.Errorf("%.64q is no rate: %s", text, rateForm)
	}
	number, per, ok := strings.Cut(fields[0], "/")
	var err error
	if l.Requests, err = requests(number); !ok || err != nil {
		return platform.RateLimit{}, fmt.Errorf("%.64q is no rate: it begins with a number from 1 to %d and a slash: %s", text, maxRate, rateForm)
	}
	if l.Per, err = period(per); err != nil {
		return platform.RateLimit{}, fmt.Errorf("%.64q: %w", text, err)
	}
	if len(fields) == 3 {
		switch l.By = platform.LimitBy(fields[2]); l.By {
		case platform.LimitByRoute, platform.LimitByKey, platform.LimitByAddress, platform.LimitByMethod:
		default:
			return platform.RateLimit{}, fmt.Errorf("%.64q: a rate is by route, key, address or method, not by %.32q", text, fields[2])
		}
	}
	if !withBurst {
		return l, nil
	}
	number, ok = strings.CutPrefix(strings.TrimSpace(burst), "burst ")
	if l.Burst, err = requests(strings.TrimSpace(number)); !ok || err != nil {
		return platform.RateLimit{}, fmt.Errorf("%.64q: after the comma stands burst and a number from 1 to %d", text, maxRate)
	}
	return l, nil
}

// requests reads a number in plain digits: no sign, no exponent.
func requests(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 || n > maxRate {
		return 0, errors.New("out of range")
	}
	return int(n), nil
}

func period(text string) (time.Duration, error) {
	switch text {
	case "s":
		return time.Second, nil
	case "m":
		return time.Minute, nil
	case "h":
		return time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxRatePeriod {
		return 0, fmt.Errorf("%.32q is no period: s, m, h, or a duration from 1s to 24h", text)
	}
	return d, nil
}

// FormatRate is the shortest text that ParseRate reads as l. Of a pool it says
// nothing: that is where a limit stands.
func FormatRate(l platform.RateLimit) string {
	per := l.Per.String()
	switch l.Per {
	case time.Second:
		per = "s"
	case time.Minute:
		per = "m"
	case time.Hour:
		per = "h"
	}
	out := strconv.Itoa(l.Requests) + "/" + per
	if l.By != platform.LimitByRoute && l.By != "" {
		out += " by " + string(l.By)
	}
	if l.Burst != 0 {
		out += ", burst " + strconv.Itoa(l.Burst)
	}
	return out
}
