package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// namePattern is what a user may be called: an address of mail is a name.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// CheckName says what is wrong with a user's name.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fault.New(fault.Invalid, "name is none that a user can have").WithCode("user_name_invalid").WithHint("write up to 64 lower-case letters, digits, dots, hyphens, underscores, + and @, with a letter or a digit first")
	}
	return nil
}

// PlainName is a name as it was meant: capitals and spaces are a keyboard's.
func PlainName(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	return name[:min(len(name), 100)]
}

var errNoUser = fault.New(fault.Invalid, "this session is of an access key, which has no password").WithHint("sign in as a user")

// Create makes a user of a project. As the first one they are refused where a user
// was ever made.
func (s *Service) Create(ctx context.Context, projectID, name, password string, first bool) (platform.User, error) {
	name = PlainName(name)
	if err := CheckName(name); err != nil {
		return platform.User{}, err
	}
	if err := CheckPassword(name, password); err != nil {
		return platform.User{}, err
	}
	hash, err := s.hashes.hash(ctx, password)
	if err != nil {
		return platform.User{}, err
	}
	now := s.now()
	u := platform.User{ID: newID("usr", now), ProjectID: projectID, Name: name, Password: hash, Generation: 1, CreatedAt: now, UpdatedAt: now}
	return u, s.o.Store.CreateUser(ctx, u, first)
}

// Reset gives a user of a project another password. All their sessions end.
func (s *Service) Reset(ctx context.Context, projectID, id, password string) (platform.User, error) {
	u, err := s.o.Store.User(ctx, projectID, id)
	if err != nil {
		return u, err
	}
	return s.setPassword(ctx, u, password, nil)
}

// ResetTOTP takes a user's second factor away, for who lost it and the recovery
// codes.
func (s *Service) ResetTOTP(ctx context.Context, projectID, id string) (platform.User, error) {
	return s.o.Store.UpdateUser(ctx, projectID, id, s.now(), func(u *platform.User) error {
		u.TOTP, u.Recovery = nil, nil
		return nil
	})
}

func (s *Service) setPassword(ctx context.Context, u platform.User, password string, check func(platform.User) error) (platform.User, error) {
	if err := CheckPassword(u.Name, password); err != nil {
		return u, err
	}
	hash, err := s.hashes.hash(ctx, password)
	if err != nil {
		return u, err
	}
	return s.o.Store.UpdateUser(ctx, u.ProjectID, u.ID, s.now(), func(u *platform.User) error {
		if check != nil {
			if err := check(*u); err != nil {
				return err
			}
		}
		u.Password = hash
		u.Generation++
		return nil
	})
}

// Password changes the password of a session's user, who shows the old one. Their
// sessions end, this one too: value is that of the one which takes its place.
func (s *Service) Password(ctx context.Context, in Session, old, password string, b Browser) (value string, err error) {
	defer func() { s.record("changePassword", in, err) }()
	if err := s.proves(ctx, in, old); err != nil {
		return "", err
	}
	if old == password {
		return "", fault.New(fault.Invalid, "password is the one of now").WithCode("password_weak").WithHint("take another one")
	}
	was := platform.User{ID: in.OwnerID, ProjectID: in.ProjectID, Name: in.Name}
	u, err := s.setPassword(ctx, was, password, func(now platform.User) error {
		if now.Generation != in.Generation { // somebody was faster
			return auth.ErrSession
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return s.begin(ctx, platform.Session{OwnerID: u.ID, ProjectID: u.ProjectID, Generation: u.Generation}, b)
}

// proves refuses what a session does to its account without the user's password: a
// browser that was left open must not lose them the account.
func (s *Service) proves(ctx context.Context, in Session, password string) error {
	if in.Principal.User == nil {
		return errNoUser
	}
	attempt, err := s.desk.Begin(realmPassword, in.Name, in.remote, s.o.Now())
	if err != nil {
		return err
	}
	defer attempt.Drop()
	u, err := s.shown(ctx, in.Name, password)
	if err == nil && u.ID != in.OwnerID {
		err = ErrWrong
	}
	switch {
	case errors.Is(err, ErrWrong):
		attempt.Wrong(s.o.Now())
		return ErrOld
	case err != nil:
		return fmt.Errorf("check the password of %s: %w", in.OwnerID, err)
	}
	attempt.Right(s.o.Now())
	return nil
}
