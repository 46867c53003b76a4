package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"postern.dev/postern/internal/fault"
)

// Input is what [Load] resolves from.
type Input struct {
	// File is the YAML file; empty takes POSTERN_CONFIG, and if that is empty
	// too there is no file.
	File string
	// Flags holds the flags that were given, by key.
	Flags map[string]string
	// Environ reads a variable; nil means the environment of the process.
	Environ func(string) (string, bool)
	// Apart takes nothing from file or environment but the path of Node: for
	// a throw-away server that must not touch what a real one keeps.
	Apart bool
	// Profiles reads what `postern auth login` remembered, from UserDir: for
	// commands that talk to a server. A server is not held up by it.
	Profiles bool
	// UserDir is the directory of the user's settings; empty takes
	// os.UserConfigDir and "postern".
	UserDir string
}

// Load resolves all settings and validates them. Its error is an [*Error] that
// tells every problem at once.
func Load(in Input) (*Config, error) {
	env := in.Environ
	if env == nil {
		env = os.LookupEnv
	}
	c := &Config{origins: make(map[string]Origin, len(fields))}
	var problems []Problem
	if in.Apart {
		env = apart(env)
	}
	if in.File == "" {
		in.File, _ = env("POSTERN_CONFIG")
	}
	fromFile, bad := readFile(in.File)
	problems = append(problems, bad...)
	c.stored.Current = defaultProfile
	if in.Profiles {
		problems = append(problems, c.readStored(in.UserDir)...)
	}
	for i := range fields {
		f := &fields[i]
		if p := resolve(c, f, in, fromFile, env); p != nil {
			problems = append(problems, *p)
		}
	}
	problems = append(problems, c.check(problems)...)
	if len(problems) > 0 {
		return nil, &Error{problems}
	}
	return c, nil
}

// resolve sets one field from the strongest source that has it.
func resolve(c *Config, f *field, in Input, fromFile map[string]string, env func(string) (string, bool)) *Problem {
	raw, origin := f.preset(c), Origin{Source: FromDefault}
	if f.key == "data" {
		raw = defaultData(env)
	}
	if p, ok := c.Stored(); ok && f.stored != nil {
		if v := f.stored(p); v != "" {
			raw, origin = v, Origin{FromProfile, c.Profile}
		}
	}
	if v, _ := env(f.standard); v != "" && f.standard != "" {
		raw, origin = v, Origin{FromEnvironment, f.standard}
	}
	if v, ok := fromFile[f.key]; ok {
		raw, origin = v, Origin{FromFile, in.File}
	}
	// An empty variable counts as unset: `POSTERN_LISTEN= postern serve` is how
	// a shell takes one away for a single command.
	if v, ok := env(variable(f.key)); ok && v != "" {
		raw, origin = v, Origin{FromEnvironment, variable(f.key)}
	}
	if v, ok := in.Flags[f.key]; ok {
		raw, origin = v, Origin{FromFlag, "--" + f.key}
	}
	c.origins[f.key] = origin
	if err := f.value(c).Set(raw); err != nil {
		return &Problem{Key: f.key, Text: fmt.Sprintf("%s %s", spelled(f.key, origin), err), Hint: "change " + place(f.key, origin)}
	}
	return nil
}

// readStored reads the profiles.
func (c *Config) readStored(dir string) []Problem {
	if c.userDir = dir; dir == "" {
		c.userDir = userDir()
	}
	all, err := readProfiles(c.userDir)
	c.stored = all
	if err == nil {
		return nil
	}
	p := Problem{Key: "profile", Text: "the profiles cannot be read: " + err.Error(), Hint: "correct " + filepath.Join(c.userDir, profilesFile) + ", or remove it and sign in again: postern auth login"}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint != "" {
		p.Hint = f.Hint
	}
	return []Problem{p}
}

// apart hides the variables that set something, but one, from a throw-away server.
func apart(env func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if (strings.HasPrefix(name, "POSTERN_") || strings.HasPrefix(name, "OTEL_")) && name != variable("node") {
			return "", false
		}
		return env(name)
	}
}

// readFile returns the settings of a YAML file as text.
func readFile(path string) (map[string]string, []Problem) {
	if path == "" {
		return nil, nil
	}
	k := koanf.New("\x00") // no delimiter: our keys are flat
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		hint := "correct the file, or leave out --config"
		if os.IsNotExist(err) {
			return nil, []Problem{{Key: "config", Text: "there is no file " + path, Hint: hint}}
		}
		reason := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " ")
		return nil, []Problem{{Key: "config", Text: "file " + path + " cannot be read: " + reason, Hint: hint}}
	}
	values := make(map[string]string)
	var problems []Problem
	for key, v := range k.Raw() {
		text, ok := scalar(v)
		switch {
		case !known(key):
			problems = append(problems, Problem{Key: key, Text: fmt.Sprintf("file %s has a setting %q, which does not exist", path, key), Hint: didYouMean(key)})
		case !ok:
			problems = append(problems, Problem{Key: key, Text: fmt.Sprintf("%q in %s must be a single value", key, path), Hint: "write it as " + key + ": <value>"})
		default:
			values[key] = text
		}
	}
	sort.Slice(problems, func(i, j int) bool { return problems[i].Key < problems[j].Key })
	return values, problems
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), true
	case nil:
		return "", true
	default:
		return "", false
	}
}

func known(key string) bool {
	for i := range fields {
		if fields[i].key == key {
			return true
		}
	}
	return false
}

// defaultData follows the XDG base directory specification for people and the
// filesystem hierarchy for root. It is empty when neither can be known.
func defaultData(env func(string) (string, bool)) string {
	if os.Geteuid() == 0 {
		return "/var/lib/postern"
	}
	if dir, _ := env("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "postern")
	}
	if home, _ := env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "postern")
	}
	return ""
}

// DrawsScreens reports whether the terminal can move its cursor.
func DrawsScreens() bool {
	term := os.Getenv("TERM")
	return term != "dumb" && (term != "" || runtime.GOOS == "windows")
}

// NoColor reports whether the environment asks for output without colour
// (no-color.org).
func NoColor() bool {
	v, ok := os.LookupEnv("NO_COLOR")
	return ok && v != "" || os.Getenv("TERM") == "dumb"
}
