package devserver

import (
	"context"
	"encoding/base64"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
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

func basicOf(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
