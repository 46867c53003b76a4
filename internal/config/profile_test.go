package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/config"
)

var acme = config.Profile{Server: "https://acme.example", ProjectID: "prj_acme", KeyID: "pak_acme", Keychain: "file"}

// load resolves with the profiles in dir.
func load(t *testing.T, dir string, flags map[string]string, env ...string) *config.Config {
	t.Helper()
	if flags == nil {
		flags = map[string]string{}
	}
	flags["data"] = "/d"
	c, err := config.Load(config.Input{Flags: flags, Environ: environ(env...), Profiles: true, UserDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func save(t *testing.T, dir, name string, p config.Profile) {
	t.Helper()
	if err := load(t, dir, map[string]string{"profile": name}).SaveProfile(p); err != nil {
		t.Fatal(err)
	}
}

func TestProfile_StandsBetweenFileAndDefault(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postern")
	none := load(t, dir, nil)
	if _, ok := none.Stored(); ok || none.Profile != "default" || none.Server != "http://127.0.0.1:8081" || none.Keychain != "system" {
		t.Errorf("before anybody signed in: %+v", none)
	}
	save(t, dir, "acme", acme)
	show := func(c *config.Config) []string {
		rows := []string{c.Profile, c.Server, c.ProjectID, c.KeyID, c.Keychain}
		for i, key := range []string{"profile", "server", "project-id", "key-id", "keychain"} {
			rows[i] += " " + c.Origin(key).String()
		}
		return rows
	}
	settings := write(t, "key-id: pak_file\n")
	for name, tt := range map[string]struct {
		c    *config.Config
		want []string
	}{
		"the one of the last login":   {load(t, dir, nil), []string{"acme default", "https://acme.example profile acme", "prj_acme profile acme", "pak_acme profile acme", "file profile acme"}},
		"another that does not exist": {load(t, dir, map[string]string{"profile": "other"}), []string{"other flag --profile", "http://127.0.0.1:8081 default", " default", " default", "system default"}},
		"the environment wins": {load(t, dir, nil, "POSTERN_PROFILE", "acme", "POSTERN_SERVER", "http://ci", "POSTERN_KEY_ID", "pak_ci", "POSTERN_CONFIG", settings),
			[]string{"acme environment POSTERN_PROFILE", "http://ci environment POSTERN_SERVER", "prj_acme profile acme", "pak_ci environment POSTERN_KEY_ID", "file profile acme"}},
		"the file wins": {load(t, dir, nil, "POSTERN_CONFIG", settings), []string{"acme default", "https://acme.example profile acme", "prj_acme profile acme", "pak_file file " + settings, "file profile acme"}},
		"a flag wins over all": {load(t, dir, map[string]string{"server": "http://flag", "keychain": "system"}, "POSTERN_SERVER", "http://ci"),
			[]string{"acme default", "http://flag flag --server", "prj_acme profile acme", "pak_acme profile acme", "system flag --keychain"}},
	} {
		if d := cmp.Diff(tt.want, show(tt.c)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if c, err := config.Load(config.Input{Flags: map[string]string{"data": "/d"}, Environ: environ(), UserDir: dir}); err != nil || c.KeyID != "" {
		t.Errorf("a server reads the profiles: %v", err)
	}
}

func TestProfile_SaveAndRemove(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postern")
	save(t, dir, "one", config.Profile{KeyID: "pak_1"})
	save(t, dir, "two", config.Profile{KeyID: "pak_2"})
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "profiles.json"): 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	two := load(t, dir, nil)
	if existed, err := two.RemoveProfile(); !existed || err != nil || two.Profile != "two" {
		t.Errorf("the current one: %v, %v", existed, err)
	}
	if existed, err := two.RemoveProfile(); existed || err != nil {
		t.Errorf("once more: %v, %v", existed, err)
	}
	if c := load(t, dir, nil); c.Profile != "default" || c.KeyID != "" {
		t.Errorf("after the current one is gone: %q %q", c.Profile, c.KeyID)
	}
	if c := load(t, dir, map[string]string{"profile": "one"}); c.KeyID != "pak_1" {
		t.Errorf("the other profile: %q", c.KeyID)
	}
}

func TestProfile_Suspend(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "postern")
	if resume, err := load(t, dir, nil).SuspendProfile(); err != nil || resume() != nil {
		t.Errorf("none: %v", err)
	}
	save(t, dir, "one", acme)
	save(t, dir, "two", config.Profile{KeyID: "pak_2"})
	one := load(t, dir, map[string]string{"profile": "one"})
	resume, err := one.SuspendProfile()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := load(t, dir, map[string]string{"profile": "one"}).Stored(); ok {
		t.Error("it is still there")
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	if p, _ := load(t, dir, map[string]string{"profile": "one"}).Stored(); p != acme {
		t.Errorf("it came back as %+v", p)
	}
	if c := load(t, dir, nil); c.Profile != "two" {
		t.Errorf("the current one is now %q", c.Profile)
	}
}

// A profile says where a secret goes: one that others could have written, or
// that cannot be read as a whole, is not used at all.
func TestProfile_Refused(t *testing.T) {
	t.Parallel()
	good := `{"current":"acme","profiles":{"acme":{"server":"https://acme.example","keyId":"pak_1"}}}`
	for name, tt := range map[string]struct {
		text      string
		mode      os.FileMode
		link      bool
		flag      string
		want, fix string
	}{
		"others may read":          {good, 0o644, false, "", "others may read", "chmod 600 "},
		"others may write":         {good, 0o622, false, "", "others may read or write", "chmod 600 "},
		"a symbolic link":          {good, 0o600, true, "", "symbolic link", "move it away"},
		"no JSON":                  {"{", 0o600, false, "", "damaged", "postern auth login"},
		"a name that is a path":    {`{"profiles":{"../x":{}}}`, 0o600, false, "", "damaged", "postern auth login"},
		"a server with a password": {`{"profiles":{"default":{"server":"http://u:p@h"}}}`, 0o600, false, "", "server of the profile default must begin", "server of the profile default"},
		"an unknown keychain":      {`{"profiles":{"default":{"keychain":"x"}}}`, 0o600, false, "", "keychain of the profile default must be one of system, file", ""},
		"upper case":               {good, 0o600, false, "Acme", "--profile must be up to 64 lower-case", "staging"},
		"a slash":                  {good, 0o600, false, "a/b", "--profile must be", ""},
		"a good file":              {good, 0o600, false, "", "", ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "profiles.json")
		if tt.link {
			path = filepath.Join(dir, "target")
			if err := os.Symlink(path, filepath.Join(dir, "profiles.json")); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		flags := map[string]string{"data": "/d"}
		if tt.flag != "" {
			flags["profile"] = tt.flag
		}
		_, err := config.Load(config.Input{Flags: flags, Environ: environ(), Profiles: true, UserDir: dir})
		e, ok := errors.AsType[*config.Error](err)
		if tt.want == "" {
			if err != nil {
				t.Errorf("a good file: %v", err)
			}
			continue
		}
		if !ok || len(e.Problems) != 1 || !strings.Contains(e.Problems[0].Text, tt.want) || !strings.Contains(e.Problems[0].Hint, tt.fix) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
