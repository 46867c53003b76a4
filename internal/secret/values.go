package secret

import "log/slog"

// Values are the values of secrets by name. However they are printed, nothing of
// them is seen.
type Values map[string]string

const redacted = "[redacted]"

// String hides the values.
func (Values) String() string { return redacted }

// GoString hides the values.
func (Values) GoString() string { return redacted }

// LogValue hides the values.
func (Values) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the values.
func (Values) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
