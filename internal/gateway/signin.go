package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signin"
)

// admin is a function's own user, and where a browser signs in as them: at the
// function's host name only. Below /fn/<slug>/ all functions are one origin, and
// the script of one would act with the cookie of another.
type admin struct {
	pair *signin.Pair
	who  auth.Admin
	// scheme is that of the host name; empty: it is one over which no browser
	// sends a password or keeps a cookie safely, and there are no pages.
	scheme string
	jar    signin.Jar
	// elsewhere is what a browser is told where there are no pages.
	elsewhere error
	// ownLogin and ownLogout: the function has the page itself.
	ownLogin, ownLogout bool
	doors               []*door // that take the user
}

// admin makes the user of a function; nil if its variables name none.
func (g *Gateway) admin(t *target) *admin {
	value := g.secretsOf(t)
	pair, err := g.options.SignInKey.Pair(t.function.ID, value(signin.UserVariable), value(signin.PasswordVariable))
	if err != nil {
		g.log.Warn("the function has no user of its own", "function", t.function.Slug, "error", err)
	}
	if pair == nil {
		return nil
	}
	a := &admin{pair: pair, who: auth.Admin{ProjectID: t.function.ProjectID, Group: t.function.Name}}
	a.ownLogin, a.ownLogout = hasPage(t.routes, loginPath, true), hasPage(t.routes, logoutPath, false)
	for i, d := range t.routes.Doors() {
		if d.Handler != nil && d.Handler.Guard == platform.GuardKey && t.doors[i].takes(auth.MethodAdmin) {
			a.doors = append(a.doors, &t.doors[i])
		}
	}
	urls := g.options.URLs(t.function.Slug)
	address := urls[len(urls)-1]
	base := g.options.BaseDomain
	local := base == "localhost" || strings.HasSuffix(base, ".localhost")
	hint := "sign in with a browser at " + address
	switch secure := strings.HasPrefix(address, "https://"); {
	case secure:
		a.scheme, a.jar = "https", signin.Jar{Secure: true}
	case local:
		a.scheme = "http"
	default:
		hint = "signing in with a browser needs HTTPS: start the server with --tls-cert, or with the --public-url of the proxy that has it"
	}
	a.elsewhere = fault.New(fault.Unauthenticated, auth.ErrNone.Text).WithHint(hint)
	return a
}

// The built-in pages.
const (
	loginPath  = "/login"
	logoutPath = "/logout"
)

// hasPage reports whether a function has a page of its own: an export of that
// name, or a route to that very path. One to sign in on has to be open.
func hasPage(t *function.Table, path string, open bool) bool {
	m, ok := t.Match(http.MethodGet, path)
	if !ok || m.Handler == nil || open && m.Guard != platform.GuardOpen {
		return false
	}
	_, pattern, _ := strings.Cut(m.Pattern, "/")
	return m.Handler.Name == path[1:] || "/"+pattern == path
}

// tryAt is a sign-in on the page, from an address from which the user may come
// to one of their doors at least.
func (g *Gateway) tryAt(x *exchange, user, password string) error {
	a := x.target.admin
	if len(a.doors) > 0 && !slices.ContainsFunc(a.doors, func(d *door) bool { return d.admits(x) }) {
		return errAddress
	}
	return g.desk.Try(a.pair, user, password, x.remote(), x.began)
}

// visit is what a request is to the pages: which of them it asks for, and as
// who a browser shows itself.
type visit struct {
	page    func(*Gateway, *exchange)
	action  string // of the audit log
	cookie  string // the session's, which is cut off before the handler
	session signin.Session
	in      bool // the session let it in
}

// browsable reports whether the request came to an address that has pages. A
// function that calls is no browser.
func (x *exchange) browsable() bool {
	a := x.target.admin
	return x.call == nil && a != nil && a.scheme != "" && len(x.own) == len(x.path) // else it is below /fn/
}

// at is the origin to which the request was made.
func (x *exchange) at() string { return x.target.admin.scheme + "://" + strings.ToLower(x.r.Host) }

// routeSignIn is step 2 for the built-in pages; ok is false if the request is
// not for one of them.
func (g *Gateway) routeSignIn(x *exchange) (ok bool, err error) {
	a := x.target.admin
	show, send, action, own := (*Gateway).loginPage, (*Gateway).logIn, actionSignIn, a.ownLogin
	switch x.own {
	case loginPath:
	case logoutPath:
		show, send, action, own = (*Gateway).logoutPage, (*Gateway).logOut, actionSignOut, a.ownLogout
	default:
		return false, nil
	}
	switch m := x.r.Method; {
	case m == http.MethodPost:
		x.visit = &visit{page: send, action: action}
	case own:
		return false, nil
	case m == http.MethodGet, m == http.MethodHead:
		x.visit = &visit{page: show, action: action}
	default:
		return true, &methodError{"GET, HEAD, POST"}
	}
	x.match, x.door = function.Match{Guard: platform.GuardOpen}, &plain
	return true, nil
}

