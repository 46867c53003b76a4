package devpage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/fault"
)

// shown is how many requests, and how many lines, a page has at most.
const shown = 200

// row is a request in the list.
type row struct {
	At time.Time
	*devserver.Request
}

// Class is how the status is coloured; the number itself stands beside it.
func (r row) Class() string {
	switch {
	case r.Status >= 500 || r.Status == 0:
		return "bad"
	case r.Status >= 400:
		return "warn"
	}
	return "good"
}

func (p *page) requests(w http.ResponseWriter, r *http.Request) {
	events, _ := p.dev.Feed().After(0)
	rows := []row{}
	for _, e := range slices.Backward(events) {
		if e.Request != nil && len(rows) < shown {
			rows = append(rows, row{e.At, e.Request})
		}
	}
	p.show(w, http.StatusOK, "requests", "Requests", lastOf(events), rows)
}

func lastOf(events []devserver.Event) int64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

// line is a line that the function wrote.
type line struct {
	At time.Time
	*devserver.Line
}

var errForgotten = fault.New(fault.NotFound, "this request is not kept any more").WithHint("the last ones are: " + Dir)

// one is a request with all that is known of it.
type one struct {
	row
	Headers, AnswerHeaders []field
	Text, AnswerText       text
	Lines                  []line
	Frame                  *devserver.Frame
	Stack                  string
	// What the form to send it again begins with.
	Again form
}

// form is what is sent again.
type form struct {
	Method, Path, Header, Body string
	Credentials                bool // as the holder of the pair
	Cut                        bool // the body is not all of what was sent, or no text
}

func (p *page) request(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	events, _ := p.dev.Feed().After(0)
	var o one
	for _, e := range events {
		switch {
		case e.Request != nil && e.Request.ID == id:
			o.row = row{e.At, e.Request}
		case e.Line != nil && e.Line.RequestID == id:
			o.Lines = append(o.Lines, line{e.At, e.Line})
		}
	}
	if o.Request == nil {
		p.refuse(w, errForgotten)
		return
	}
	o.Headers, o.AnswerHeaders = fields(o.Header), fields(o.Answer.Header)
	o.Text, o.AnswerText = textOf(o.Body), textOf(o.Answer.Body)
	if strings.Contains(o.Answer.Header.Get("Content-Type"), "problem+json") {
		var told struct {
			Stack string
			Frame *devserver.Frame
		}
		if json.Unmarshal(o.Answer.Body, &told) == nil {
			o.Stack, o.Frame = told.Stack, told.Frame
		}
	}
	// What a caller from elsewhere was refused is not sent with the developer's own
	// key by one press of a button.
	shown := o.Shown && !(o.Tunnel && o.Status == http.StatusUnauthorized)
	o.Again = form{Method: o.Method, Path: o.Path, Body: string(o.Body), Credentials: shown, Cut: o.Text.Cut || o.Text.Bytes > 0}
	if o.Query != "" {
		o.Again.Path += "?" + o.Query
	}
	for _, f := range o.Headers {
		if !hopByHop(f.Name) {
			o.Again.Header += f.Name + ": " + f.Value + "\n"
		}
	}
	p.show(w, http.StatusOK, "request", o.Method+" "+o.Path, lastOf(events), o)
}

// field is a field of a header.
type field struct{ Name, Value string }

func fields(h http.Header) (out []field) {
	for name, values := range h {
		for _, v := range values {
			out = append(out, field{name, v})
		}
	}
	slices.SortFunc(out, func(a, b field) int { return strings.Compare(a.Name+"\x00"+a.Value, b.Name+"\x00"+b.Value) })
	return out
}

// text is a body as people read it.
type text struct {
	Text  string
	Bytes int  // of a body that is no text
	Cut   bool // there was more
}

const keptBody = 64 << 10 // as the server keeps

func textOf(body []byte) text {
	t := text{Cut: len(body) >= keptBody}
	if !utf8.Valid(body) && !t.Cut || bytes.IndexByte(body, 0) >= 0 {
		t.Bytes = len(body)
		return t
	}
	var indented bytes.Buffer
	if json.Indent(&indented, body, "", "  ") == nil && indented.Len() < 2*keptBody {
		body = indented.Bytes()
	}
	t.Text = strings.ToValidUTF8(string(body), "�")
	return t
}

func (p *page) logs(w http.ResponseWriter, r *http.Request) {
	events, _ := p.dev.Feed().After(0)
	lines := []line{}
	for _, e := range events {
		switch {
		case e.Line != nil:
			lines = append(lines, line{e.At, e.Line})
		case e.Notice != nil:
			lines = append(lines, line{e.At, &devserver.Line{Level: e.Notice.Level, Text: e.Notice.Text}})
		}
	}
	p.show(w, http.StatusOK, "logs", "Log", lastOf(events), lines[max(len(lines)-shown, 0):])
}

func (p *page) builds(w http.ResponseWriter, r *http.Request) {
	type built struct {
		At time.Time
		*devserver.Build
	}
	events, _ := p.dev.Feed().After(0)
	list := []built{}
	for _, e := range slices.Backward(events) {
		if e.Build != nil && len(list) < 50 {
			list = append(list, built{e.At, e.Build})
		}
	}
	p.show(w, http.StatusOK, "builds", "Builds", lastOf(events), list)
}

func (p *page) routes(w http.ResponseWriter, r *http.Request) {
	var out []devserver.Route
	if f := p.dev.Function(); f != nil {
		out = f.Routes
	}
	p.show(w, http.StatusOK, "routes", "Routes", 0, out)
}

func (p *page) settings(w http.ResponseWriter, r *http.Request) {
	p.show(w, http.StatusOK, "settings", "Settings", 0, p.dev.Function())
}

// plain is a text without what a terminal, or the order in which it is read, could
// be led astray by.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069) {
			return '�'
		}
		return r
	}, s)
}

// word is a level, or a guard, as one word.
func word(v any) string { return strings.ToLower(fmt.Sprint(v)) }

// took is a time in the unit that people would say it in.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return d.Round(100 * time.Millisecond).String()
}
