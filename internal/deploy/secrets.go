package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/secret"
)

// Secrets opens and seals what functions keep secret. *secret.Vault is one.
type Secrets interface {
	// Open opens what the workers of a deployment get, as it would be after
	// changes that are not written yet.
	Open(ctx context.Context, d platform.Deployment, after ...platform.SecretInput) (secret.Opened, error)
	// Draft seals new values of an owner and writes nothing.
	Draft(ctx context.Context, ownerID string, set secret.Values, remove []string, by string, at time.Time) (platform.SecretInput, error)
	// Rotate seals all of a project under new data keys.
	Rotate(ctx context.Context, projectID string, at time.Time) (owners int, seq int64, err error)
}

// Values are secrets by name, which nothing prints.
type Values = secret.Values

// noSecrets is where nobody keeps any.
type noSecrets struct{}

func (noSecrets) Open(context.Context, platform.Deployment, ...platform.SecretInput) (secret.Opened, error) {
	return secret.Opened{}, nil
}

func (noSecrets) Draft(_ context.Context, ownerID string, set secret.Values, remove []string, _ string, _ time.Time) (platform.SecretInput, error) {
	if len(set)+len(remove) > 0 {
		return platform.SecretInput{}, fault.New(fault.Unavailable, "no secrets are kept here")
	}
	return platform.SecretInput{OwnerID: ownerID}, nil
}

func (noSecrets) Rotate(context.Context, string, time.Time) (int, int64, error) { return 0, 0, nil }

// RotateKeys seals all secrets of a project under new data keys. Values, and the
// workers that have them, stay.
func (d *Deployer) RotateKeys(ctx context.Context, projectID string) (owners int, seq int64, err error) {
	return d.o.Secrets.Rotate(ctx, projectID, time.Now().UTC())
}

// What an owner's secrets may be. A value becomes one string of a process's
// environment, of which Linux takes 128 KiB, and all of them a part of it.
const (
	maxSecrets     = 100
	maxSecretValue = 64 << 10
	maxSecretBytes = 512 << 10
)

func invalidSecret(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...)).WithCode("secret_invalid")
}

var errNoName = invalidSecret("one of the names is none of a secret").WithHint("use upper-case letters, digits and underscores; not beginning with a digit, at most 128")

// checkValues refuses what cannot be a secret. What is no name is not repeated:
// it may be a value.
func checkValues(set Values) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		value := set[name]
		switch {
		case function.CheckName(name) != nil:
			return errNoName
		case function.PlatformName(name):
			return invalidSecret("%s belongs to the platform, which sets it itself", name).WithHint("choose another name")
		case value == "":
			return invalidSecret("%s has an empty value, which counts as none", name).WithHint("remove it instead")
		case len(value) > maxSecretValue:
			return invalidSecret("the value of %s has %d bytes; at most %d fit", name, len(value), maxSecretValue)
		case strings.ContainsRune(value, 0):
			return invalidSecret("the value of %s has a NUL character, which an environment cannot hold", name).WithHint("encode it, as base64 for one")
		}
	}
	return nil
}

// checkNames refuses what is no name of a secret, and repeats none: names go into
// the audit log, and one may be a value.
func checkNames(names []string) error {
	if slices.ContainsFunc(names, func(name string) bool { return function.CheckName(name) != nil }) {
		return errNoName
	}
	return nil
}

// fits refuses what is too much together.
func fits(values Values) error {
	size := 0
	for name, value := range values {
		size += len(name) + len(value)
	}
	if size > maxSecretBytes {
		return invalidSecret("the function's secrets have %d bytes together; at most %d fit", size, maxSecretBytes)
	}
	return nil
}

// declared are the names of the secrets that a deployment needs, sorted.
func declared(m function.Manifest, in Request) []string {
	names := append(slices.Clone(m.Secrets), in.Declares...)
	slices.Sort(names)
	return slices.Compact(names)
}

