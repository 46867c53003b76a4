package platform

import (
	"fmt"
	"time"
)

// Day is a day of UTC: how many days it is after 1 January 1970.
type Day int32

const dayLayout = "2006-01-02"

// DayOf is the day of UTC that an instant falls into.
func DayOf(t time.Time) Day {
	s := t.Unix()
	if s < 0 {
		s -= 86399 // towards the earlier day
	}
	return Day(s / 86400)
}

// ParseDay reads a day that is written like 2026-11-01, of the years 1970 to 9999.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(dayLayout, s)
	if err != nil || t.Year() < 1970 {
		return 0, fmt.Errorf("%q is no day like 2026-11-01", s)
	}
	return DayOf(t), nil
}

// Time is the instant at which the day begins.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d Day) String() string { return d.Time().Format(dayLayout) }

// CallerOpen is the caller of a handler that asks for no credentials.
const CallerOpen = "open"

// UsageRow is what one function did for one caller on one day, or a part of that:
// parts add up. With a Code it is what was refused of the function's calls on
// that day instead; then only Refused counts.
type UsageRow struct {
	Day          Day
	ProjectID    string // of the function
	FunctionID   string
	FunctionName string
	Caller       string // an access key's ID, CallerOpen, or another issuer
	CallerName   string // a key's display name; the store looks it up
	Code         string // the problem's; empty of calls that ran
	Counts
}

// Counts are the figures of usage. What was refused is in none but Refused.
type Counts struct {
	Invocations   int64
	Errors        int64 // of them: answered 5xx, cut off, or not answered
	ComputeMicros int64 // wall time that a worker had them, in µs
	MemoryMicros  int64 // the same times the worker's memory, in MiB·µs
	BytesIn       int64 // of request bodies
	BytesOut      int64 // of response bodies
	Refused       int64
}

// Add adds figures to figures.
func (c *Counts) Add(d Counts) {
	c.Invocations += d.Invocations
	c.Errors += d.Errors
	c.ComputeMicros += d.ComputeMicros
	c.MemoryMicros += d.MemoryMicros
	c.BytesIn += d.BytesIn
	c.BytesOut += d.BytesOut
	c.Refused += d.Refused
}

// UsageBy says what usage is added up by.
type UsageBy string

// What usage is added up by.
const (
	UsageByFunction UsageBy = "function"
	UsageByKey      UsageBy = "key" // refusals are of no key, and not in it
	UsageByDay      UsageBy = "day"
)

// UsageSum is a sum: of one function, one caller, one day, or of all.
type UsageSum struct {
	ID   string // of the function, the caller or the day; empty of all
	Name string // as it was last
	Counts
	RefusedBy map[string]int64 // Refused by code; nil when it is 0
}
