// Package environ finds out with which settings a function runs: the variables
// and secrets of its manifest, of the .env file beside it, of the keychain, and
// where it is run locally of the process's environment.
//
// [ReadDotenv] reads the file, [Resolve] puts all together, and [Resolved] is the
// type to know: each setting with its value, whether it is a secret, and where it
// is from. Where one stands in several places, the later of these wins: the
// manifest's variables, the keychain, a value in .env, the environment. A blank
// value never wins: in .env it says that the name is a secret whose value lies
// elsewhere.
//
// A setting is a secret where the manifest's secrets name it, where its key is
// blank in .env, or where .env gives a value to a name that reads like a
// credential's. What is a secret in one place and a variable in the manifest is
// refused: one of the two would be committed, or shown.
//
// No value is ever in what the package says, and it writes none: only lines KEY=
// of .env ([AddKeys], [CreateDotenv]).
package environ

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// Source is where a value is from.
type Source string

// The sources, in the order in which they win. That of the manifest's variables
// is its file's name.
const (
	FromPostern  Source = function.SourcePostern
	FromSinch    Source = function.SourceSinch
	FromKeychain Source = "keychain"
	FromDotenv   Source = ".env"
	FromProcess  Source = "environment"
)

// Keychain is where a person's secrets are. Get fails with the kind NotFound
// where there is none of that account, and with Unavailable where nothing answers.
type Keychain interface {
	Get(ctx context.Context, account string) (string, error)
}

// Account is where the keychain has a secret of a function: in a namespace of the
// function's name, which has no "/". Those who signed in are beneath "auth/", in
// lower case, which a keychain need not tell from upper case: a function of that
// name has a namespace that no function can be named after.
func Account(function, key string) string {
	if function == "auth" {
		function = "fn-auth"
	}
	return function + "/" + key
}

// Input is what settings are resolved from.
type Input struct {
	Manifest function.Manifest
	Dotenv   Dotenv
	Keychain Keychain // nil: none is asked
	// Known are the names of secrets that the keychain is known to hold for the
	// function: a keychain cannot be asked for them.
	Known []string
	// Process are variables as NAME=value that count for names which something
	// else declares; nil: the function is not run here.
	Process []string
}

// Setting is one variable or secret that has a value.
type Setting struct {
	Name   string
	Value  Value
	Secret bool
	From   Source
	Line   int // of .env; else 0
}

// Place says where the value is from, for people.
func (s Setting) Place() string {
	if s.Line > 0 {
		return fmt.Sprintf("%s:%d", s.From, s.Line)
	}
	return string(s.From)
}

// Resolved is what a function is to run with. Its lists are sorted by name.
type Resolved struct {
	Settings []Setting
	// Declares are the names of all secrets that the function needs, Missing those
	// that have no value here: the platform may have one.
	Declares, Missing []string
	// Unasked says why the keychain was not asked for those of Missing that it may
	// have; empty: it was.
	Unasked string
	// Base are values of the platform's own names that .env or the environment
	// has: of use where the function is run locally, and never deployed.
	Base     []Setting
	Warnings []string // sentences for the developer
}

// Variables are the plain settings that .env or the environment adds to the
// manifest's, or has otherwise.
func (r Resolved) Variables() map[string]string {
	return r.choose(func(s Setting) bool { return !s.Secret && s.From != FromPostern && s.From != FromSinch })
}

// Secrets are the secrets that have a value here.
func (r Resolved) Secrets() map[string]string {
	return r.choose(func(s Setting) bool { return s.Secret })
}

func (r Resolved) choose(which func(Setting) bool) map[string]string {
	out := map[string]string{}
	for _, s := range r.Settings {
		if which(s) {
			out[s.Name] = s.Value.Reveal()
		}
	}
	return out
}

// Environ are all settings as a process takes them.
func (r Resolved) Environ() []string {
	var out []string
	for _, s := range r.Settings {
		out = append(out, s.Name+"="+s.Value.Reveal())
	}
	return out
}

// Resolve puts all together. A secret without a value is no error. One is what
// stands in two places that exclude one another (with all of them), what is no
// setting or too much, and a keychain that fails in another way than by being
// away: then the platform may have what it would have.
func Resolve(ctx context.Context, in Input) (Resolved, error) {
	r := newResolver(in)
	if err := r.dotenv(); err != nil {
		return Resolved{}, err
	}
	if err := r.conflicts(); err != nil {
		return Resolved{}, err
	}
	r.process()
	if err := r.keychain(ctx); err != nil {
		return Resolved{}, err
	}
	return r.done()
}

type resolver struct {
	Input
	settings map[string]Setting
	secrets  map[string]string // names to where they are declared
	base     []Setting
	missing  []string
	unasked  string
	warnings []string
}

func newResolver(in Input) *resolver {
	r := &resolver{Input: in, settings: map[string]Setting{}, secrets: map[string]string{}}
	for name, value := range in.Manifest.Variables {
		r.settings[name] = Setting{Name: name, Value: NewValue(value), From: Source(in.Manifest.Source)}
	}
	for _, name := range in.Manifest.Secrets {
		r.secrets[name] = in.Manifest.Source
	}
	return r
}

