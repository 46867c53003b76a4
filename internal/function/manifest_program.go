package function

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"postern.dev/postern/internal/platform"
)

// The runtimes: handlers of a module, or a program that serves HTTP by itself.
const (
	RuntimeNode = "node"
	RuntimeHTTP = "http"
)

// Where a program listens: on a port of 127.0.0.1, or on a unix socket that only
// the server's own user reaches.
const (
	PortTCP    = "tcp"
	PortSocket = "socket"
)

// ProgramHandler is the name of the one handler that a program is.
const ProgramHandler = "http"

// ProgramRoute is where a program answers whose manifest names no routes.
const ProgramRoute = "/{path...}"

// Program is a program that serves HTTP by itself, as the manifest has it.
type Program struct {
	// Command is what is run: a name that is looked up on the server, or a path
	// with a slash, which is a file of the project unless it is absolute. Never a
	// line for a shell.
	Command []string `json:"command"`
	Port    string   `json:"port"` // PortTCP or PortSocket
	// Ready is the path that must answer below 500 before the program gets
	// requests; empty: that it takes connections is enough.
	Ready string `json:"ready,omitempty"`
	// Build is run before the files are taken, and Include names what is taken;
	// both mean nothing on the server, and are not in the artefact.
	Build   []string `json:"-"`
	Include []string `json:"-"`
}

// ProgramDeclaration is what is recorded of a program: it is asked for nothing
// that guards depend on, so it can change none of them.
func ProgramDeclaration() platform.Declaration {
	return platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: ProgramHandler, Kind: platform.HandlerCustom}}}
}

// File is the project's file that is run, with slashes; empty where the command
// is one of the server's.
func (p *Program) File() string {
	if name := p.Command[0]; strings.Contains(name, "/") && !path.IsAbs(name) {
		return path.Clean(name)
	}
	return ""
}

// What the manifest of a program has that no other has, and the other way round.
var (
	programFields = []string{"command", "build", "include", "ready", "port"}
	moduleFields  = []string{"handlers", "style", "eventFormat", "webhookProtection"}
	// What each worker of a program is told of itself.
	programVariables = []string{"PORT", "HOST", "ASPNETCORE_URLS", "ASPNETCORE_ENVIRONMENT"}
)

const (
	commandHint = `write: "command": ["python3", "app.py"], or ["./server"] for a file of the project`
	includeHint = `write: "include": ["server", "templates"], with paths below the project's directory`
	maxWords    = 64
	maxWord     = 4096
	maxIncludes = 256
)

var readyPattern = regexp.MustCompile(`^/[!-"$-~]{0,255}$`)

// ofRuntime refuses the fields that mean nothing for the manifest's runtime, which
// is known before any other field is read.
func (p *parser) ofRuntime(f member) error {
	switch {
	case p.source == SourceSinch:
	case p.program && slices.Contains(moduleFields, f.key):
		return p.fail(f.offset, "who is let in where, and the limits of a path, are for routes to say", "%s is of a module's exports: a program (\"runtime\": %q) has none", f.key, RuntimeHTTP)
	case !p.program && slices.Contains(programFields, f.key):
		return p.fail(f.offset, fmt.Sprintf("it goes with \"runtime\": %q", RuntimeHTTP), "%s is of a program that serves HTTP by itself", f.key)
	}
	return nil
}

// isProgram looks for the runtime in a manifest of which nothing is read yet.
func isProgram(source string, root node) bool {
	return source == SourcePostern && slices.ContainsFunc(root.object, func(f member) bool { return f.key == "runtime" && f.value.value == RuntimeHTTP })
}

// programField reads a field of a program.
func (p *parser) programField(f member) (err error) {
	m := p.m.Program
	switch f.key {
	case "command":
		if m.Command, err = p.words(f, commandHint); err == nil {
			if bad := m.checkCommand(); bad != nil {
				err = p.fail(f.value.offset, commandHint, "%s", bad)
			}
		}
	case "build":
		m.Build, err = p.words(f, `write: "build": ["go", "build", "-o", "server", "."]`)
	case "include":
		err = p.list(f, maxIncludes, includeHint, "the manifest", func(text string) error {
			m.Include = append(m.Include, text)
			return checkInclude(text)
		})
	case "ready":
		if m.Ready, err = p.text(f); err == nil && !readyPattern.MatchString(m.Ready) {
			err = p.fail(f.value.offset, `write: "ready": "/ready"`, "ready is no path")
		}
	default:
		if m.Port, err = p.text(f); err == nil && m.Port != PortTCP && m.Port != PortSocket {
			err = p.fail(f.value.offset, fmt.Sprintf("write %q for $PORT, %q for $POSTERN_SOCKET", PortTCP, PortSocket), "port cannot be %q", m.Port)
		}
	}
	return err
}