// recogniseAdmin is step 3 where no key was recognised. What a header shows
// decides: a session stands only where there is nothing else.
func (g *Gateway) recogniseAdmin(x *exchange, err error) (auth.Principal, error) {
	a, h := x.target.admin, x.r.Header
	who := auth.Principal{Method: auth.MethodAdmin, Admin: &a.who}
	switch {
	case x.question != nil || !x.door.takes(auth.MethodAdmin):
		return auth.Principal{}, err
	case errors.Is(err, auth.ErrInvalid) && len(h["X-Api-Key"]) == 0:
		user, password, ok := signin.Basic(h["Authorization"][0])
		if !ok || accesskey.In(user) || accesskey.In(password) { // no guess at the pair: a key that has ended
			return auth.Principal{}, err
		}
		if err := x.comesFrom(); err != nil {
			return auth.Principal{}, err // before the password is looked at: who may not come may not guess, nor make the user wait
		}
		switch tried := g.desk.Try(a.pair, user, password, x.remote(), x.began); {
		case tried == nil:
			return who, nil
		case !errors.Is(tried, signin.ErrWrong):
			return auth.Principal{}, tried
		}
		return auth.Principal{}, err // as of any other wrong credential
	case err != auth.ErrNone:
		return auth.Principal{}, err
	}
	if x.browsable() && g.session(x) && signin.Honours(x.r, x.at()) {
		x.visit.in = true
		return who, nil
	}
	if m := x.r.Method; m != http.MethodGet && m != http.MethodHead || !signin.Navigates(h) {
		return auth.Principal{}, err
	}
	if !x.browsable() {
		return auth.Principal{}, a.elsewhere
	}
	return auth.Principal{}, &signInError{to: loginPath + nextQuery("?", x.destination())}
}

// session reports whether the request shows the cookie of a session that lives.
// It is read once: when the steps are taken again it has been cut off.
func (g *Gateway) session(x *exchange) bool {
	a := x.target.admin
	if x.visit == nil {
		x.visit = &visit{}
	}
	v := x.visit
	if v.in = false; v.cookie == "" {
		v.cookie = a.jar.Session(x.r.Header)
	}
	var ok bool
	v.session, ok = a.pair.Open(v.cookie, x.began)
	return ok && !x.snapshot.keys.Revoked(v.session.Token().ID)
}

// signInError sends a browser to the page where it can sign in. To everybody
// else, the log among them, it is the refusal that it is.
type signInError struct{ to string }

func (e *signInError) Error() string { return auth.ErrNone.Error() }

// Unwrap gives the fault.
func (e *signInError) Unwrap() error { return auth.ErrNone }

// maxNext bounds the place to which a sign-in leads back.
const maxNext = 2048

// destination is the request's own address, to come back to.
func (x *exchange) destination() string {
	to := (&url.URL{Path: x.own}).EscapedPath()
	if x.query != "" {
		to += "?" + x.query
	}
	return safeNext(to)
}

// safeNext is where a sign-in leads: a path of this host, or "/" for anything
// that is not certainly one, however a browser might read it.
func safeNext(to string) string {
	if len(to) > maxNext || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
		return "/"
	}
	for i := range len(to) {
		if c := to[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return "/"
		}
	}
	path, query, err := canonicalPath(to)
	if err != nil || path == loginPath || path == logoutPath {
		return "/"
	}
	if path = (&url.URL{Path: path}).EscapedPath(); query != "" {
		path += "?" + query
	}
	return path
}

// nextQuery is the parameter for a place; empty for the one that needs none.
func nextQuery(sep, next string) string {
	if next == "/" {
		return ""
	}
	return sep + "next=" + url.QueryEscape(next)
}

// keepSession says of an answer that a session opened that nobody else may keep
// it, and renews the session, unless the handler says how its answer is kept:
// a cookie must not come to lie in a cache that others share.
func (x *exchange) keepSession(h http.Header) {
	if v := x.visit; v != nil && v.in {
		h["Vary"] = append(slices.Clip(h["Vary"]), "Cookie")
		if len(h["Cache-Control"]) > 0 {
			return
		}
		h["Cache-Control"] = []string{"no-store"}
		if s, ok := v.session.Renewed(x.began); ok {
			a := x.target.admin
			a.jar.SetSession(h, a.pair.Seal(s), s.Left(x.began))
		}
	}
}

// quiet takes out of a challenge what makes a browser open a window of its own,
// at a function whose user has a page to sign in on: the window would take the
// password, and send it to every function below the same origin.
func (x *exchange) quiet(challenge []string) []string {
	if x.target.admin == nil || !signin.Browser(x.r.Header) {
		return challenge
	}
	rest, found := strings.CutPrefix(challenge[0], auth.OfferBasic)
	switch rest = strings.TrimPrefix(rest, ", "); {
	case !found:
		return challenge
	case rest == "": // a 401 has a challenge (RFC 9110 §15.5.2)
		rest = `Bearer realm="postern"`
	}
	return []string{rest}
}
