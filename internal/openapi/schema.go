package openapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"postern.dev/postern/internal/say"
)

// Schema is what JSON Schema says of a value, as far as ours say anything.
type Schema struct {
	Ref                          string `json:"$ref"`
	Type                         any    // a text, or a list of them
	Format, Description, Pattern string
	Enum                         []any
	Default                      any
	Minimum, Maximum             *float64
	MinLength, MaxLength         *int
	Properties                   map[string]*Schema
	Required                     []string
	Items                        *Schema
	AdditionalProperties         json.RawMessage
}

func (d *Document) resolve(s *Schema) *Schema {
	if s == nil || s.Ref == "" {
		return s
	}
	return d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
}

// kind is the type of a schema, without null.
func (s *Schema) kind() string {
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
func (s *Schema) more() *Schema {
	if len(s.AdditionalProperties) == 0 || s.AdditionalProperties[0] != '{' {
		return nil
	}
	m := new(Schema)
	if json.Unmarshal(s.AdditionalProperties, m) != nil {
		return nil
	}
	return m
}

// word is what people call a type.
func (d *Document) word(s *Schema) string {
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
func (d *Document) bounds(s *Schema) string {
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
	number := func(f float64) string { return say.Count(strconv.FormatFloat(f, 'f', -1, 64)) }
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
func (d *Document) example(s *Schema) any {
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
