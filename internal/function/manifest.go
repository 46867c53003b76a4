// Package function knows what a function is: its manifest, its names, which
// path finds which handler, and how each handler is guarded.
//
// [Manifest] is what a developer wrote, [Protect] decides the guards from it
// and from what the module declares, and [Table] matches paths. The package
// does no I/O but reading the manifest, and runs nothing.
package function

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// The two manifests. postern.json is ours; sinch.json is read the same way
// where there is no postern.json, with the protection rule of its source.
const (
	SourcePostern = "postern.json"
	SourceSinch   = "sinch.json"
)

// Manifest is a function's manifest, checked and normalised.
type Manifest struct {
	Name        string            `json:"name"`
	Runtime     string            `json:"runtime"` // RuntimeNode or RuntimeHTTP
	Description string            `json:"description,omitempty"`
	Variables   map[string]string `json:"variables,omitempty"`
	// Secrets are the names of the secrets that it needs, sorted; none is a
	// variable's. Their values are nowhere here.
	Secrets  []string                  `json:"secrets,omitempty"`
	Handlers map[string]HandlerOptions `json:"handlers,omitempty"`
	Source   string                    `json:"source"` // SourcePostern or SourceSinch
	// Style is how handlers are called: "event", "context", or empty for what
	// the module's exports say. EventFormat is the shape of an event: "simple"
	// or empty, or "v2".
	Style       string      `json:"style,omitempty"`
	EventFormat string      `json:"eventFormat,omitempty"`
	Routes      []RouteSpec `json:"routes,omitempty"`
	// WebhookProtection says when callbacks that are known by their handler's
	// name must be signed.
	WebhookProtection signature.Protection `json:"webhookProtection,omitempty"`
	// Visibility is platform.Private where only functions may call it.
	Visibility platform.Visibility `json:"visibility,omitempty"`
	// Files are what of public/ is in the artefact: taken from there when it is
	// opened, and no part of the written manifest.
	Files []File `json:"-"`
	// Exclude is what of the project is not deployed; it means nothing on the
	// server, and is not in the artefact.
	Exclude Excludes `json:"-"`
	// Workers are how its processes are run.
	Workers Workers `json:"workers,omitzero"`
	// Program is what is run where the runtime is RuntimeHTTP; else nil.
	Program *Program `json:"program,omitempty"`
}

// HandlerOptions are what the manifest says of one handler. Zero fields mean
// the gateway's defaults.
type HandlerOptions struct {
	Body      platform.BodyMode `json:"body,omitempty"`
	BodyLimit int64             `json:"bodyLimit,omitempty"` // bytes
	Timeout   time.Duration     `json:"timeout,omitempty"`   // nanoseconds
	// Signature guards the handler by its sender's signature.
	Signature *platform.Signature `json:"signature,omitempty"`
	RuleSpec
}

// Encode is the normalised form that goes into the artefact: the same manifest
// gives the same bytes.
func (m Manifest) Encode() []byte {
	out, _ := json.Marshal(m) // strings, numbers and sorted maps: cannot fail
	return append(out, '\n')
}

