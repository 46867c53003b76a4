package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/say"
	"postern.dev/postern/internal/signin"
)

func (c *Console) registerSignIn() {
	c.open("GET /signin", c.signInPage)
	c.open("POST /signin", c.signIn)
	c.open("GET /signin/code", c.codePage)
	c.open("POST /signin/code", c.code)
	c.open("GET /setup", c.setupPage)
	c.open("POST /setup", c.setup)
	c.page("POST /signout", c.signOut)
}

// open registers a page for who is not signed in. Its forms are bound to a cookie of
// their own until there is a session.
func (c *Console) open(pattern string, h func(*visit) error) {
	method, path, _ := strings.Cut(pattern, " ")
	c.mux.HandleFunc(method+" "+Dir+path, func(w http.ResponseWriter, r *http.Request) {
		v := &visit{c: c, w: w, r: r, id: httpx.NewRequestID()}
		err := v.approach(method == http.MethodPost)
		if err == nil {
			err = h(v)
		}
		if err != nil {
			c.fail(v, err)
		}
	})
}

// approach checks that a form comes from the page that this browser was given, and
// gives it the cookie for the next.
func (v *visit) approach(form bool) error {
	jar := v.c.jar(v.r)
	cookie := jar.ConsoleForm(v.r.Header)
	if form {
		if err := v.read(maxOpenForm); err != nil {
			return err
		}
		if !v.c.o.Accounts.Made(cookie, v.r.PostForm.Get("csrf")) {
			return errForged
		}
	}
	if len(cookie) != len(signin.NewFormCookie()) {
		cookie = signin.NewFormCookie()
	}
	jar.SetConsoleForm(v.w.Header(), cookie)
	v.session.CSRF = v.c.o.Accounts.FormToken(cookie)
	return nil
}

// next is where to after the sign-in: a page of the console, whatever the address
// says. A browser takes a backslash for a slash, and two slashes for another host.
func next(asked string) string {
	u, err := url.Parse(asked)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(asked, Dir+"/") || strings.ContainsAny(u.Path, "\\\r\n\t\x00") ||
		strings.Contains(u.Path, "//") || path.Clean(u.Path)+"/" != strings.TrimSuffix(u.Path, "/")+"/" || strings.HasPrefix(u.Path, Dir+"/api/") {
		return "/"
	}
	u.Fragment = ""
	return strings.TrimPrefix(u.String(), Dir)
}

// signInForm is what the page of the sign-in shows.
type signInForm struct {
	Name, KeyID string // as they were typed
	Next        string
	Users       bool // there is, or was, a user
	ByKey       bool // the key's form was sent
}

func (v *visit) signInForm() (signInForm, error) {
	f := signInForm{Name: v.r.PostForm.Get("username"), KeyID: v.r.PostForm.Get("key-id"), Next: v.r.FormValue("next")}
	f.ByKey = v.r.PostForm.Has("key-id")
	var err error
	f.Users, err = v.c.o.Accounts.Ever(v.r.Context())
	return f, err
}

func (c *Console) signInPage(v *visit) error {
	if _, err := c.session(v.r); err == nil {
		v.to(next(v.r.FormValue("next")))
		return nil
	} else if k := fault.KindOf(err); k != fault.Unauthenticated && k != fault.Denied { // who may not be here with one key may have another
		return err
	}
	f, err := v.signInForm()
	if err != nil {
		return err
	}
	return v.show("signin", "", "Sign in", f)
}

// signIn takes either of the two forms. A user with a second factor goes on to the
// page that asks for the code.
func (c *Console) signIn(v *visit) error {
	f, err := v.signInForm()
	if err != nil {
		return err
	}
	var value string
	var half bool
	if f.ByKey {
		value, err = c.o.Accounts.SignInKey(v.r.Context(), strings.TrimSpace(f.KeyID), strings.TrimSpace(v.r.PostForm.Get("key-secret")), browser(v.r))
	} else {
		value, half, err = c.o.Accounts.SignIn(v.r.Context(), f.Name, v.r.PostForm.Get("password"), browser(v.r))
	}
	if err != nil {
		return v.refused(err, "signin", "Sign in", f)
	}
	if err := v.begin(value); err != nil {
		return err
	}
	if half {
		v.to("/signin/code?next=" + url.QueryEscape(Dir+next(f.Next)))
		return nil
	}
	v.to(next(f.Next))
	return nil
}

