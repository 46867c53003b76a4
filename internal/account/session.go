package account

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"
	"unicode"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Browser is what is known of who asks.
type Browser struct {
	Remote string // address and port, as net/http gives it
	Agent  string // what the browser calls itself
}

// Session is a sign-in that is good at the moment at which it was asked for.
type Session struct {
	platform.Session
	Name      string // the user's, or the key's display name
	Principal auth.Principal
	TOTP      bool // the user has a second factor
	remote    string
}

// begin makes a session, and returns the value of its cookie.
func (s *Service) begin(ctx context.Context, of platform.Session, b Browser) (value string, err error) {
	now := s.now()
	of.ID, of.CreatedAt, of.SeenAt, of.IdleAt, of.ExpiresAt = newID("ses", now), now, now, now.Add(Idle), now.Add(Lifetime)
	if of.Half {
		of.IdleAt, of.ExpiresAt = now.Add(halfLife), now.Add(halfLife)
	}
	of.Agent, of.Remote = plainText(b.Agent, 200), plainText(b.Remote, 100)
	if a := platform.CallerAddr(b.Remote); a.IsValid() {
		of.Remote = a.String()
	}
	value, of.Hash = newValue()
	return value, s.o.Store.CreateSession(ctx, of, keep)
}

// plainText is a text of a stranger's, short and without what does not print.
func plainText(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), 4*most)], ""))
	if r := []rune(text); len(r) > most {
		text = string(r[:most])
	}
	return text
}

// stored is the session of a cookie's value that has not ended by itself.
func (s *Service) stored(ctx context.Context, value string) (platform.Session, error) {
	if len(value) != encoding.EncodedLen(32) {
		return platform.Session{}, auth.ErrSession
	}
	got, err := s.o.Store.Session(ctx, sha256.Sum256([]byte(value)))
	if fault.KindOf(err) == fault.NotFound || err == nil && !got.LiveAt(s.now()) {
		err = auth.ErrSession
	}
	return got, err
}

// Session is the session of a cookie's value. It is an error where there is none
// that is good, and Denied where its key may not be used from the browser's
// address.
func (s *Service) Session(ctx context.Context, value string, b Browser) (Session, error) {
	out, err := s.Look(ctx, value, b)
	if err != nil {
		return Session{}, err
	}
	if now := s.now(); now.Sub(out.SeenAt) >= seeEvery {
		out.SeenAt, out.IdleAt = now, now.Add(Idle)
		err = s.o.Store.SeeSession(ctx, out.ID, out.SeenAt, out.IdleAt)
	}
	return out, err
}

// Look is Session without being a use of it: what a page that was left open does by
// itself keeps nobody signed in.
func (s *Service) Look(ctx context.Context, value string, b Browser) (Session, error) {
	got, err := s.stored(ctx, value)
	if err != nil {
		return Session{}, err
	}
	if got.Half {
		return Session{}, auth.ErrSession
	}
	out := Session{Session: got, remote: b.Remote}
	if strings.HasPrefix(got.OwnerID, "usr_") {
		return out, s.ofUser(ctx, &out)
	}
	return out, s.ofKey(ctx, &out)
}

func (s *Service) ofUser(ctx context.Context, out *Session) error {
	u, err := s.o.Store.User(ctx, out.ProjectID, out.OwnerID)
	if fault.KindOf(err) == fault.NotFound || err == nil && u.Generation != out.Generation {
		err = auth.ErrSession
	}
	if err != nil {
		return err
	}
	out.Name, out.TOTP = u.Name, len(u.TOTP) > 0
	out.Principal = auth.Principal{Method: auth.MethodSession, User: &auth.User{ID: u.ID, ProjectID: u.ProjectID}}
	return nil
}

func (s *Service) ofKey(ctx context.Context, out *Session) (err error) {
	if out.Principal, err = auth.OfKey(s.o.Directory(), out.OwnerID, out.Generation, s.now()); err != nil {
		return err
	}
	if err := controls(out.Principal, out.remote); err != nil {
		return err
	}
	k, err := s.o.Store.Key(ctx, out.ProjectID, out.OwnerID)
	if fault.KindOf(err) == fault.NotFound || err == nil && !k.RevokedAt.IsZero() {
		err = auth.ErrSession
	}
	out.Name = k.DisplayName
	return err
}

// controls reports whether a principal may control what is its own.
func controls(p auth.Principal, remote string) error {
	return auth.Decide(p, auth.Need{ProjectID: p.ProjectID(), Scope: platform.ScopeControl, RemoteAddr: remote})
}

// In puts a session into a context, for the control API.
func (s *Service) In(ctx context.Context, value string, b Browser) context.Context {
	return auth.WithSession(ctx, func(time.Time) (auth.Principal, error) {
		now, err := s.Look(ctx, value, b)
		if err != nil {
			return auth.Principal{}, err
		}
		return now.Principal, nil
	})
}

// SignOut ends the session of a cookie's value, half ones as well; what is none
// has ended.
func (s *Service) SignOut(ctx context.Context, value string, b Browser) error {
	got, err := s.stored(ctx, value)
	if fault.KindOf(err) == fault.Unauthenticated {
		return nil
	}
	if err == nil {
		err = s.o.Store.EndSession(ctx, got.OwnerID, got.ID)
	}
	if !got.Half {
		s.o.Record(Act{Action: "signOut", ProjectID: got.ProjectID, By: got.OwnerID, Remote: b.Remote, Err: err})
	}
	return err
}

// List is the sessions of a session's owner, newest first.
func (s *Service) List(ctx context.Context, in Session) (out []platform.Session, err error) {
	all, err := s.o.Store.Sessions(ctx, in.OwnerID, s.now())
	for _, one := range all {
		if !one.Half && one.Generation == in.Generation {
			out = append(out, one)
		}
	}
	return out, err
}

// End ends another session of a session's owner.
func (s *Service) End(ctx context.Context, in Session, id string) (err error) {
	defer func() { s.record("endSession", in, err) }()
	return s.o.Store.EndSession(ctx, in.OwnerID, id)
}

// EndOthers ends all sessions of a session's owner but this one.
func (s *Service) EndOthers(ctx context.Context, in Session) (err error) {
	defer func() { s.record("endSession", in, err) }()
	return s.o.Store.EndOtherSessions(ctx, in.OwnerID, in.ID)
}

func (s *Service) record(action string, in Session, err error) {
	s.o.Record(Act{Action: action, ProjectID: in.ProjectID, By: in.OwnerID, Remote: in.remote, Err: err})
}