// plan is what a deploy does about secrets.
type plan struct {
	write    platform.SecretInput
	opened   secret.Opened // what the workers get
	warnings []string
	// again seals once more what came with the deploy, because others were faster.
	again func(context.Context) (platform.SecretInput, error)
}

// plan prepares the secrets of a deployment: it seals what came with the deploy,
// and refuses it where a name has two meanings, or one that is needed no value.
func (d *Deployer) plan(ctx context.Context, dep platform.Deployment, in Request) (p plan, err error) {
	if err := checkValues(in.Secrets); err != nil {
		return p, err
	}
	for name, value := range in.Variables { // those of the manifest have been checked
		if err := function.CheckSetting(name, value); err != nil {
			return p, fault.New(fault.Invalid, err.Error())
		}
	}
	if err := function.CheckSettings(dep.Variables); err != nil {
		return p, fault.New(fault.Invalid, err.Error())
	}
	for _, name := range dep.SecretNames {
		if function.CheckName(name) != nil || function.PlatformName(name) {
			return p, invalidSecret("one of the secrets that are declared has no name of a secret").WithHint("use upper-case letters, digits and underscores, and no name of the platform")
		}
	}
	if len(dep.SecretNames) > maxSecrets {
		return p, invalidSecret("%d secrets are declared; at most %d can be", len(dep.SecretNames), maxSecrets)
	}
	p.again = func(ctx context.Context) (platform.SecretInput, error) {
		return d.o.Secrets.Draft(ctx, dep.FunctionID, in.Secrets, nil, in.By, dep.CreatedAt)
	}
	if p.write, err = p.again(ctx); err != nil {
		return p, err
	}
	if p.opened, err = d.o.Secrets.Open(ctx, dep, p.write); err != nil {
		return p, err
	}
	again := in.restores > 0 // a roll-back is for when things are bad: what can be passed over is
	if err := oneMeaning(dep.Variables, dep.SecretNames, p.opened.Values); err != nil && !again {
		return p, err
	}
	if n := len(p.opened.Values); n > maxSecrets && len(in.Secrets) > 0 {
		return p, invalidSecret("there would be %d secrets; at most %d can be", n, maxSecrets)
	}
	if err := fits(p.opened.Values); err != nil {
		return p, err
	}
	if missing := lacking(dep.SecretNames, p.opened.Values); len(missing) > 0 {
		text := "no value is known of " + strings.Join(missing, ", ")
		if !in.Force && !again {
			return p, fault.New(fault.Invalid, text+", which the function declares as a secret").WithCode("secret_missing").
				WithHint("postern secrets add " + missing[0] + "; or deploy without with --force")
		}
		p.warnings = append(p.warnings, text+": the function runs without")
	}
	return p, nil
}

// oneMeaning refuses a name that is a variable and a secret: which of them a
// handler gets would be a matter of luck, and a variable is shown.
func oneMeaning(variables map[string]string, declares []string, values Values) error {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		_, valued := values[name]
		if valued || slices.Contains(declares, name) {
			return fault.New(fault.Invalid, name+" is a secret of the function and a variable of its manifest or .env").WithCode("secret_is_variable").
				WithHint("take it out of the variables, which are shown; or remove the secret: postern secrets delete " + name)
		}
	}
	return nil
}

func lacking(names []string, values Values) (missing []string) {
	for _, name := range names {
		if values[name] == "" {
			missing = append(missing, name)
		}
	}
	return missing
}

// setting is what a handler would find in its environment, of variables and
// secrets.
func setting(dep platform.Deployment, values Values) func(name string) string {
	return func(name string) string {
		if value, ok := values[name]; ok {
			return value
		}
		return dep.Variables[name]
	}
}

// holds reports whether a function has these values already, as its own.
func (d *Deployer) holds(ctx context.Context, functionID string, set Values) (bool, error) {
	if len(set) == 0 {
		return true, nil
	}
	own, err := d.o.Secrets.Open(ctx, platform.Deployment{FunctionID: functionID})
	for name, value := range set {
		if own.Values[name] != value {
			return false, err
		}
	}
	return true, err
}
