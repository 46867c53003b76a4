package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
)

// The actions of the audit log that are of the built-in pages.
const (
	actionSignIn  = "signIn"
	actionSignOut = "signOut"
)

// maxForm is the size of the forms that the built-in pages take.
const maxForm = 8 << 10

var (
	errForm     = fault.New(fault.Invalid, "this takes the form of the page, as application/x-www-form-urlencoded, with each field once")
	errFormSize = fault.New(fault.Invalid, "the form is too large").WithCode("body_too_large")
	errNotEnded = fault.New(fault.Unavailable, "the session is ended on this node, and the others could not be told")
)

// loginPage is GET /login.
func (g *Gateway) loginPage(x *exchange) {
	asked, _ := url.ParseQuery(x.query)
	g.showLogin(x, http.StatusOK, signin.Page{Next: safeNext(asked.Get("next")), Out: asked.Has("out")})
}

func (g *Gateway) showLogin(x *exchange, status int, p signin.Page) {
	p.Function, p.Token = x.target.function.Name, x.openForm()
	x.html(status, p.Login())
}

// logoutPage is GET /logout: it ends nothing, for a link or a picture can make
// a browser get it.
func (g *Gateway) logoutPage(x *exchange) { g.showLogout(x, http.StatusOK, signin.Page{}) }

func (g *Gateway) showLogout(x *exchange, status int, p signin.Page) {
	p.Function, p.Token = x.target.function.Name, x.openForm()
	x.html(status, p.Logout())
}

// openForm binds a form to the browser that asks for it.
func (x *exchange) openForm() (token string) {
	a := x.target.admin
	cookie := a.jar.Form(x.r.Header)
	if len(cookie) != len(signin.NewFormCookie()) {
		cookie = signin.NewFormCookie()
	}
	a.jar.SetForm(x.w.Header(), cookie)
	return a.pair.FormToken(cookie)
}

// logIn is POST /login.
func (g *Gateway) logIn(x *exchange) {
	a := x.target.admin
	form, err := x.form("username", "password", "next", "form")
	if err == nil {
		err = x.proven(form)
	}
	if err == nil {
		err = g.tryAt(x, form.Get("username"), form.Get("password"))
	}
	if err != nil {
		g.refuseLogin(x, form, err)
		return
	}
	if g.session(x) { // one browser has one session
		g.end(x)
	}
	s, h := signin.Begin(x.began), x.w.Header()
	a.jar.SetSession(h, a.pair.Seal(s), s.Left(x.began))
	a.jar.SetForm(h, "")
	g.recordVisit(x)
	x.seeOther(safeNext(form.Get("next")))
}

// logOut is POST /logout. The cookie goes in any case; the session ends in this
// process before the others are told.
func (g *Gateway) logOut(x *exchange) {
	form, err := x.form("form")
	if err == nil {
		err = x.proven(form)
	}
	if err != nil {
		if errors.Is(err, signin.ErrForged) && signin.Navigates(x.r.Header) && !x.target.admin.ownLogout {
			g.showLogout(x, x.refused(err), signin.Page{Forged: true})
			return
		}
		g.refuse(x, err)
		return
	}
	x.target.admin.jar.SetSession(x.w.Header(), "", 0)
	if g.session(x) {
		if err := g.end(x); err != nil {
			g.log.Error("a session that was ended may live on other nodes", "requestId", x.id, "function", x.target.function.Slug, "error", err)
			g.refuse(x, errNotEnded)
			return
		}
	}
	g.recordVisit(x)
	x.seeOther(loginPath + "?out")
}

// end ends the request's session, here at once, and then everywhere.
func (g *Gateway) end(x *exchange) error {
	token := x.visit.session.Token()
	x.snapshot.keys.Revoke(x.began, token)
	if g.options.EndSession == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), 5*time.Second)
	defer cancel()
	return g.options.EndSession(ctx, token)
}

// form reads the form of a request. Fields that are not named are not looked
// at; those that are may come once.
func (x *exchange) form(names ...string) (url.Values, error) {
	body, err := io.ReadAll(io.LimitReader(x.r.Body, maxForm+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "the body could not be read to its end")
	case len(body) > maxForm:
		return nil, errFormSize
	case len(body) == 0:
		return url.Values{}, nil
	}
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	form, err := url.ParseQuery(string(body))
	for _, name := range names {
		if len(form[name]) > 1 {
			err = errForm
		}
	}
	if err != nil {
		return nil, errForm
	}
	return form, nil
}

