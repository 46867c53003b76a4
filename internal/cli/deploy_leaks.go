package cli

import (
	"maps"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/redact"
)

// leaks tells of secrets whose value stands in a file that is deployed, but of those
// that are so short that they stand in any text by chance.
func leaks(archive []byte, secrets map[string]string) ([]string, error) {
	maps.DeleteFunc(secrets, func(_, value string) bool { return len(value) < redact.MinLength })
	if len(secrets) == 0 {
		return nil, nil
	}
	a, err := bundle.Open(archive)
	if err != nil {
		return nil, err
	}
	return a.Leaks(secrets)
}
