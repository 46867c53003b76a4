package openapi

import (
	"slices"
	"strings"
)

// Field is one value of a schema, as a row of a table.
type Field struct {
	Name, Type, Says string
	Required         bool
	Depth            int
}

// deepest is how deep a schema is told; what is below is rarely looked for.
const deepest = 5

// Fields are what the body of an operation has, if it is JSON.
func (d *Document) Fields(o *Operation) []Field {
	of, _ := o.body()
	return d.fields(of, 0)
}

// fields tells a schema row by row, what is within a value below it.
func (d *Document) fields(s *Schema, depth int) (out []Field) {
	s = d.resolve(s)
	for s != nil && s.kind() == "array" && depth == 0 {
		s = d.resolve(s.Items)
	}
	if s == nil || depth > deepest {
		return nil
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if x, y := slices.Contains(s.Required, a), slices.Contains(s.Required, b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		p := s.Properties[name]
		says, of := p.Description, d.resolve(p)
		if says == "" && of != nil {
			says = of.Description
		}
		out = append(out, Field{Name: name, Type: d.word(p), Says: strings.TrimSpace(says + " " + d.bounds(of)), Required: slices.Contains(s.Required, name), Depth: depth})
		if within := d.within(of); within != nil {
			out = append(out, d.fields(within, depth+1)...)
		}
	}
	return out
}

// within is the object that a value is, or is a list or a map of.
func (d *Document) within(s *Schema) *Schema {
	for range 3 {
		switch {
		case s == nil:
			return nil
		case s.kind() == "array":
			s = d.resolve(s.Items)
		case len(s.Properties) > 0:
			return s
		case s.more() != nil:
			s = d.resolve(s.more())
		default:
			return nil
		}
	}
	return nil
}

// Answer is one that an operation gives.
type Answer struct {
	Status, Description string
	Kind                string  // of its body; empty: it has none
	Fields              []Field // of a good answer's body; those that fail are all alike
}

// Answers are those of an operation, by their status.
func (d *Document) Answers(o *Operation) (out []Answer) {
	for status, r := range o.Responses {
		a := Answer{Status: status, Description: r.Description}
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
	slices.SortFunc(out, func(a, b Answer) int { return strings.Compare(a.Status, b.Status) })
	return out
}