// words reads the words of a command: a list, or one text with nothing in it that
// a shell would do something about, because none is asked.
func (p *parser) words(f member, hint string) ([]string, error) {
	if text, ok := f.value.value.(string); ok {
		if i := strings.IndexAny(text, "\"'`\\$&|;<>()*?[]{}~#!\n"); i >= 0 {
			return nil, p.fail(f.value.offset, hint, "%s has %q, and no shell reads it: write it as a list of words", f.key, text[i:i+1])
		}
		words := strings.Fields(text)
		if err := checkWords(words); err != nil {
			return nil, p.fail(f.value.offset, hint, "%s %s", f.key, err)
		}
		return words, nil
	}
	var words []string
	err := p.list(f, maxWords, hint, "the manifest", func(text string) error {
		words = append(words, text)
		return checkWords(words)
	})
	return words, err
}

func checkWords(words []string) error {
	if len(words) == 0 || words[0] == "" || len(words) > maxWords {
		return fmt.Errorf("has no words, an empty one at its begin, or more than %d", maxWords)
	}
	if slices.ContainsFunc(words, func(w string) bool { return len(w) > maxWord || strings.ContainsRune(w, 0) }) {
		return errors.New("has a word with a NUL character, or one that is too long")
	}
	return nil
}

func (p *Program) checkCommand() error {
	name := p.Command[0]
	if file := p.File(); file != "" && !filepath.IsLocal(filepath.FromSlash(file)) || strings.HasSuffix(name, "/") {
		return fmt.Errorf("the command %.128q leads out of the project, or is no file", name)
	}
	return nil
}

// checkInclude says what is wrong with a path, or a pattern of path.Match, of what
// is taken. What is hidden never is, so nobody may ask for it.
func checkInclude(text string) error {
	if _, err := path.Match(text, ""); err != nil || text == "" || len(text) > 1024 || strings.ContainsAny(text, "\\\x00") || !filepath.IsLocal(filepath.FromSlash(text)) {
		return fmt.Errorf("%.128q is no path below the project's directory", text)
	}
	if text != "." && slices.ContainsFunc(strings.Split(text, "/"), func(s string) bool { return strings.HasPrefix(s, ".") && s != "." }) {
		return fmt.Errorf("%.128q is never deployed: what begins with a dot keeps secrets, or the project's history", text)
	}
	return nil
}

// complete fills in what a program's manifest leaves open.
func (p *parser) complete(root node) error {
	if m := p.m.Program; m != nil {
		if m.Command == nil {
			return p.fail(root.offset, commandHint, "the field command is missing: what is it that serves HTTP?")
		}
		if m.Port == "" {
			m.Port = PortTCP
		}
	}
	return nil
}

// validProgram checks a runtime, and a program, that no parser of ours has read.
func (m Manifest) validProgram() error {
	p := m.Program
	switch {
	case p == nil && m.Runtime == RuntimeNode:
		return nil
	case p == nil, m.Runtime != RuntimeHTTP, m.Source != SourcePostern:
		return errors.New("unknown runtime")
	case len(m.Handlers) > 0, m.Style != "", m.EventFormat != "", m.WebhookProtection != "":
		return errors.New("a program has no handlers, style or webhookProtection")
	case p.Port != PortTCP && p.Port != PortSocket, p.Ready != "" && !readyPattern.MatchString(p.Ready):
		return errors.New("port or ready of the program cannot be")
	case slices.ContainsFunc(m.Routes, func(r RouteSpec) bool { return r.Handler != ProgramHandler }):
		return errors.New("a route of a program names a handler")
	}
	for _, name := range programVariables {
		if m.has(name) {
			return fmt.Errorf("the variable %s belongs to the platform", name)
		}
	}
	if err := checkWords(p.Command); err != nil {
		return fmt.Errorf("the command %w", err)
	}
	return p.checkCommand()
}

// isHealth reports whether a pattern is exactly /health, of whatever methods.
func (p pattern) isHealth() bool {
	return len(p.segments) == 1 && p.segments[0].kind == literal && p.segments[0].text == "health"
}

// programHealth refuses a /health of a program's own that asks for something:
// infrastructure asks there, and shows nothing. Without a route the built-in one
// answers.
func programHealth(r RouteSpec, p pattern) error {
	if p.isHealth() && (r.Auth != AuthNone || p.method != "" && p.method != http.MethodGet) {
		return fmt.Errorf("the route %q has to be for GET and say \"auth\": %q: /health is open on every function", r.Path, AuthNone)
	}
	return nil
}
