// Package say writes numbers, sizes, times and names for people, in one way for all
// pages: [Count], [Size], [Took], [Percent], [Plural], [Ago]; [Plain] and [Browser] for
// what others wrote. It makes text, which whoever shows it still has to escape.
package say

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Count writes a number, or the text of one, with its thousands apart.
func Count(n any) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, rest, _ := strings.Cut(s, ".")
	var b strings.Builder
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	if rest != "" {
		rest = "." + rest
	}
	return sign + b.String() + rest
}

// Ago writes how long before now t was, or in how long it will be; as a day where that
// is far.
func Ago(t, now time.Time) string {
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

// Size writes bytes in the unit that suits them.
func Size(n int64) string {
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

// Took writes milliseconds.
func Took(ms float64) string {
	switch {
	case math.IsNaN(ms) || ms < 0:
		return "–"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return Count(strconv.FormatFloat(ms/1000, 'f', 1, 64)) + " s"
}

// Percent writes a share from 0 to 1.
func Percent(share float64) string {
	p := share * 100
	if p > 0 && p < 10 {
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + " %"
}

// Plural is a number with its noun.
func Plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + more
}

// Plain shows characters that would not be seen, or that would turn the text around
// them, as what they are: a name must not look like another.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar {
			return '␦'
		}
		return r
	}, s)
}

// Browser is a browser and its system as people call them, of what it calls
// itself; what is no browser is told as it is.
func Browser(agent string) string {
	first := func(of [][2]string) string {
		for _, o := range of {
			if strings.Contains(agent, o[0]) {
				return o[1]
			}
		}
		return ""
	}
	name := first([][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}})
	system := first([][2]string{{"iPhone", "an iPhone"}, {"iPad", "an iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Macintosh", "a Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}})
	if !strings.HasPrefix(agent, "Mozilla/5.0 (") || name == "" || system == "" {
		return agent
	}
	return name + " on " + system
}
