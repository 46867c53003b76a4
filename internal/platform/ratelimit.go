package platform

import (
	"fmt"
	"time"
)

// The bounds of a limit. No burst borrows more than a year from the time to
// come, so that no sum of times overflows.
const (
	maxPer      = 31 * 24 * time.Hour
	maxBorrowed = 366 * 24 * time.Hour
)

// AtOnce is how many requests may come at once.
func (l RateLimit) AtOnce() int {
	if l.Burst == 0 {
		return l.Requests
	}
	return l.Burst
}

// Interval is how far apart requests may come at the sustained rate. It is
// rounded up: never are more let through than were allowed.
func (l RateLimit) Interval() time.Duration {
	return (l.Per + time.Duration(l.Requests) - 1) / time.Duration(l.Requests)
}

// Check says what is wrong with a limit: it must allow something, over a period
// from a second to 31 days, and a burst that is there again within a year.
func (l RateLimit) Check() error {
	switch {
	case l.Requests <= 0:
		return fmt.Errorf("a limit of %d requests lets nobody in", l.Requests)
	case l.Per < time.Second || l.Per > maxPer:
		return fmt.Errorf("a limit is over at least a second and at most 31 days, not %v", l.Per)
	case time.Duration(l.Requests) > l.Per:
		return fmt.Errorf("%d requests in %v are no limit", l.Requests, l.Per)
	case l.Burst < 0 || time.Duration(l.AtOnce()) > maxBorrowed/l.Interval():
		return fmt.Errorf("a burst of %d takes more than a year to come back", l.Burst)
	}
	switch l.By {
	case LimitByRoute, LimitByKey, LimitByAddress, LimitByMethod:
		return nil
	}
	return fmt.Errorf("a limit is by route, key, address or method, not by %.32q", string(l.By))
}