func (r *resolver) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// dotenv takes what the file says over what the manifest says.
func (r *resolver) dotenv() error {
	revealed := false
	for _, e := range r.Dotenv.Entries {
		at, value := fmt.Sprintf("%s:%d", DotenvFile, e.Line), e.Value.Reveal()
		s := Setting{Name: e.Name, Value: e.Value, From: FromDotenv, Line: e.Line}
		if r.Manifest.PlatformName(e.Name) {
			switch {
			case isBase(e.Name) && value != "":
				r.base = append(r.base, s)
			case !isBase(e.Name):
				r.warn("%s: %s belongs to the platform, and is passed over", at, e.Name)
			}
			continue
		}
		if err := function.CheckSetting(e.Name, value); err != nil {
			return fault.New(fault.Invalid, at+": "+err.Error()).WithCode("dotenv_invalid")
		}
		if _, declared := r.secrets[e.Name]; !declared && (value == "" || function.LooksSecret(e.Name)) {
			r.secrets[e.Name] = at
		}
		if _, s.Secret = r.secrets[e.Name]; value == "" {
			continue
		}
		revealed = revealed || s.Secret
		r.settings[e.Name] = s
	}
	if revealed && r.Dotenv.Open {
		r.warn("others on this machine may read the secrets in %s: chmod 600 %s", DotenvFile, DotenvFile)
	}
	return nil
}

// Conflict is a name that is a variable in the manifest and a secret elsewhere.
type Conflict struct {
	Name, Manifest string
	Place          string // where it is a secret
	Line           int    // of .env; 0: elsewhere
}

func (c Conflict) String() string {
	return fmt.Sprintf("%s is a variable in %s and a secret in %s", c.Name, c.Manifest, c.Place)
}

// Conflicts lists what is a variable and a secret, by name.
func Conflicts(in Input) []Conflict {
	r := newResolver(in)
	_ = r.dotenv() // for what it declares
	return r.conflicting()
}

func (r *resolver) conflicting() (both []Conflict) {
	for _, name := range slices.Sorted(maps.Keys(r.Manifest.Variables)) {
		place, secret := r.secrets[name]
		if !secret && slices.Contains(r.Known, name) {
			place, secret = "the keychain", true
		}
		if c := (Conflict{Name: name, Manifest: r.Manifest.Source, Place: place}); secret {
			if line, ok := strings.CutPrefix(place, DotenvFile+":"); ok {
				c.Line, _ = strconv.Atoi(line)
			}
			both = append(both, c)
		}
	}
	return both
}

// conflicts refuses what is a variable and a secret.
func (r *resolver) conflicts() error {
	var lines []string
	for _, c := range r.conflicting() {
		lines = append(lines, c.String())
	}
	if lines == nil {
		return nil
	}
	return fault.New(fault.Invalid, strings.Join(lines, "\n")).WithCode("setting_twice").WithHint(conflictHint(r.Manifest.Source))
}

func conflictHint(source string) string {
	return fmt.Sprintf("for a secret, take it out of variables in %s; for a variable, take it out of the other place (of the keychain: postern secrets delete NAME)", source)
}

// Hint is what to do about it.
func (c Conflict) Hint() string { return conflictHint(c.Manifest) }

// process takes what the process was started with over all else.
func (r *resolver) process() {
	for _, line := range r.Process {
		name, value, _ := strings.Cut(line, "=")
		_, secret := r.secrets[name]
		_, known := r.settings[name]
		s := Setting{Name: name, Value: NewValue(value), Secret: secret, From: FromProcess}
		switch {
		case value == "" || strings.ContainsRune(value, 0):
		case isBase(name):
			r.base = append(slices.DeleteFunc(r.base, func(b Setting) bool { return b.Name == name }), s)
		case secret || known:
			r.settings[name] = s
		}
	}
}

// keychain asks for the secrets that no other place has a value for, which would win.
func (r *resolver) keychain(ctx context.Context) error {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(r.secrets)), func(name string) bool { _, ok := r.settings[name]; return ok })
	for _, name := range names {
		if r.Keychain == nil {
			r.missing = append(r.missing, name)
			continue
		}
		value, err := r.Keychain.Get(ctx, Account(r.Manifest.Name, name))
		switch kind := fault.KindOf(err); {
		case err == nil && value != "":
			r.settings[name] = Setting{Name: name, Value: NewValue(value), Secret: true, From: FromKeychain}
		case err == nil || kind == fault.NotFound:
			r.missing = append(r.missing, name)
		case kind == fault.Unavailable:
			r.unasked = sentence(err)
			r.missing, r.Keychain = append(r.missing, name), nil // and it is not waited for once more
		default:
			return err
		}
	}
	return nil
}

// sentence is what a fault says, with its hint.
func sentence(err error) string {
	f, ok := err.(*fault.Error)
	if !ok {
		return err.Error()
	}
	return strings.TrimSuffix(f.Text+"; "+f.Hint, "; ")
}

func (r *resolver) done() (Resolved, error) {
	all := map[string]string{}
	for name, s := range r.settings {
		if err := function.CheckSetting(name, s.Value.Reveal()); err != nil {
			return Resolved{}, fault.New(fault.Invalid, fmt.Sprintf("%s (%s)", err, s.Place())).WithCode("setting_invalid")
		}
		all[name] = s.Value.Reveal()
	}
	if err := function.CheckSettings(all); err != nil {
		return Resolved{}, fault.New(fault.Invalid, err.Error()).WithCode("setting_invalid").WithHint("keep large values in a file that the function reads, or in its storage")
	}
	for _, name := range r.Known {
		if _, declared := r.secrets[name]; !declared {
			r.warn("the keychain has %s, which nothing declares: add it to secrets in %s, or %s= to %s", name, r.Manifest.Source, name, DotenvFile)
		}
	}
	byName := func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) }
	return Resolved{
		Settings: slices.SortedFunc(maps.Values(r.settings), byName),
		Declares: slices.Sorted(maps.Keys(r.secrets)),
		Missing:  r.missing,
		Unasked:  r.unasked,
		Base:     slices.SortedFunc(slices.Values(r.base), byName),
		Warnings: r.warnings,
	}, nil
}

// isBase reports whether a name is one of those that every function gets.
func isBase(name string) bool {
	return slices.Contains(baseNames, name)
}
