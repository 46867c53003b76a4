package console

import (
	"net/url"
	"strings"

	"postern.dev/postern/internal/api"
)

func (c *Console) registerFunctionLogs() {
	c.page("GET /p/{project}/functions/{name}/logs", c.functionLogs)
}

// loggedLines is how many lines a page has before others come by the stream.
const loggedLines = 200

// logPage is a part of a function's log.
type logPage struct {
	Name          string
	Level, Search string
	Entries       []api.LogEntry
	Next          string // where a stream goes on; empty: of an older part, which stands still
	Earlier       string // the address of what was before; empty: nothing was
	Newest        string // the address of the newest part, on an older one
	Stream        string // the address of the stream
}

// filter is what is asked for, as an address has it.
func (p logPage) filter() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"level": p.Level, "search": p.Search} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// levels are those of which a log can be asked.
var levels = []string{"debug", "info", "warning", "error"}

// logOf reads a part of a log. view is how its stream tells of what comes.
func (v *visit) logOf(page, view string, q api.LogQuery) (p logPage, err error) {
	f := v.r.URL.Query()
	p = logPage{Name: v.r.PathValue("name"), Search: cutTo(f.Get("search"), 256)}
	for _, l := range levels {
		if f.Get("level") == l {
			p.Level = l
		}
	}
	q.Level, q.Search = p.Level, p.Search
	if id := f.Get("before"); len(id) <= 18 && strings.Trim(id, "0123456789") == "" {
		q.Before = id
	}
	list, err := v.api.Logs(v.r.Context(), p.Name, q)
	if err != nil {
		return p, err
	}
	p.Entries = list.Entries
	here := Dir + v.functionPath(p.Name, page)
	filter := p.filter()
	if q.Before == "" {
		stream := p.filter()
		stream.Set("view", view)
		p.Next, p.Stream = list.Next, Dir+"/api/v1/projects/"+url.PathEscape(v.project)+"/functions/"+url.PathEscape(p.Name)+"/logs/stream?"+stream.Encode()
	} else {
		p.Newest = strings.TrimSuffix(here+"?"+filter.Encode(), "?")
	}
	if list.More && len(p.Entries) > 0 {
		filter.Set("before", p.Entries[0].ID)
		p.Earlier = here + "?" + filter.Encode()
	}
	return p, nil
}

// cutTo is a text of at most so many bytes.
func cutTo(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

func (c *Console) functionLogs(v *visit) error {
	p, err := v.logOf("/logs", "entries", api.LogQuery{Limit: loggedLines, Invocations: true})
	if err != nil {
		return err
	}
	v.script = "logs.js"
	return v.show("logs", "functions", "Logs of "+p.Name, p)
}
