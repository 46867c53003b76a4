package account

import (
	"context"
	"errors"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
)

// The realms of what is guessed, each with waits of its own: who knows a password
// does not get new tries at codes by showing it.
var (
	realmPassword = []byte("console password")
	realmCode     = []byte("console code")
	realmKey      = []byte("console key")
)

// SignIn signs a user in by name and password. With half set the value is good for
// Code alone, which asks for the second factor. A LockedError tells how long to
// wait, whether the password is right or not.
func (s *Service) SignIn(ctx context.Context, name, password string, b Browser) (value string, half bool, err error) {
	act := Act{Action: "signIn", Remote: b.Remote}
	defer func() {
		if act.Err = err; !half {
			s.o.Record(act)
		}
	}()
	name = PlainName(name)
	attempt, err := s.desk.Begin(realmPassword, name, b.Remote, s.o.Now())
	if err != nil {
		return "", false, err
	}
	defer attempt.Drop()
	u, err := s.shown(ctx, name, password)
	if errors.Is(err, ErrWrong) {
		attempt.Wrong(s.o.Now())
		act.ProjectID, act.Target = u.ProjectID, u.ID // who it is should see it
	}
	if err != nil {
		return "", false, err
	}
	attempt.Right(s.o.Now())
	act.ProjectID, act.By = u.ProjectID, u.ID
	if half = len(u.TOTP) > 0; !half {
		if err := s.welcome(ctx, u, nil); err != nil {
			return "", false, err
		}
	}
	value, err = s.begin(ctx, platform.Session{OwnerID: u.ID, ProjectID: u.ProjectID, Generation: u.Generation, Half: half}, b)
	return value, half, err
}

// shown is the user with a name and a password. One that was hashed at another cost
// is hashed anew.
func (s *Service) shown(ctx context.Context, name, password string) (u platform.User, err error) {
	if CheckName(name) == nil { // else a database may not even take it as text
		if u, err = s.o.Store.UserByName(ctx, name); err != nil && fault.KindOf(err) != fault.NotFound {
			return u, err
		}
	}
	if len(password) > MaxPassword {
		password = "" // which is nobody's, and takes as long
	}
	right, stale, err := s.hashes.is(ctx, u.Password, password)
	if err == nil && (!right || u.ID == "") {
		err = ErrWrong
	}
	if err != nil || !stale {
		return u, err
	}
	anew, err := s.hashes.hash(ctx, password)
	if err != nil {
		return u, err
	}
	was := u.Password
	return s.o.Store.UpdateUser(ctx, u.ProjectID, u.ID, s.now(), func(u *platform.User) error {
		if u.Password == was {
			u.Password = anew
		}
		return nil
	})
}

// welcome notes that a user signs in, if what they showed still holds.
func (s *Service) welcome(ctx context.Context, u platform.User, check func(*platform.User) error) error {
	_, err := s.o.Store.UpdateUser(ctx, u.ProjectID, u.ID, s.now(), func(now *platform.User) error {
		if now.Generation != u.Generation {
			return ErrWrong
		}
		if check != nil {
			if err := check(now); err != nil {
				return err
			}
		}
		now.SignedInAt = s.now()
		return nil
	})
	if fault.KindOf(err) == fault.NotFound {
		return ErrWrong
	}
	return err
}

// Half reports whether a cookie's value is one that Code takes.
func (s *Service) Half(ctx context.Context, value string) (bool, error) {
	got, err := s.stored(ctx, value)
	if fault.KindOf(err) == fault.Unauthenticated {
		return false, nil
	}
	return got.Half, err
}

// Code ends a sign-in by the second factor. The value is another than the one that
// was half, which is worth nothing any more.
func (s *Service) Code(ctx context.Context, before, code string, b Browser) (value string, err error) {
	got, err := s.stored(ctx, before)
	if err == nil && !got.Half {
		err = auth.ErrSession
	}
	if err != nil {
		return "", err
	}
	defer func() {
		s.o.Record(Act{Action: "signIn", ProjectID: got.ProjectID, By: got.OwnerID, Remote: b.Remote, Err: err})
	}()
	attempt, err := s.desk.Begin(realmCode, got.OwnerID, b.Remote, s.o.Now())
	if err != nil {
		return "", err
	}
	defer attempt.Drop()
	u := platform.User{ID: got.OwnerID, ProjectID: got.ProjectID, Generation: got.Generation}
	err = s.welcome(ctx, u, func(now *platform.User) error {
		if len(now.TOTP) == 0 { // it was taken away meanwhile
			return auth.ErrSession
		}
		return s.takeCode(ctx, now, code)
	})
	if errors.Is(err, ErrCode) {
		attempt.Wrong(s.o.Now())
	}
	if err != nil {
		return "", err
	}
	attempt.Right(s.o.Now())
	if err := s.o.Store.EndSession(ctx, got.OwnerID, got.ID); err != nil {
		return "", err
	}
	return s.begin(ctx, platform.Session{OwnerID: u.ID, ProjectID: u.ProjectID, Generation: u.Generation}, b)
}

// SignInKey signs in by an access key with the scope control.
func (s *Service) SignInKey(ctx context.Context, id, secret string, b Browser) (value string, err error) {
	p, generation, err := s.key(id, secret, b)
	defer func() { s.o.Record(s.actOf(p, id, b, err)) }()
	if err != nil {
		return "", err
	}
	return s.begin(ctx, platform.Session{OwnerID: p.ID(), ProjectID: p.ProjectID(), Generation: generation}, b)
}

// Key is whose key ID and secret those are, for one act without a session. They
// may control what is their own. What is refused is recorded as a sign-in is.
func (s *Service) Key(id, secret string, b Browser) (auth.Principal, error) {
	p, _, err := s.key(id, secret, b)
	if err != nil {
		s.o.Record(s.actOf(p, id, b, err))
		return auth.Principal{}, err
	}
	return p, nil
}

// actOf is a sign-in by a key, or by what somebody took for one.
func (s *Service) actOf(p auth.Principal, id string, b Browser, err error) Act {
	act := Act{Action: "signIn", Remote: b.Remote, Err: err}
	if p.Key != nil {
		act.ProjectID, act.By = p.ProjectID(), p.ID()
	} else if k := s.o.Directory().ByID(id); k != nil {
		act.ProjectID, act.Target = k.ProjectID(), k.ID()
	}
	return act
}

func (s *Service) key(id, secret string, b Browser) (auth.Principal, int, error) {
	now := s.o.Now()
	attempt, err := s.desk.Begin(realmKey, id, b.Remote, now)
	if err != nil {
		return auth.Principal{}, 0, err
	}
	defer attempt.Drop()
	d := s.o.Directory()
	k, generation := auth.Client(d, id, secret, now)
	if k == nil {
		attempt.Wrong(now)
		return auth.Principal{}, 0, ErrWrongKey
	}
	attempt.Right(now)
	p, err := auth.OfKey(d, id, generation, now)
	if err == nil {
		err = controls(p, b.Remote)
	}
	if errors.Is(err, auth.ErrScope) {
		err = ErrNoRights
	}
	return p, generation, err
}

// IsLocked reports whether an attempt was refused because of those before it.
func IsLocked(err error) (*signin.LockedError, bool) { return errors.AsType[*signin.LockedError](err) }
