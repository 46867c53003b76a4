package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/say"
)

// words are what templates can say.
func (c *Console) words() template.FuncMap {
	return template.FuncMap{
		"dir": func() string { return Dir }, "issuer": func() string { return c.o.Issuer }, "gateway": func() string { return c.o.Gateway },
		"time": moment, "ago": func(t *time.Time) string { return say.Ago(*t, time.Now()) }, "count": say.Count, "size": say.Size, "took": say.Took, "percent": say.Percent,
		"plain": say.Plain, "join": func(s []string) string { return strings.Join(s, ", ") }, "query": url.QueryEscape, "segment": url.PathEscape, "ownURL": ownURL,
		"list": func(s ...any) []any { return s }, "plural": say.Plural, "browser": say.Browser, "methodClass": methodClass,
		"lines": func(s []string) string { return strings.Join(s, "\n") },
	}
}

// moment is a time of a template: a value or a pointer; nil and the zero time are none.
func moment(at any) (*time.Time, error) {
	switch at := at.(type) {
	case time.Time:
		if at.IsZero() {
			return nil, nil
		}
		at = at.UTC()
		return &at, nil
	case *time.Time:
		if at == nil || at.IsZero() {
			return nil, nil
		}
		utc := at.UTC()
		return &utc, nil
	}
	return nil, fmt.Errorf("%T is no time", at)
}

// ago is how long ago, or in how long, as people say it.
func ago(t *time.Time) string { return agoAt(*t, time.Now()) }

func agoAt(t, now time.Time) string {
	d := now.Sub(t)
	past := d >= 0
	if !past { // rounded: a session of twelve hours has no eleven at its beginning
		switch d = -d; {
		case d >= 48*time.Hour:
			d = d.Round(24 * time.Hour)
		case d >= time.Hour:
			d = d.Round(time.Hour)
		case d >= time.Minute:
			d = d.Round(time.Minute)
		}
	}
	var text string
	switch {
	case d < 5*time.Second:
		return "now"
	case d < time.Minute:
		text = strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		text = strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		text = strconv.Itoa(int(d.Hours())) + " h"
	case d < 60*24*time.Hour:
		text = strconv.Itoa(int(d.Hours()/24)) + " days"
	default:
		return t.UTC().Format("2 Jan 2006")
	}
	if past {
		return text + " ago"
	}
	return "in " + text
}

func count(n any) string { return say.Count(n) }

// size writes bytes in the unit that suits them.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/unit, 0
	for ; f >= unit && i < 3; i++ {
		f /= unit
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + " " + []string{"KiB", "MiB", "GiB", "TiB"}[i]
}

// took writes milliseconds.
func took(ms float64) string {
	switch {
	case math.IsNaN(ms) || ms < 0:
		return "–"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return count(strconv.FormatFloat(ms/1000, 'f', 1, 64)) + " s"
}

// percent writes a share from 0 to 1.
func percent(share float64) string {
	p := share * 100
	if p > 0 && p < 10 {
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + " %"
}

// ownURL is an address without scheme and host, which are alike in a list.
func ownURL(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	if !ok {
		return address
	}
	return "/" + path
}
