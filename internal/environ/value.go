package environ

import "log/slog"

// Value is what a setting is set to. It prints as [redacted] however it is
// printed: what a name says of its value is a guess, and a log is read by many.
// The zero value is empty.
type Value struct{ text *string }

// NewValue hides a text.
func NewValue(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{&text} // behind a pointer, which is all that %d and %+v of others find
}

// Reveal returns the text, for where it is needed.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// String hides the text; empty stays empty, so that "not set" can be seen.
func (v Value) String() string {
	if v.text == nil {
		return ""
	}
	return "[redacted]"
}

// GoString hides the text from %#v.
func (v Value) GoString() string { return v.String() }

// LogValue hides the text from slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText hides the text from encoders.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
