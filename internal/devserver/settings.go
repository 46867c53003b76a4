package devserver

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
)

// Settings are the environment of a function, as its developer has it.
type Settings struct {
	Own     []Setting // lowest precedence resolved: each name once
	Missing []string  // secrets that are declared and have no value
	// ProjectID is that of the pair, or of the profile; empty: none is known.
	ProjectID string
	// Pair opens guarded handlers, and is given to the function; nil: there is none.
	Pair     *Pair
	Warnings []string
}

// Pair is an access key of the developer's.
type Pair struct {
	KeyID  string
	Secret Value
	From   string // "the environment", "the profile default"
}

// Setting is one name of a function's environment.
type Setting struct {
	Name   string `json:"name"`
	Value  Value  `json:"-"`
	From   string `json:"from"` // "postern.json", ".env", "keychain", "environment", "postern"
	Secret bool   `json:"secret,omitempty"`
}

// Value is a value that formats as [redacted]: it may be a secret.
type Value struct{ text *string }

// NewValue hides a value.
func NewValue(text string) Value { return Value{&text} }

// Reveal returns the value, for the environment of a worker.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// String hides the value.
func (Value) String() string { return "[redacted]" }

// GoString hides the value from %#v.
func (v Value) GoString() string { return v.String() }

// LogValue hides the value from slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON hides the value from encoders.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }

func basicOf(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
