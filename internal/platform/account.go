package platform

import (
	"crypto/sha256"
	"time"
)

// User is a person who may sign in to the console, for their project and what is
// below it. One that was removed stays as a name with nothing behind it.
type User struct {
	ID        string // "usr_" + lower-case ULID
	ProjectID string
	Name      string // unique among those that are there, of all projects
	Password  string // argon2id, in the PHC string format
	// Generation counts the passwords that the user has had, from 1. A session
	// carries the one that it was begun with, and ends with it.
	Generation int
	TOTP       []byte // the sealed secret of the second factor; empty: there is none
	TOTPStep   int64  // the last step of time whose code was taken
	// Recovery are the codes for one use each that are left: they are random, so
	// a fast hash will do.
	Recovery   [][sha256.Size]byte
	CreatedAt  time.Time
	UpdatedAt  time.Time
	SignedInAt time.Time // zero: never
	DeletedAt  time.Time // zero: there
}

// Session is one sign-in to the console. The value of its cookie is random, and
// kept as its hash alone.
type Session struct {
	Hash [sha256.Size]byte
	ID   string // "ses_" + lower-case ULID; names it in lists and opens nothing
	// OwnerID is the user, or the access key that was shown instead.
	OwnerID   string
	ProjectID string // of the owner
	// Generation is that of the password or of the secret that was shown.
	Generation int
	// Half marks a sign-in whose password was right and whose second factor is
	// not shown yet. It opens nothing.
	Half      bool
	Remote    string // the address that it was begun from
	Agent     string // what the browser called itself
	CreatedAt time.Time
	SeenAt    time.Time
	IdleAt    time.Time // when it ends unless it is used
	ExpiresAt time.Time // when it ends in any case
}

// LiveAt reports whether the session has not ended by itself.
func (s Session) LiveAt(now time.Time) bool {
	return now.Before(s.IdleAt) && now.Before(s.ExpiresAt)
}
