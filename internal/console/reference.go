package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
)

func (c *Console) registerReference() {
	c.page("GET /p/{project}/api", c.referenceIndex)
	c.page("GET /p/{project}/api/{operation}", c.describeOperation)
	c.page("POST /p/{project}/api/{operation}", c.tryOperation)
}

// referencePage is what the first page of the reference shows.
type referencePage struct {
	Query string
	Parts []part
	Count int
}

func (c *Console) referenceIndex(v *visit) error {
	d, err := c.reference(v)
	if err != nil {
		return err
	}
	body := referencePage{Query: v.r.URL.Query().Get("q")}
	wanted := strings.ToLower(strings.TrimSpace(body.Query))
	for _, p := range d.parts {
		found := part{Name: p.Name}
		for _, op := range p.Operations {
			if strings.Contains(strings.ToLower(strings.Join([]string{p.Name, op.Method, op.Path, op.Summary, op.OperationID}, " ")), wanted) {
				found.Operations = append(found.Operations, op)
			}
		}
		if len(found.Operations) > 0 {
			body.Parts = append(body.Parts, found)
			body.Count += len(found.Operations)
		}
	}
	return v.show("reference", "api", "API reference", body)
}

// operationPage is what the page of one operation shows.
type operationPage struct {
	*operation
	Inputs    []input
	Fields    []schemaField // of the body
	OtherBody string        // the kind of a body that is no JSON
	Answers   []told
	Example   string // what the form begins with
	Body      string // of the form
	HasBody   bool
	Asks      *attempt // what is to be confirmed first; nil: nothing
	Got       *got     // what was answered; nil: nobody tried
	CanTry    bool
}

// input is a parameter with what was typed for it.
type input struct {
	parameter
	Type, Says string
	Field      string // of the form
	Value      string
	Options    []string // nil: any text
}

// told is an answer of an operation.
type told struct {
	Status, Description, Kind string
	Fields                    []schemaField
}

func (c *Console) describeOperation(v *visit) error {
	body, err := c.operationPage(v, nil)
	if err != nil {
		return err
	}
	return v.show("operation", "api", body.Summary, body)
}

var errNoOperation = fault.New(fault.NotFound, "the API has no such operation").WithHint("the reference lists all of them")

