package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

// Profile is what `postern auth login` remembers of one key. The secret is not
// in it: that is in the keychain that Keychain names.
type Profile struct {
	Server    string `json:"server"`
	ProjectID string `json:"projectId"`
	KeyID     string `json:"keyId"`
	Keychain  string `json:"keychain"` // "system" or "file"
}

// profiles is the file of all profiles.
type profiles struct {
	Current  string             `json:"current"` // the one that commands use unless told otherwise
	Profiles map[string]Profile `json:"profiles"`
}

const defaultProfile = "default"

// profilePattern has no upper case: see package keychain.
var profilePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ValidServer reports whether s can be the URL of a server: scheme and host,
// and nothing more.
func ValidServer(s string) bool { return validURL(s) }

// Stored returns what is remembered under the profile that the settings name;
// ok is false where nobody signed in under it.
func (c *Config) Stored() (p Profile, ok bool) {
	p, ok = c.stored.Profiles[c.Profile]
	return p, ok
}

// ProfileNames lists the profiles, in no order.
func (c *Config) ProfileNames() (names []string) {
	for name := range c.stored.Profiles {
		names = append(names, name)
	}
	return names
}

// SaveProfile remembers p under the profile that the settings name, and makes
// it the one that commands use.
func (c *Config) SaveProfile(p Profile) error {
	return c.changeProfiles(func(all *profiles) {
		all.Profiles[c.Profile] = p
		all.Current = c.Profile
	})
}

// RemoveProfile forgets the profile that the settings name; existed is false
// where there was none, which is no error.
func (c *Config) RemoveProfile() (existed bool, err error) {
	if c.userDir == "" {
		return false, nil
	}
	return existed, c.changeProfiles(func(all *profiles) {
		_, existed = all.Profiles[c.Profile]
		delete(all.Profiles, c.Profile)
		if all.Current == c.Profile {
			all.Current = defaultProfile
		}
	})
}

// SuspendProfile forgets the profile that the settings name until resume puts
// it back, or SaveProfile puts another in its place. While its secret is
// exchanged for that of another key, nobody finds the old profile beside the
// new secret and sends this to a server that it is not for, also if the
// exchange is cut off.
func (c *Config) SuspendProfile() (resume func() error, err error) {
	old, had := c.Stored()
	current := c.stored.Current
	if !had {
		return func() error { return nil }, nil
	}
	_, err = c.RemoveProfile()
	return func() error {
		return c.changeProfiles(func(all *profiles) {
			all.Profiles[c.Profile] = old
			all.Current = current
		})
	}, err
}

// KeychainFile is where the keychain lies when it is a file. It is empty when
// the user's directory of settings is not known.
func (c *Config) KeychainFile() string {
	if c.userDir == "" {
		return ""
	}
	return filepath.Join(c.userDir, "keychain.age")
}

func (c *Config) changeProfiles(how func(*profiles)) error {
	var all profiles
	err := c.rewrite(profilesFile, func(string) (_ any, err error) {
		if all, err = readProfiles(c.userDir); err != nil {
			return nil, err
		}
		how(&all)
		return all, nil
	})
	if err == nil {
		c.stored = all
	}
	return err
}

// rewrite changes a file of the user's settings as one step among all processes: how
// reads it, and returns what is to be in it.
func (c *Config) rewrite(file string, how func(path string) (any, error)) error {
	if c.userDir == "" {
		return fault.New(fault.Invalid, "there is no directory for the user's settings").WithHint("set HOME, or XDG_CONFIG_HOME to an absolute path")
	}
	path := filepath.Join(c.userDir, file)
	unlock, err := userfile.Lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := how(path)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return userfile.Write(path, append(data, '\n'))
}

const profilesFile = "profiles.json"

// readProfiles reads the file of profiles; where there is none, there are none.
func readProfiles(dir string) (all profiles, err error) {
	none := profiles{Current: defaultProfile, Profiles: map[string]Profile{}}
	if dir == "" {
		return none, nil
	}
	path := filepath.Join(dir, profilesFile)
	data, err := userfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return none, fmt.Errorf("%s is damaged: %w", path, err)
	}
	for name := range all.Profiles {
		if !profilePattern.MatchString(name) {
			return none, fmt.Errorf("%s is damaged: %q is no name of a profile", path, name)
		}
	}
	if all.Profiles == nil {
		all.Profiles = none.Profiles
	}
	if all.Current == "" {
		all.Current = defaultProfile
	}
	return all, nil
}

// userDir is the directory of the user's settings, or empty.
func userDir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "postern")
}
