// Package say writes for people what is a number: one way for all pages.
package say

import (
	"fmt"
	"strings"
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
