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
		"list": func(s ...any) []any { return s }, "plural": say.Plural, "browser": say.Browser, "methodClass": methodClass, "noMistake": func() wrongUser { return wrongUser{} },
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

// ownURL is an address without scheme and host, which are alike in a list.
func ownURL(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	if !ok {
		return address
	}
	return "/" + path
}
