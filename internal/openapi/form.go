package openapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"postern.dev/postern/internal/fault"
)

// Form is what there is to fill in for one operation.
type Form struct {
	Inputs    []Input
	HasBody   bool   // one of JSON
	Body      string // as it was typed
	Example   string // a body that has what must be there
	OtherBody string // the kind of a body that is no JSON
	CanTry    bool   // a form can send it, and it ends
	operation *Operation
}

// Input is a parameter with what was typed for it.
type Input struct {
	Parameter
	Type, Says string
	Field      string // of the form
	Value      string
	Options    []string // nil: any text
}

// Form makes the form of an operation, with nothing filled in but an example of its body.
func (d *Document) Form(o *Operation) (*Form, error) {
	of, other := o.body()
	f := &Form{HasBody: of != nil, OtherBody: other, CanTry: other == "" && o.OperationID != "openTunnel", operation: o}
	for _, p := range o.Parameters {
		if p.In == "header" && p.Name == "Accept" {
			continue
		}
		s := d.resolve(p.Schema)
		f.Inputs = append(f.Inputs, Input{Parameter: p, Type: d.word(s), Says: strings.TrimSpace(p.Description + " " + d.bounds(s)), Field: p.In + "." + p.Name, Options: options(s)})
	}
	if of != nil {
		example, err := json.MarshalIndent(d.example(of), "", "  ")
		if err != nil {
			return nil, err
		}
		f.Example, f.Body = string(example), string(example)
	}
	return f, nil
}

// options are the values that a schema allows, after none of them; nil: it names none.
func options(s *Schema) []string {
	switch {
	case s == nil:
		return nil
	case len(s.Enum) > 0:
		out := []string{""}
		for _, e := range s.Enum {
			out = append(out, text(e))
		}
		return out
	case s.kind() == "boolean":
		return []string{"", "true", "false"}
	}
	return nil
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// Fill takes what was typed, under the names of the fields and "body". What was not
// typed is empty.
func (f *Form) Fill(typed url.Values) {
	for i := range f.Inputs {
		f.Inputs[i].Value = typed.Get(f.Inputs[i].Field)
	}
	if f.HasBody {
		f.Body = typed.Get("body")
	}
}

// Request is one that a form makes. Its URL begins with the path.
type Request struct {
	Method, URL, Body string
	Header            http.Header
}

// Request is the request of what is filled in. A value stays within its place: it is
// one segment of the path, one value of the query.
func (f *Form) Request() (*Request, error) {
	if !f.CanTry {
		return nil, fault.New(fault.Invalid, "this operation cannot be tried here").WithHint("its body is a file: use the command line, or curl")
	}
	r, query := &Request{Method: f.operation.Method, URL: f.operation.Path, Body: f.Body, Header: http.Header{}}, url.Values{}
	for _, in := range f.Inputs {
		value := strings.TrimSpace(in.Value)
		switch {
		case value == "" && (in.Required || in.In == "path"):
			return nil, fault.New(fault.Invalid, in.Name+" is missing").WithHint("fill it in")
		case in.In == "path" && (value == "." || value == ".."):
			return nil, fault.New(fault.Invalid, in.Name+" is no name of anything")
		case in.In == "path":
			r.URL = strings.ReplaceAll(r.URL, "{"+in.Name+"}", url.PathEscape(value))
		case value == "":
		case in.In == "query":
			query.Set(in.Name, value)
		case in.In == "header":
			r.Header.Set(in.Name, value)
		}
	}
	if f.HasBody {
		r.Header.Set("Content-Type", "application/json")
		if !json.Valid([]byte(f.Body)) {
			return nil, fault.New(fault.Invalid, "the body is no JSON").WithHint("names and texts are in double quotes, and the last of a list has no comma after it")
		}
	}
	if len(query) > 0 {
		r.URL += "?" + query.Encode()
	}
	return r, nil
}
