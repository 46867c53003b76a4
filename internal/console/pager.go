package console

import "net/url"

// pager is where a list goes on and where it begins, as addresses of this page with
// another value of one of its settings; empty: it does not go on, or it begins here.
func (v *visit) pager(name, next string) (onward, first string) {
	if next != "" {
		onward = v.turn(name, next)
	}
	return onward, v.turn(name, "")
}

// turn is the address of this page with another value of one of its settings; empty
// where it is to be taken away and is not there.
func (v *visit) turn(name, value string) string {
	q := url.Values{}
	for n, values := range v.r.URL.Query() {
		if n != name && n != "said" && len(values) > 0 && values[0] != "" {
			q.Set(n, values[0])
		}
	}
	if value != "" {
		q.Set(name, value)
	} else if !v.r.URL.Query().Has(name) {
		return ""
	}
	return "?" + q.Encode()
}
