// Package account lets people sign in to the console: as a user with a password
// and, if they want, a second factor, or with an access key.
//
// [Service] is the type to know. What it gives out is the value of a cookie, 256
// random bits of which the store has the hash alone; what it takes one for is a
// [Session], looked up at each request, so that a session has ended on every node
// as soon as its row has, or its user, its password, its key or the secret that it
// was begun with. A sign-in makes a new value in any case: one from before is worth
// nothing after it.
//
// Guesses cost waits (signin.Desk) before they cost a hash, and hashes are made two
// at a time with a bounded queue, so a flood takes neither the memory nor the
// machine. A user who is not there takes as long as a wrong password.
//
// What a user may do is decided by package auth; what is done to users for others
// goes through the control API (package admin).
package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
)

// The refusals. None says which part of what was shown was wrong.
var (
	ErrWrong    = fault.New(fault.Unauthenticated, "the user or the password is wrong").WithCode("signin_failed").WithHint("an administrator can set a new password: postern users password NAME")
	ErrWrongKey = fault.New(fault.Unauthenticated, "the key ID or the key secret is wrong, or the key has ended").WithCode("signin_failed").WithHint("check that both are of the same key; without a key that lives, ask somebody who is signed in for one, or start the server with: postern serve --new-admin-key NAME")
	ErrNoRights = fault.New(fault.Denied, "this access key does not control anything, so it does not open the console").WithHint("use a key with the scope control")
	ErrCode     = fault.New(fault.Unauthenticated, "the code is wrong, or was used before").WithCode("signin_failed").WithHint("take the code that the app shows now, or one of the recovery codes")
	errNewCode  = fault.New(fault.Unauthenticated, "the code is wrong").WithCode("signin_failed").WithHint("take the code that the app shows now for this secret; if it is never right, set the clock of the phone")
	ErrOld      = fault.New(fault.Invalid, "the current password is wrong").WithHint("type the password that you signed in with")
	errBusy     = fault.New(fault.Unavailable, "too many sign-ins are under way").WithCode("signin_busy").WithHint("try again in a moment")
)

// How long a session is good for: without a request, in any case, and one whose
// code is not shown yet.
const (
	Idle     = signin.Idle
	Lifetime = signin.Lifetime
	halfLife = 5 * time.Minute
	seeEvery = time.Minute // how exactly the last use is known
	keep     = 50          // sessions of one owner
)

// Store is where users and sessions are. *store.DB is one.
type Store interface {
	Users
	UserChanges
	Sessions
	SessionChanges
}

// Users is the reading of users.
type Users interface {
	EverUser(ctx context.Context) (bool, error)
	User(ctx context.Context, projectID, id string) (platform.User, error)
	UserByName(ctx context.Context, name string) (platform.User, error)
}

// UserChanges is the making and altering of users.
type UserChanges interface {
	CreateUser(ctx context.Context, u platform.User, first bool) error
	UpdateUser(ctx context.Context, projectID, id string, at time.Time, change func(*platform.User) error) (platform.User, error)
}

// Sessions is the reading of sessions, and of the keys that they are of.
type Sessions interface {
	Session(ctx context.Context, hash [sha256.Size]byte) (platform.Session, error)
	Sessions(ctx context.Context, ownerID string, now time.Time) ([]platform.Session, error)
	Key(ctx context.Context, projectID, id string) (platform.AccessKey, error)
}

// SessionChanges is the making and ending of sessions.
type SessionChanges interface {
	CreateSession(ctx context.Context, s platform.Session, keep int) error
	SeeSession(ctx context.Context, id string, at, idle time.Time) error
	EndSession(ctx context.Context, ownerID, id string) error
	EndOtherSessions(ctx context.Context, ownerID, but string) error
}

// Sealer keeps second factors from who reads the database. *secret.Box is one.
type Sealer interface {
	Seal(ctx context.Context, bind string, plain []byte) ([]byte, error)
	Open(ctx context.Context, bind string, sealed []byte) ([]byte, error)
}

// Act is something that somebody did to sign in or out, or to their account.
type Act struct {
	Action    string // as the audit log names it
	ProjectID string // empty: it is of no user and no key
	By        string // the user or the key; empty: nobody was recognised
	Target    string // whom somebody tried to be who was not recognised
	Remote    string
	Err       error // why it was refused; nil: it was done
}

// Options are what accounts work with; all are needed but Record and Now.
type Options struct {
	Store     Store
	Sealer    Sealer
	Key       [32]byte // signs forms; alike on all nodes
	Directory func() *auth.Directory
	Name      string // of the installation, for the app that shows codes
	Record    func(Act)
	Now       func() time.Time
}

// Service signs people in and out. It is safe for concurrent use.
type Service struct {
	o      Options
	desk   *signin.Desk
	hashes *hasher
}

// New makes the service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Record == nil {
		o.Record = func(Act) {}
	}
	return &Service{o: o, desk: signin.NewDesk(), hashes: newHasher()}
}

// now is as the store will give it back.
func (s *Service) now() time.Time { return s.o.Now().UTC().Truncate(time.Microsecond) }

// Ever reports whether a user was ever made: then nobody is the first any more.
func (s *Service) Ever(ctx context.Context) (bool, error) { return s.o.Store.EverUser(ctx) }

// FormToken is what a form carries that is made for the browser with a cookie of
// that value; it tells nothing of the value.
func (s *Service) FormToken(cookie string) string {
	m := hmac.New(sha256.New, s.o.Key[:])
	m.Write([]byte("form 1\x00" + cookie))
	return encoding.EncodeToString(m.Sum(nil))
}

// Made reports whether a form's token is the one for a cookie's value.
func (s *Service) Made(cookie, token string) bool {
	return cookie != "" && subtle.ConstantTimeCompare([]byte(s.FormToken(cookie)), []byte(token)) == 1
}

var encoding = base64.RawURLEncoding.Strict()

// newValue is a new cookie's value and its hash.
func newValue() (value string, hash [sha256.Size]byte) {
	var b [32]byte
	rand.Read(b[:])
	value = encoding.EncodeToString(b[:])
	return value, sha256.Sum256([]byte(value))
}

// newID is an ID with the prefix of a kind.
func newID(kind string, now time.Time) string { return kind + accesskey.NewID(now)[len("pak"):] }
