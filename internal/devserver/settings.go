package devserver

import (
	"context"
	"encoding/base64"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/signin"
)

// Settings are what a function runs with, as its developer has it.
type Settings struct {
	environ.Resolved
	// ProjectID is that of the pair, or of the profile; empty: none is known.
	ProjectID string
	// Pair opens guarded handlers, and is given to the function; nil: there is none.
	Pair *Pair
}

// Pair is an access key of the developer's.
type Pair struct {
	KeyID  string
	Secret environ.Value
	From   string // where it is from, for people
}

// Resolve finds out the settings of a project in dir. fresh says that what was
// found out before may be another now.
type Resolve func(ctx context.Context, dir string, m function.Manifest, fresh bool) (Settings, error)

// userOf reports whether the function has a user of its own, who can sign in, and
// what is wrong with one that is half there: to such a one the doors stay shut.
func userOf(d platform.Deployment) (there bool, warnings []string) {
	p, err := signin.RandomKey().Pair(d.FunctionID, d.Variables[signin.UserVariable], d.Variables[signin.PasswordVariable])
	if err != nil {
		return true, []string{err.Error()}
	}
	return p != nil, nil
}

// unsigned says which callbacks are refused for want of a secret.
func unsigned(d platform.Deployment) []string {
	return signature.Unset(d.Handlers, func(name string) string { return d.Variables[name] })
}

// tell is what is said of a version.
func tell(v *version, m function.Manifest, set Settings) *Function {
	f := &Function{Name: m.Name, Visibility: m.Visibility, Handlers: v.deployment.Handlers, Routes: v.routes, Skipped: v.skipped, Settings: []Setting{}, Missing: set.Missing}
	for _, v := range set.Settings {
		f.Settings = append(f.Settings, Setting{v.Name, string(v.From), v.Secret})
	}
	if set.Pair != nil {
		f.PairFrom = set.Pair.From
	}
	return f
}

func basicOf(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