// operationPage tells an operation; form is what was typed, nil: nothing.
func (c *Console) operationPage(v *visit, form url.Values) (*operationPage, error) {
	d, err := c.reference(v)
	if err != nil {
		return nil, err
	}
	op := d.byID[v.r.PathValue("operation")]
	if op == nil {
		return nil, errNoOperation
	}
	of, other := op.body()
	body := &operationPage{operation: op, OtherBody: other, HasBody: of != nil, Fields: d.fields(of, 0), CanTry: other == "" && op.OperationID != "openTunnel"}
	for _, p := range op.Parameters {
		if p.In == "header" && p.Name == "Accept" {
			continue
		}
		in := input{parameter: p, Type: d.word(p.Schema), Says: strings.TrimSpace(p.Description + " " + d.bounds(d.resolve(p.Schema))), Field: p.In + "." + p.Name, Value: form.Get(p.In + "." + p.Name)}
		if s := d.resolve(p.Schema); s != nil && (len(s.Enum) > 0 || s.kind() == "boolean") {
			in.Options = []string{""}
			for _, e := range s.Enum {
				in.Options = append(in.Options, text(e))
			}
			if len(s.Enum) == 0 {
				in.Options = append(in.Options, "true", "false")
			}
		}
		if form == nil && p.Name == "projectId" {
			in.Value = v.project
		}
		body.Inputs = append(body.Inputs, in)
	}
	if of != nil {
		example, err := json.MarshalIndent(d.example(of), "", "  ")
		if err != nil {
			return nil, err
		}
		if body.Example = string(example); form == nil {
			body.Body = body.Example
		} else {
			body.Body = form.Get("body")
		}
	}
	body.Answers = d.answers(op)
	return body, nil
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// answers are those of an operation, those that fail without their shape: it is one.
func (d *document) answers(op *operation) (out []told) {
	for status, r := range op.Responses {
		a := told{Status: status, Description: r.Description}
		for kind, m := range r.Content {
			if a.Kind == "" || kind < a.Kind {
				a.Kind = kind
			}
			if status < "400" && kind == "application/json" {
				a.Fields = d.fields(m.Schema, 0)
			}
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b told) int { return strings.Compare(a.Status, b.Status) })
	return out
}

// attempt is a request that somebody wants to try.
type attempt struct {
	Method, URL, Body string
	Fields            [][2]string // of the form, to be sent again
}

// got is what was answered.
type got struct {
	Status      int
	Text, Class string
	Kind, Body  string
	Took        float64 // ms
	Cut         string  // why there is no more of it
}

// tryOperation asks the API what somebody typed, in their name. What may change
// something is shown first.
func (c *Console) tryOperation(v *visit) error {
	form := v.r.PostForm
	body, err := c.operationPage(v, form)
	if err != nil {
		return err
	}
	a, header, err := body.attempt()
	if err != nil {
		return v.mistaken(err, "operation", "api", body.Summary, body)
	}
	if body.Changes() && form.Get("confirmed") != "yes" {
		for name, values := range form {
			if name != "csrf" && len(values) > 0 {
				a.Fields = append(a.Fields, [2]string{name, values[0]})
			}
		}
		body.Asks = a
		return v.show("operation", "api", body.Summary, body)
	}
	if body.Got, err = c.try(v, a, header); err != nil {
		return v.mistaken(err, "operation", "api", body.Summary, body)
	}
	return v.show("operation", "api", body.Summary, body)
}

// attempt is the request that the inputs make.
func (p *operationPage) attempt() (*attempt, http.Header, error) {
	if !p.CanTry {
		return nil, nil, fault.New(fault.Invalid, "this operation cannot be tried here").WithHint("its body is a file: use the command line, or curl")
	}
	path, query, header := p.Path, url.Values{}, http.Header{}
	for _, in := range p.Inputs {
		value := strings.TrimSpace(in.Value)
		switch {
		case value == "" && (in.Required || in.In == "path"):
			return nil, nil, fault.New(fault.Invalid, in.Name+" is missing").WithHint("fill it in")
		case in.In == "path" && (value == "." || value == ".."):
			return nil, nil, fault.New(fault.Invalid, in.Name+" is no name of anything")
		case in.In == "path":
			path = strings.ReplaceAll(path, "{"+in.Name+"}", url.PathEscape(value))
		case value == "":
		case in.In == "query":
			query.Set(in.Name, value)
		case in.In == "header":
			header.Set(in.Name, value)
		}
	}
	if p.HasBody {
		header.Set("Content-Type", "application/json")
		if !json.Valid([]byte(p.Body)) {
			return nil, nil, fault.New(fault.Invalid, "the body is no JSON").WithHint("names and texts are in double quotes, and the last of a list has no comma after it")
		}
	}
	a := &attempt{Method: p.Method, URL: path, Body: p.Body}
	if len(query) > 0 {
		a.URL += "?" + query.Encode()
	}
	return a, header, nil
}

// How long an answer may take, and how much of it is shown: some never end.
const (
	tryFor   = 5 * time.Second
	tryBytes = 256 << 10
)

func (c *Console) try(v *visit, a *attempt, header http.Header) (*got, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), tryFor)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, a.Method, "http://console.invalid"+a.URL, strings.NewReader(a.Body))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "this is no request")
	}
	r.Header = header
	began := time.Now()
	res, err := v.api.HTTP.Do(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return &got{Text: "no answer", Class: "warn", Cut: "Nothing was answered within " + strconv.Itoa(int(tryFor.Seconds())) + " s. Whether it was done is to be seen in the audit log."}, nil
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, tryBytes))
	out := &got{Status: res.StatusCode, Text: http.StatusText(res.StatusCode), Class: "good", Kind: res.Header.Get("Content-Type"), Took: float64(time.Since(began).Microseconds()) / 1000}
	if res.StatusCode >= 400 {
		out.Class = "bad"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		out.Cut = "It goes on; this is what came within " + strconv.Itoa(int(tryFor.Seconds())) + " s."
	case err != nil:
		out.Cut = "The answer was cut off."
	case len(data) == tryBytes:
		out.Cut = "There is more; this is the first of it."
	}
	var pretty bytes.Buffer
	switch {
	case !utf8.Valid(data) && out.Cut == "":
		out.Body = size(int64(len(data))) + " that are no text"
	case json.Indent(&pretty, data, "", "  ") == nil:
		out.Body = pretty.String()
	default:
		out.Body = strings.ToValidUTF8(string(data), "\uFFFD")
	}
	return out, nil
}
