package function

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var variablePattern = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

// Names that the platform or Node's loader gives a meaning to, and that a
// variable must not pretend to be: it would be overruled without a word.
var platformVariables = []string{"PROJECT_ID", "PROJECT_ID_API_KEY", "PROJECT_ID_API_SECRET", "FUNCTION_ID", "NODE_ENV",
	"PATH", "HOME", "TMPDIR", "LANG", "TZ", "NODE_OPTIONS", "NODE_COMPILE_CACHE"}

// maxVariableBytes bounds all names and values together: they become the
// environment of a process, which the kernel limits.
const maxVariableBytes = 64 << 10

// maxSecrets is far above what a person writes by hand.
const maxSecrets = 256

// CheckName says what is wrong with the name of a variable or a secret.
func CheckName(name string) error {
	if len(name) > 128 || !variablePattern.MatchString(name) {
		return fmt.Errorf("%.128q is no variable name: use upper-case letters, digits and underscores", name)
	}
	return nil
}

// PlatformName reports whether only the platform sets the variable of that name.
func PlatformName(name string) bool {
	return slices.Contains(platformVariables, name) || strings.HasPrefix(name, "POSTERN_") || strings.HasPrefix(name, "LD_")
}

// PlatformName reports whether only the platform sets the variable of that name
// in the function's workers: a program is told where to listen.
func (m Manifest) PlatformName(name string) bool {
	return PlatformName(name) || m.Program != nil && slices.Contains(programVariables, name)
}

// CheckSetting says what is wrong with a variable or a secret. It never repeats
// the value.
func CheckSetting(name, value string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	switch {
	case PlatformName(name):
		return fmt.Errorf("the variable %s belongs to the platform", name)
	case strings.ContainsRune(value, 0):
		return fmt.Errorf("the variable %s has a NUL character", name)
	}
	return nil
}

// CheckSettings says what is wrong with all variables and secrets of a function
// together: they must fit into the environment of a process.
func CheckSettings(all map[string]string) error {
	size := 0
	for name, value := range all {
		size += len(name) + len(value)
	}
	if size > maxVariableBytes {
		return fmt.Errorf("the variables have %d bytes; at most %d fit", size, maxVariableBytes)
	}
	return nil
}

// The last word of the name of what must not be seen, and the words that say that
// it may. Some names end so and are no secrets.
var (
	secretWords = []string{"KEY", "KEYS", "APIKEY", "SECRET", "SECRETS", "TOKEN", "PASSWORD", "PASSWD", "PASS", "PWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"}
	publicWords = []string{"PUBLIC", "PUBLISHABLE"}
	notSecret   = []string{"VOICE_APPLICATION_KEY"}
)

// LooksSecret reports whether a name is that of a credential, as people name
// them: STRIPE_SECRET_KEY, DB_PASSWORD; not MAX_TOKENS, TOKEN_URL or PUBLIC_KEY.
func LooksSecret(name string) bool {
	words := strings.Split(name, "_")
	public := slices.ContainsFunc(words, func(w string) bool { return slices.Contains(publicWords, w) })
	return slices.Contains(secretWords, words[len(words)-1]) && !public && !slices.Contains(notSecret, name)
}

// has reports whether the function says that it has a variable or a secret of
// that name.
func (m Manifest) has(name string) bool {
	_, variable := m.Variables[name]
	return variable || slices.Contains(m.Secrets, name)
}

// names are those of all its variables and secrets, sorted.
func (m Manifest) names() []string {
	names := slices.Clone(m.Secrets)
	for name := range m.Variables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *parser) variables(f member) error {
	if !f.value.isObject {
		return p.fail(f.value.offset, `write: "variables": { "GREETING": "hello" }`, "variables must be an object")
	}
	p.m.Variables = make(map[string]string, len(f.value.object))
	err := all(f.value.object, func(v member) error {
		s, ok := v.value.value.(string)
		if err := p.setting(v.key, s, v.offset, "a variable"); err != nil {
			return err
		}
		if !ok {
			return p.fail(v.value.offset, fmt.Sprintf("put it in quotes: %q: \"…\"", v.key), "the variable %s must be a string", v.key)
		}
		p.m.Variables[v.key] = s
		return nil
	})
	if err != nil {
		return err
	}
	if err := CheckSettings(p.m.Variables); err != nil {
		return p.fail(f.offset, "keep large values in a file that function.ts imports", "%s", err)
	}
	return nil
}

const secretsExample = `write the names alone: "secrets": ["STRIPE_SECRET_KEY"]; values go to: postern secrets add STRIPE_SECRET_KEY`

// secrets reads the names of the secrets that the function needs. What the other
// source writes there is not known: what is no list of names is passed over.
func (p *parser) secrets(f member) error {
	if !f.value.isList && p.source == SourceSinch {
		return p.unknown(f)
	}
	if !f.value.isList || len(f.value.list) > maxSecrets {
		return p.fail(f.value.offset, secretsExample, "secrets must be a list of at most %d names", maxSecrets)
	}
	err := all(f.value.list, func(n node) error {
		name, ok := n.value.(string)
		if !ok || CheckName(name) != nil { // and not shown: it may be a value
			return p.fail(n.offset, secretsExample, "secrets has something that is no name of a secret: upper-case letters, digits and underscores")
		}
		if p.source == SourceSinch && PlatformName(name) { // given to every function
			return nil
		}
		p.m.Secrets = append(p.m.Secrets, name)
		return p.setting(name, "", n.offset, "a secret")
	})
	slices.Sort(p.m.Secrets)
	return err
}

// setting checks a variable or a secret, and that it is not both.
func (p *parser) setting(name, value string, at int64, what string) error {
	err := CheckSetting(name, value)
	if err == nil && p.program && slices.Contains(programVariables, name) {
		err = fmt.Errorf("the variable %s belongs to the platform: a program is told where to listen", name)
	}
	if err != nil {
		return p.fail(at, "", "%s", err)
	}
	if before, ok := p.named[name]; ok {
		line, column := position(p.data, before)
		return p.fail(at, "write it in one place: in variables it is committed and shown, as a secret it is neither", "%s is %s here, and stands at %d:%d already", name, what, line, column)
	}
	p.named[name] = at
	return nil
}

// validSecrets checks names that no parser of ours has read.
func (m Manifest) validSecrets() error {
	if len(m.Secrets) > maxSecrets {
		return fmt.Errorf("there are more than %d secrets", maxSecrets)
	}
	for i, name := range m.Secrets {
		if err := CheckSetting(name, ""); err != nil {
			return err
		}
		if _, variable := m.Variables[name]; variable || i > 0 && m.Secrets[i-1] >= name {
			return fmt.Errorf("the secret %s is a variable too, or out of order", name)
		}
	}
	return nil
}
