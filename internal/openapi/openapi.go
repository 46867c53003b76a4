// Package openapi reads the control API's description and tells it to people: which
// operations there are, what goes into one and comes out of it, row by row, and which
// request the fields of a form make.
//
// [Read] makes a [Document] of what the API answers at /openapi.json; a [Form] is what
// there is to fill in for one [Operation]. It knows what our own description uses of
// OpenAPI 3.1 and of JSON Schema, no more, and sends nothing. A Document does not change
// once it is read.
package openapi

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Document is the API's own description, as far as it is told.
type Document struct {
	Paths      map[string]map[string]*Operation
	Components struct {
		Schemas map[string]*Schema
	}
	parts []Part
	byID  map[string]*Operation
}

// Part is the operations that are about one thing, by their paths.
type Part struct {
	Name       string
	Operations []*Operation
}

// Operation is one of the API's.
type Operation struct {
	OperationID          string
	Summary, Description string
	Tags                 []string
	Parameters           []Parameter
	RequestBody          *struct {
		Required bool
		Content  map[string]Media
	}
	Responses    map[string]Response
	Method, Path string
}

// Parameter is a value that a request has in its path, its query or its header.
type Parameter struct {
	Name, In, Description string
	Required              bool
	Schema                *Schema
}

// Media is what a body of one kind has.
type Media struct{ Schema *Schema }

// Response is what an operation answers with one status.
type Response struct {
	Description string
	Content     map[string]Media
}

// Read reads a description.
func Read(r io.Reader) (*Document, error) {
	d := &Document{byID: map[string]*Operation{}}
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, err
	}
	byPart := map[string][]*Operation{}
	for path, item := range d.Paths {
		for method, op := range item {
			op.Method, op.Path = strings.ToUpper(method), path
			d.byID[op.OperationID] = op
			name := "Other"
			if len(op.Tags) > 0 {
				name = op.Tags[0]
			}
			byPart[name] = append(byPart[name], op)
		}
	}
	for name, ops := range byPart {
		slices.SortFunc(ops, func(a, b *Operation) int {
			if order := strings.Compare(a.Path, b.Path); order != 0 {
				return order
			}
			return slices.Index(methodOrder, a.Method) - slices.Index(methodOrder, b.Method)
		})
		d.parts = append(d.parts, Part{name, ops})
	}
	slices.SortFunc(d.parts, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	return d, nil
}

var methodOrder = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Operation is the one of an ID; nil: there is none.
func (d *Document) Operation(id string) *Operation { return d.byID[id] }

// Search returns the operations that have a text in their part, method, path, summary
// or ID, in whatever case; all of them for an empty one.
func (d *Document) Search(text string) (out []Part) {
	wanted := strings.ToLower(strings.TrimSpace(text))
	for _, p := range d.parts {
		found := Part{Name: p.Name}
		for _, op := range p.Operations {
			if strings.Contains(strings.ToLower(strings.Join([]string{p.Name, op.Method, op.Path, op.Summary, op.OperationID}, " ")), wanted) {
				found.Operations = append(found.Operations, op)
			}
		}
		if len(found.Operations) > 0 {
			out = append(out, found)
		}
	}
	return out
}

// Changes reports whether an operation may change something.
func (o *Operation) Changes() bool {
	switch {
	case o.Method == http.MethodGet, o.Method == http.MethodHead, o.OperationID == "explain", o.OperationID == "planDeploy":
		return false
	}
	return true
}

// body is what of the operation's body is JSON; nil: it has none. other is the kind
// of one that is not.
func (o *Operation) body() (of *Schema, other string) {
	if o.RequestBody == nil {
		return nil, ""
	}
	for kind, m := range o.RequestBody.Content {
		if kind == "application/json" {
			return m.Schema, ""
		}
		other = kind
	}
	return nil, other
}
