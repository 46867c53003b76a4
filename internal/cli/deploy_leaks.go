package cli

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"slices"

	"postern.dev/postern/internal/bundle"
)

// leastLeak is the shortest value that is looked for: shorter ones stand in any
// text by chance.
const leastLeak = 8

// leaks tells of secrets whose value stands in a file that is deployed, where
// whoever may download the function reads it.
func leaks(archive []byte, secrets map[string]string) (found []string, err error) {
	for name, value := range secrets {
		if len(value) < leastLeak {
			delete(secrets, name)
		}
	}
	if len(secrets) == 0 {
		return nil, nil
	}
	a, err := bundle.Open(archive)
	if err != nil {
		return nil, err
	}
	data, err := a.Sources(nil)
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(r, bundle.MaxBytes))
		r.Close()
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(secrets)) {
			if bytes.Contains(text, []byte(secrets[name])) {
				found = append(found, "the value of "+name+" stands in "+f.Name+", which is deployed: take it out, and give the secret another value")
			}
		}
	}
	return found, nil
}