// refused shows a form again that somebody was not let in by, and how long to wait
// where that is why.
func (v *visit) refused(err error, view, title string, body any) error {
	if locked, ok := account.IsLocked(err); ok {
		seconds := int((locked.RetryAfter() + time.Second - 1) / time.Second)
		v.w.Header().Set("Retry-After", strconv.Itoa(seconds))
		err = fault.New(fault.TooMany, "Too many attempts have failed.").WithCode("signin_locked").WithHint("Wait " + say.Plural(seconds, "second", "seconds") + ", then try again; until then the right one is refused too.")
	}
	return v.marked(err, view, "", title, body)
}

// codeForm is what the page of the second factor shows.
type codeForm struct{ Next string }

func (c *Console) codePage(v *visit) error {
	half, err := c.o.Accounts.Half(v.r.Context(), c.jar(v.r).Console(v.r.Header))
	if err != nil {
		return err
	}
	if !half {
		v.to("/signin")
		return nil
	}
	return v.show("signin-code", "", "Your code", codeForm{v.r.FormValue("next")})
}

func (c *Console) code(v *visit) error {
	f := codeForm{v.r.PostForm.Get("next")}
	value, err := c.o.Accounts.Code(v.r.Context(), c.jar(v.r).Console(v.r.Header), v.r.PostForm.Get("code"), browser(v.r))
	if fault.KindOf(err) == fault.Unauthenticated && !errors.Is(err, account.ErrCode) {
		return err // too late: begin again
	}
	if err != nil {
		return v.refused(err, "signin-code", "Your code", f)
	}
	if err := v.begin(value); err != nil {
		return err
	}
	v.to(next(f.Next))
	return nil
}

// signOut ends the session; the cookie goes in any case.
func (c *Console) signOut(v *visit) error {
	jar := c.jar(v.r)
	value := jar.Console(v.r.Header)
	jar.SetConsole(v.w.Header(), "", 0)
	if err := c.o.Accounts.SignOut(v.r.Context(), value, browser(v.r)); err != nil {
		return err
	}
	v.said("/signin", "signed-out")
	return nil
}

// setupForm is what the page of the first user shows.
type setupForm struct {
	KeyID, Name string
	Wrong       wrongUser
}

// isNew refuses, as if there were no page, once a user was ever made.
func (c *Console) isNew(v *visit) error {
	ever, err := c.o.Accounts.Ever(v.r.Context())
	if err == nil && ever {
		err = errNoPage
	}
	return err
}

func (c *Console) setupPage(v *visit) error {
	if err := c.isNew(v); err != nil {
		return err
	}
	return v.show("setup", "", "Make the first user", setupForm{})
}

// setup makes the first user with an administrator's key, as the control API does it
// for that key, and signs them in. Of two at once the API makes one.
func (c *Console) setup(v *visit) error {
	if err := c.isNew(v); err != nil {
		return err
	}
	form := v.r.PostForm
	f := setupForm{strings.TrimSpace(form.Get("key-id")), form.Get("username"), v.wrongUser(form.Get("username"))}
	const view, title = "setup", "Make the first user"
	if f.KeyID == "" || form.Get("key-secret") == "" {
		return v.mistaken(fault.New(fault.Invalid, "the administrator's key is missing").WithHint("write its key ID and its key secret"), view, "", title, f)
	}
	if f.Wrong.Any() {
		return v.marked(errUserForm, view, "", title, f)
	}
	key, err := c.o.Accounts.Key(f.KeyID, strings.TrimSpace(form.Get("key-secret")), browser(v.r))
	if err != nil {
		return v.refused(err, view, title, f)
	}
	password := form.Get("new-password")
	v.as(key)
	_, err = v.api.CreateUser(v.r.Context(), api.CreateUserRequest{Name: f.Name, Password: password, First: true})
	if err != nil && v.failureOf(err).Code == "setup_done" {
		return errNoPage
	}
	if err != nil {
		return v.marked(err, view, "", title, f)
	}
	value, _, err := c.o.Accounts.SignIn(v.r.Context(), f.Name, password, browser(v.r))
	if fault.KindOf(err) == fault.Unavailable { // others sign in, and the user is there
		v.said("/signin", "user-made")
		return nil
	}
	if err != nil {
		return fmt.Errorf("sign the first user in: %w", err)
	}
	if err := v.begin(value); err != nil {
		return err
	}
	v.said("/account", "user-first")
	return nil
}

// as asks the API with a key that was shown for this one request.
func (v *visit) as(key auth.Principal) {
	asked := *v
	asked.session.In = func(ctx context.Context) context.Context {
		return auth.WithSession(ctx, func(time.Time) (auth.Principal, error) { return key, nil })
	}
	v.api = v.c.client(&asked, key.ProjectID())
}
