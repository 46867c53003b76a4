package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"postern.dev/postern/internal/userfile"
)

// Environ is the environment of the process, as NAME=value: for a function that
// is run where its developer is.
func Environ() []string { return os.Environ() }

const namesFile = "secrets.json"

// secretNames is the file that lists the names of functions' secrets, because no
// keychain can be asked for them everywhere: by kind of keychain, by function.
type secretNames map[string]map[string][]string

// SecretNames lists the names of the secrets that the keychain of the settings
// was given for a function, sorted. It is an index and may be wrong after a
// crash: what the keychain says counts.
func (c *Config) SecretNames(function string) ([]string, error) {
	if c.userDir == "" {
		return nil, nil
	}
	all, err := readSecretNames(filepath.Join(c.userDir, namesFile))
	return all[c.Keychain][function], err
}

// NoteSecrets adds names to the index, and takes others out of it.
func (c *Config) NoteSecrets(function string, add, remove []string) error {
	if len(add)+len(remove) == 0 {
		return nil
	}
	return c.rewrite(namesFile, func(path string) (any, error) {
		all, err := readSecretNames(path)
		if err != nil {
			return nil, err
		}
		if all[c.Keychain] == nil {
			all[c.Keychain] = map[string][]string{}
		}
		names := append(slices.Clone(all[c.Keychain][function]), add...)
		slices.Sort(names)
		names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return slices.Contains(remove, n) })
		if len(names) == 0 {
			delete(all[c.Keychain], function)
		} else {
			all[c.Keychain][function] = names
		}
		return all, nil
	})
}

// readSecretNames reads the index. One that is damaged is an empty one: what is
// declared is found without it, and it is written anew at the next change.
func readSecretNames(path string) (secretNames, error) {
	all := secretNames{}
	data, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(data, &all) != nil || all == nil {
		return secretNames{}, nil
	}
	return all, nil
}

// LockSecrets waits until no other command changes secrets of functions: what one
// writes into several places is then of one of them.
func (c *Config) LockSecrets() (unlock func(), err error) {
	if c.userDir == "" {
		return func() {}, nil
	}
	return userfile.Lock(filepath.Join(c.userDir, "secrets.change"))
}
