package console

import (
	"context"
	"net/http"
	"strings"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/signin"
)

// Session is the sign-in of somebody, good at the moment at which it was asked for.
type Session struct {
	// Name is how the person is called in a page: the user's, or the key's display name.
	Name string
	// UserID or KeyID is who it is; the other is empty.
	UserID, KeyID string
	// ProjectID is where they belong; its subprojects are theirs as well.
	ProjectID string
	// CSRF is the text that each form of this session carries.
	CSRF string
	// In puts into a context who it is, for the control API; nil: nobody is signed in.
	In func(context.Context) context.Context

	account account.Session
}

// session is the session of a request's cookie: Unauthenticated where there is none
// that is good, Denied where it may not be used from there.
func (c *Console) session(r *http.Request) (Session, error) {
	value, b := c.jar(r).Console(r.Header), browser(r)
	if value == "" {
		return Session{}, auth.ErrSession
	}
	look := c.o.Accounts.Session
	if byItself(r) {
		look = c.o.Accounts.Look
	}
	got, err := look(r.Context(), value, b)
	if err != nil {
		return Session{}, err
	}
	s := Session{Name: got.Name, ProjectID: got.ProjectID, CSRF: c.o.Accounts.FormToken(value), account: got,
		In: func(ctx context.Context) context.Context { return c.o.Accounts.In(ctx, value, b) }}
	if got.Principal.User != nil {
		s.UserID = got.OwnerID
	} else {
		s.KeyID = got.OwnerID
	}
	return s, nil
}

// byItself reports whether a page asks that may have been left open: for a stream or a
// chart, or for a part of it that has changed.
func byItself(r *http.Request) bool {
	return r.Method == http.MethodGet && (strings.HasPrefix(r.URL.Path, Dir+"/api/") || r.Header.Get("X-Live") != "")
}

func browser(r *http.Request) account.Browser {
	return account.Browser{Remote: r.RemoteAddr, Agent: r.UserAgent()}
}

// jar has the cookies by the names that they have at the origin of a request.
func (c *Console) jar(r *http.Request) signin.Jar {
	return signin.Jar{Secure: strings.HasPrefix(c.origin(r), "https:")}
}

// begin gives the browser a session that was just begun, and ends the one that it had.
func (v *visit) begin(value string) error {
	jar, h := v.c.jar(v.r), v.w.Header()
	if before := jar.Console(v.r.Header); before != "" && before != value {
		if err := v.c.o.Accounts.SignOut(v.r.Context(), before, browser(v.r)); err != nil {
			return err
		}
	}
	jar.SetConsole(h, value, account.Lifetime)
	jar.SetConsoleForm(h, "")
	return nil
}
