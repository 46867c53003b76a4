package console

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postern.dev/postern/internal/fault"
)

// document is the API's own description, as far as the reference tells it.
type document struct {
	Paths      map[string]map[string]*operation
	Components struct {
		Schemas map[string]*schema
	}
	parts []part
	byID  map[string]*operation
}

// part is the operations that are about one thing.
type part struct {
	Name       string
	Operations []*operation
}

// operation is one of the API's.
type operation struct {
	OperationID          string
	Summary, Description string
	Tags                 []string
	Parameters           []parameter
	RequestBody          *struct {
		Required bool
		Content  map[string]media
	}
	Responses    map[string]response
	Method, Path string
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Schema                *schema
}

type media struct{ Schema *schema }

type response struct {
	Description string
	Content     map[string]media
}

// schema is what JSON Schema says of a value, as far as ours say anything.
type schema struct {
	Ref                          string `json:"$ref"`
	Type                         any    // a text, or a list of them
	Format, Description, Pattern string
	Enum                         []any
	Default                      any
	Minimum, Maximum             *float64
	MinLength, MaxLength         *int
	Properties                   map[string]*schema
	Required                     []string
	Items                        *schema
	AdditionalProperties         json.RawMessage
}

// reference is the API's description, which does not change while the process runs.
func (c *Console) reference(v *visit) (*document, error) {
	if d := c.ref.Load(); d != nil {
		return d, nil
	}
	r, err := http.NewRequestWithContext(v.r.Context(), http.MethodGet, "http://console.invalid/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	res, err := v.api.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	d, err := readDocument(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fault.Wrap(fmt.Errorf("answered %d: %w", res.StatusCode, err), fault.Unavailable, "the API's description cannot be read")
	}
	c.ref.Store(d)
	return d, nil
}

func readDocument(r io.Reader) (*document, error) {
	d := &document{byID: map[string]*operation{}}
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, err
	}
	byPart := map[string][]*operation{}
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
		slices.SortFunc(ops, func(a, b *operation) int {
			if order := strings.Compare(a.Path, b.Path); order != 0 {
				return order
			}
			return slices.Index(methodOrder, a.Method) - slices.Index(methodOrder, b.Method)
		})
		d.parts = append(d.parts, part{name, ops})
	}
	slices.SortFunc(d.parts, func(a, b part) int { return strings.Compare(a.Name, b.Name) })
	return d, nil
}

var methodOrder = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Changes reports whether an operation may change something.
func (o *operation) Changes() bool {
	switch {
	case o.Method == http.MethodGet, o.Method == http.MethodHead, o.OperationID == "explain", o.OperationID == "planDeploy":
		return false
	}
	return true
}

// Class is the class of the method's sign.
func (o *operation) Class() string {
	switch {
	case o.Method == http.MethodDelete:
		return "bad"
	case !o.Changes():
		return "good"
	}
	return "warn"
}

// body is what of the operation's body is JSON; nil: it has none. other is the kind
// of one that is not.
func (o *operation) body() (of *schema, other string) {
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

// schemaField is one value of a schema, as a row of a table.
type schemaField struct {
	Name, Type, Says string
	Required         bool
	Depth            int
}

// deepest is how deep a schema is told; what is below is rarely looked for.
const deepest = 5

// fields tells a schema row by row, what is within a value below it.
func (d *document) fields(s *schema, depth int) (out []schemaField) {
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
		out = append(out, schemaField{Name: name, Type: d.word(p), Says: strings.TrimSpace(says + " " + d.bounds(of)), Required: slices.Contains(s.Required, name), Depth: depth})
		if within := d.within(of); within != nil {
			out = append(out, d.fields(within, depth+1)...)
		}
	}
	return out
}

// within is the object that a value is, or is a list or a map of.
func (d *document) within(s *schema) *schema {
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

func (d *document) resolve(s *schema) *schema {
	if s == nil || s.Ref == "" {
		return s
	}
	return d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
}

// kind is the type of a schema, without null.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		for _, k := range t {
			if k, ok := k.(string); ok && k != "null" {
				return k
			}
		}
	}
	return ""
}

// more is the schema of what a map has; nil: it is no map.
func (s *schema) more() *schema {
	if len(s.AdditionalProperties) == 0 || s.AdditionalProperties[0] != '{' {
		return nil
	}
	m := new(schema)
	if json.Unmarshal(s.AdditionalProperties, m) != nil {
		return nil
	}
	return m
}

// word is what people call a type.
func (d *document) word(s *schema) string {
	if s = d.resolve(s); s == nil {
		return ""
	}
	switch k := s.kind(); {
	case k == "array":
		return "list of " + d.word(s.Items)
	case k == "object" && s.more() != nil:
		return "map of " + d.word(s.more())
	case s.Format == "date-time":
		return "time"
	case s.Format == "date", s.Format == "binary", s.Format == "uri":
		return s.Format
	case k == "":
		return "any"
	default:
		return k
	}
}

// bounds are a schema's limits in words.
func (d *document) bounds(s *schema) string {
	if s == nil {
		return ""
	}
	var out []string
	if of := d.resolve(s.Items); len(s.Enum) == 0 && of != nil {
		s = of
	}
	if len(s.Enum) > 0 {
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprint(e))
		}
		out = append(out, "One of "+strings.Join(words, ", ")+".")
	}
	if s.Default != nil {
		out = append(out, fmt.Sprintf("Default: %v.", s.Default))
	}
	number := func(f float64) string { return count(strconv.FormatFloat(f, 'f', -1, 64)) }
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		out = append(out, number(*s.Minimum)+" to "+number(*s.Maximum)+".")
	case s.Minimum != nil:
		out = append(out, "At least "+number(*s.Minimum)+".")
	case s.Maximum != nil:
		out = append(out, "At most "+number(*s.Maximum)+".")
	}
	if s.MaxLength != nil {
		out = append(out, "At most "+strconv.Itoa(*s.MaxLength)+" characters.")
	}
	return strings.Join(out, " ")
}

// example is a body that has what must be there.
func (d *document) example(s *schema) any {
	if s = d.resolve(s); s == nil {
		return nil
	}
	switch {
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	}
	switch s.kind() {
	case "object":
		out := map[string]any{}
		for _, name := range s.Required {
			out[name] = d.example(s.Properties[name])
		}
		return out
	case "array":
		return []any{}
	case "integer", "number":
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 0
	case "boolean":
		return false
	}
	return ""
}
