package auth

import (
	"context"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// The refusals of sessions of the console.
var (
	ErrSession = fault.New(fault.Unauthenticated, "the session of the console has ended").WithCode("session_ended")
	ErrUser    = fault.New(fault.Denied, "a user of the console controls what is in their project, and opens no function")
)

// sessionFor is how long what was said of a session stands for a request that
// stays: ending one is told to nobody, so it is looked at again.
const sessionFor = 5 * time.Second

// User is a person who signed in to the console. They may do in their project
// and its subprojects what a key without limits could; the scopes of a principal
// say so, for what a user may grant. The gateway's doors stay closed to them.
type User struct{ ID, ProjectID string }

func (u *User) decide(need Need) error {
	switch {
	case need.Scope != platform.ScopeControl:
		return ErrUser
	case u.ID == "" || u.ProjectID == "" || u.ProjectID != need.ProjectID && u.ProjectID != need.ParentID:
		return ErrProject
	}
	return nil
}

// alone reports whether a principal that has a user is a session's and nobody
// else's.
func (p Principal) alone() bool {
	return p.Method == MethodSession && p.Key == nil && p.Token == nil && p.Admin == nil
}

// OfKey is the principal of a session that was begun with a key's secret of a
// generation. It is an error as soon as that secret is none of the key any more,
// and where the secret opens nothing by itself.
func OfKey(d *Directory, id string, generation int, now time.Time) (Principal, error) {
	switch k := d.ByID(id); {
	case k == nil || !k.live(now) || !k.honours(generation, now):
		return Principal{}, ErrSession
	case !k.bare():
		return Principal{}, ErrBare
	default:
		return Principal{Key: k, Method: MethodSession, begun: generation}, nil
	}
}

type sessionKey struct{}

// WithSession lets the control plane take who asks from ctx instead of from a
// request's header fields. read says who that is at a time: it is asked again
// while a request stays, and must not remember.
func WithSession(ctx context.Context, read func(now time.Time) (Principal, error)) context.Context {
	return context.WithValue(ctx, sessionKey{}, read)
}

// BySession reports whether ctx has a session, good or not.
func BySession(ctx context.Context) bool {
	_, there := ctx.Value(sessionKey{}).(func(time.Time) (Principal, error))
	return there
}

// FromSession is who asks by a session; there is false where ctx has none.
func FromSession(ctx context.Context, now time.Time) (p Principal, there bool, err error) {
	read, there := ctx.Value(sessionKey{}).(func(time.Time) (Principal, error))
	if !there {
		return Principal{}, false, nil
	}
	if read == nil {
		return Principal{}, true, ErrSession
	}
	p, err = read(now)
	if err == nil && (p.Method != MethodSession || p.Key == nil && p.User == nil) {
		err = ErrSession
	}
	if err != nil {
		return Principal{}, true, err
	}
	return p, true, nil
}