// DecodeManifest reads what Encode wrote, and checks it again: an artefact
// may come from anyone who may deploy.
func DecodeManifest(data []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	if err == nil {
		if _, end := d.Token(); end != io.EOF { // another reader may take what is behind it
			err = errors.New("there is something behind it")
		}
	}
	if err != nil {
		return Manifest{}, fault.Wrap(err, fault.Invalid, "the artefact's manifest does not parse").WithCode("artefact_invalid")
	}
	err = ValidName(m.Name)
	if err == nil && m.Source != SourcePostern && m.Source != SourceSinch {
		err = errors.New("unknown source")
	}
	if err == nil {
		err = m.validProgram()
	}
	for k, v := range m.Variables {
		if err == nil {
			err = CheckSetting(k, v)
		}
	}
	if err == nil {
		err = CheckSettings(m.Variables)
	}
	if err == nil {
		err = m.validSecrets()
	}
	for _, o := range m.Handlers {
		if err == nil && (o.Body > platform.BodyStream || o.BodyLimit < 0 || o.BodyLimit > maxBodyLimit || o.Timeout < 0 || o.Timeout > MaxTimeout) {
			err = errors.New("handler options out of range")
		}
		if err == nil {
			err = o.check(o.Signature == nil)
		}
	}
	if err == nil {
		err = m.validStyle()
	}
	if err == nil {
		err = validRoutes(m.Routes, m.Program != nil)
	}
	if err == nil {
		err = m.validSignatures()
	}
	if err == nil && m.Visibility != platform.Public && m.Visibility != platform.Private {
		err = errors.New("unknown visibility")
	}
	if err == nil {
		err = m.Workers.check()
	}
	if err != nil {
		return Manifest{}, fault.Wrap(err, fault.Invalid, "the artefact's manifest is not valid: "+err.Error()).WithCode("artefact_invalid")
	}
	return m, nil
}

// LoadManifest reads the manifest of the project in dir. Warnings are
// sentences for the developer.
func LoadManifest(dir string) (m Manifest, warnings []string, err error) {
	source, data, warnings, err := ReadManifest(dir)
	if err != nil {
		return m, nil, err
	}
	m, more, err := ParseManifest(source, data)
	return m, append(warnings, more...), err
}

// ReadManifest reads the text of the manifest of the project in dir, and which of
// the two it is.
func ReadManifest(dir string) (source string, data []byte, warnings []string, err error) {
	source = SourcePostern
	data, err = os.ReadFile(filepath.Join(dir, SourcePostern))
	_, sinchErr := os.Stat(filepath.Join(dir, SourceSinch))
	switch {
	case errors.Is(err, fs.ErrNotExist) && sinchErr == nil:
		source = SourceSinch
		data, err = os.ReadFile(filepath.Join(dir, SourceSinch))
	case errors.Is(err, fs.ErrNotExist):
		return source, nil, nil, fault.New(fault.Invalid, fmt.Sprintf("%s has no postern.json (and no sinch.json)", dir)).
			WithCode("manifest_missing").WithHint("go to the function's directory, or make one: postern functions init")
	case err == nil && sinchErr == nil:
		warnings = append(warnings, "both postern.json and sinch.json are here: sinch.json is ignored")
	}
	if err != nil {
		return source, nil, nil, fault.Wrap(err, fault.Invalid, "cannot read "+filepath.Join(dir, source)).WithCode("manifest_invalid")
	}
	return source, data, warnings, nil
}

var namePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)

// ValidName checks a function's name: a DNS label of at most 40 characters
// that begins with a letter, because the name becomes a host name. "fn-" at
// the start is kept for addresses by ID, and so is what looks like an upstream's.
func ValidName(name string) error {
	upstream := strings.HasPrefix(name, "up-") && len(name) == len("up-")+ulid.EncodedSize
	if !namePattern.MatchString(name) || upstream || strings.HasPrefix(name, "fn-") || strings.Contains(name, "--") {
		return fault.New(fault.Invalid, fmt.Sprintf("%q is no function name", name)).WithCode("manifest_invalid").
			WithHint("use at most 40 lower-case letters, digits and single dashes, beginning with a letter, not with fn-")
	}
	return nil
}

// NewFunctionID and NewDeploymentID return new identifiers that sort by time.
func NewFunctionID(now time.Time) string { return "fn-" + newULID(now) }

// NewDeploymentID: see NewFunctionID.
func NewDeploymentID(now time.Time) string { return "dep_" + newULID(now) }

// NewUpstreamID: see NewFunctionID.
func NewUpstreamID(now time.Time) string { return "up-" + newULID(now) }

// NewProjectID: see NewFunctionID.
func NewProjectID(now time.Time) string { return "prj_" + newULID(now) }

func newULID(now time.Time) string {
	return strings.ToLower(ulid.MustNew(ulid.Timestamp(now), rand.Reader).String())
}