// proven refuses a form that another site made a browser send: to sign somebody
// in as another, or out. Where the browser does not tell, the token does.
func (x *exchange) proven(form url.Values) error {
	a := x.target.admin
	ours, known := signin.FormIsOurs(x.r.Header, x.at())
	if !known {
		ours = a.pair.Made(a.jar.Form(x.r.Header), form.Get("form"))
	}
	if !ours {
		return signin.ErrForged
	}
	return nil
}

// refuseLogin answers an attempt that failed: a browser's with the page again,
// or by way of the function's own page; any other with a problem.
func (g *Gateway) refuseLogin(x *exchange, form url.Values, err error) {
	x.step = stepAuthenticate
	wrong, forged := errors.Is(err, signin.ErrWrong), errors.Is(err, signin.ErrForged)
	locked, waits := errors.AsType[*signin.LockedError](err)
	if !wrong && !forged && !waits || !signin.Navigates(x.r.Header) {
		g.refuse(x, err)
		return
	}
	p := signin.Page{User: form.Get("username"), Next: safeNext(form.Get("next")), Refused: wrong, Forged: forged}
	if waits {
		p.Wait = locked.RetryAfter()
	}
	if len(p.User) > signin.MaxText {
		p.User = ""
	}
	status := x.refused(err)
	if x.target.admin.ownLogin {
		to := loginPath + "?error=" + x.code
		if waits {
			to += "&wait=" + strconv.Itoa(p.Seconds())
		}
		x.seeOther(to + nextQuery("&", p.Next))
		return
	}
	if waits {
		x.w.Header()["Retry-After"] = []string{strconv.Itoa(p.Seconds())}
	}
	if wrong {
		x.w.Header()[auth.ChallengeHeader] = x.challenge(err)
	}
	g.showLogin(x, status, p)
}

// refused notes a refusal that is not answered with a problem.
func (x *exchange) refused(err error) (status int) {
	c := httpx.CodeOf(err)
	x.why, x.code = err, c.Code
	return c.Status
}

// html answers with a built-in page.
func (x *exchange) html(status int, page []byte) {
	h := x.w.Header()
	signin.Shield(h)
	h["X-Request-Id"] = []string{x.id}
	h["Content-Length"] = []string{strconv.Itoa(len(page))}
	x.status = status
	x.w.WriteHeader(status)
	n, _ := x.w.Write(page)
	x.sent = int64(n)
}

// seeOther sends a browser on, to a path of this host.
func (x *exchange) seeOther(to string) {
	h := x.w.Header()
	h["Location"] = []string{to}
	h["Cache-Control"] = []string{"no-store"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["X-Request-Id"] = []string{x.id}
	h["Content-Length"] = []string{"0"}
	x.status = http.StatusSeeOther
	x.w.WriteHeader(x.status)
}

// recordVisit makes an audit event of a sign-in, or of the end of one, and waits
// until it is stored, unless it is one of so many that a sum is told. While the database is away people sign in and out all the
// same, as calls are served; the log has a line then.
func (g *Gateway) recordVisit(x *exchange) {
	s := audit.Series{Door: platform.DoorGateway, ProjectID: x.target.function.ProjectID, Target: x.target.function.Slug,
		Action: x.visit.action, Outcome: platform.OutcomeAllowed, Status: http.StatusSeeOther}
	if !g.options.Audit.Take(s) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), time.Second)
	defer cancel()
	err := g.options.Audit.Commit(ctx, audit.Event{Door: s.Door, ProjectID: s.ProjectID, Target: s.Target, Action: s.Action, Outcome: s.Outcome, Status: s.Status,
		Method: string(auth.MethodAdmin), RequestID: x.id, Remote: x.remote()})
	if err != nil {
		g.log.Error("a sign-in or sign-out is not in the audit log", "requestId", x.id, "action", x.visit.action, "error", err)
	}
}

// action is what the request asked for, in the audit log.
func (x *exchange) action() string {
	if x.visit != nil && x.visit.action != "" {
		return x.visit.action
	}
	return "invoke"
}
