package console

import (
	"bytes"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/signin"
)

// visit is one request of one person.
type visit struct {
	c       *Console
	w       http.ResponseWriter
	r       *http.Request
	id      string // of the request
	at      time.Time
	session Session
	project string      // of the path; empty on pages of no project
	api     *api.Client // of that project, or of the person's own
	charts  bool        // the page has charts
	script  string      // a file of assets that the page needs beside console.js; empty: none
}

// maxForm bounds what a form may have: a policy of a megabyte, encoded. Of who is
// not signed in it is a name and a password; their form is shown again as it came.
const (
	maxForm     = 4 << 20
	maxOpenForm = 16 << 10
)

var errForged = fault.New(fault.Denied, "the form was open for too long, or did not come from this page").WithCode("signin_forged").WithHint("go back, load the page again, and send the form once more")

// enter finds out who asks; a form has to come from a page of theirs.
func (v *visit) enter(form bool) (err error) {
	if v.session, err = v.c.session(v.r); err != nil {
		return err
	}
	project := v.project
	if project == "" {
		project = v.session.ProjectID
	}
	v.api = v.c.client(v, project)
	if !form {
		return nil
	}
	if err := v.read(maxForm); err != nil {
		return err
	}
	if !v.session.made(v.r.PostForm.Get("csrf")) {
		return errForged
	}
	return nil
}

// read reads a form that comes from a page of ours, as far as the browser tells.
func (v *visit) read(most int64) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, most)
	if err := v.r.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "the form cannot be read")
	}
	if ours, known := signin.FormIsOurs(v.r.Header, v.c.origin(v.r)); known && !ours {
		return errForged
	}
	return nil
}

// made reports whether a token is the one of this session's forms.
func (s Session) made(token string) bool {
	return s.CSRF != "" && subtle.ConstantTimeCompare([]byte(s.CSRF), []byte(token)) == 1
}

// origin is where a browser has this page from.
func (c *Console) origin(r *http.Request) string { return httpx.Origin(r, c.o.Issuer) }

// to leads the browser to another page below [Dir].
func (v *visit) to(path string) {
	if v.r.Header.Get("HX-Request") != "" { // it would follow, and put the page into the place of a part
		v.w.Header().Set("HX-Redirect", Dir+path)
		v.w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(v.w, v.r, Dir+path, http.StatusSeeOther)
}

// in is a page of the project, below [Dir].
func (v *visit) in(path string) string { return "/p/" + url.PathEscape(v.project) + "/" + path }

// said leads to another page, which then says one of notices.
func (v *visit) said(path, notice string) { v.to(path + "?said=" + url.QueryEscape(notice)) }

// frame is what every page has around it.
type frame struct {
	Title   string
	Here    string // the entry of the menu, such as "keys"
	Project string // empty: a page without a menu
	Session Session
	Signed  bool   // somebody is signed in
	Since   string // the time as of which the page knows everything
	Self    string // the address of this very page, which its live parts ask again
	Stamp   string
	Version string
	Notice  notice
	Charts  bool
	Script  string
	Failure *failure // of the form that was sent; nil: none
	Body    any
}

// failure is what a page says of an error.
type failure struct {
	Text, Hint string
	Code       string
	RequestID  string // where somebody has to look into the log
	Status     int
	InField    bool // a field of the form has it, and gets the focus in place of the note
}

// In builds a link of the project.
func (f frame) In(path string) string { return Dir + "/p/" + url.PathEscape(f.Project) + "/" + path }

// show writes a page, whole or not at all: a template of assets, the entry of the menu
// that it belongs to, its title, and what it shows.
func (v *visit) show(view, here, title string, body any) error {
	return v.answer(http.StatusOK, view, frame{Title: title, Here: here, Body: body})
}

// mistaken shows a page again with what was wrong in its form.
func (v *visit) mistaken(err error, view, here, title string, body any) error {
	return v.again(err, false, view, here, title, body)
}

// marked is mistaken for a page that marks the field that is wrong.
func (v *visit) marked(err error, view, here, title string, body any) error {
	return v.again(err, true, view, here, title, body)
}

func (v *visit) again(err error, inField bool, view, here, title string, body any) error {
	f := v.failureOf(err)
	if f.Status >= http.StatusInternalServerError {
		return err
	}
	f.inWords().InField = inField
	return v.answer(f.ofForm(), view, frame{Title: title, Here: here, Body: body, Failure: f})
}

// ofForm is the status of a page that shows a form again: its mistakes are not those
// of the request.
func (f *failure) ofForm() int {
	if f.Status == http.StatusBadRequest {
		return http.StatusUnprocessableEntity
	}
	return f.Status
}

func (v *visit) answer(status int, view string, f frame) error {
	f.Project, f.Session, f.Signed, f.Stamp, f.Version = v.project, v.session, v.session.In != nil, v.c.stamp, v.c.o.Version
	if f.Project == "" && f.Signed {
		f.Project = v.session.ProjectID
	}
	f.Charts, f.Script, f.Self, f.Since = v.charts, v.script, v.r.URL.RequestURI(), v.at.UTC().Format(time.RFC3339Nano)
	f.Notice = notices[v.r.URL.Query().Get("said")]
	var out bytes.Buffer
	if err := v.c.views.ExecuteTemplate(&out, view+".html", f); err != nil {
		return fault.Wrap(err, fault.Internal, "the page was not made")
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(out.Bytes()) // whoever went away needs none
	return nil
}

// inWords says a field as its form does, where the API begins with its own name for it.
func (f *failure) inWords() *failure {
	if name, wrong, _ := strings.Cut(f.Text, " "); fieldWords[name] != "" {
		f.Text = fieldWords[name] + " " + wrong
	}
	return f
}

// failureOf is what a page says of an error; nothing of one that is our own mistake.
func (v *visit) failureOf(err error) *failure {
	p := httpx.ProblemOf(err, v.id)
	f := &failure{Text: p.Detail, Hint: p.Hint, Code: p.Code, Status: p.Status}
	if f.Text == "" {
		f.Text = p.Title
	}
	if c := httpx.CodeOf(err); c.Code == "invalid_request" && f.Hint == c.Remedy {
		f.Hint = "" // it is for programs: that what is wrong is in the detail
	}
	if p.Status >= 500 {
		f.RequestID = v.id
	}
	return f
}

// fail shows an error as a page of its own. Who is not signed in comes to do so.
func (c *Console) fail(v *visit, err error) {
	if fault.KindOf(err) == fault.Unauthenticated {
		v.to("/signin" + v.signInTo())
		return
	}
	f := v.failureOf(err)
	if f.Status >= 500 {
		c.o.Log.Error("a page of the console failed", "requestId", v.id, "path", v.r.URL.Path, "error", err)
	}
	if err := v.answer(f.Status, "failure", frame{Title: "That did not work", Body: f}); err != nil {
		c.o.Log.Error("the page of a failure was not made", "requestId", v.id, "error", err)
		httpx.WriteProblem(v.w, err, v.id)
	}
}

// signInTo is what the page to sign in on needs to know: where to go on. A form that
// came too late is not sent again by itself: its page comes back, and it is said that
// nothing was done.
func (v *visit) signInTo() string {
	if v.r.Method == http.MethodGet {
		if v.r.URL.Path == Dir+"/" {
			return ""
		}
		return "?next=" + url.QueryEscape(v.r.URL.RequestURI())
	}
	to := "?said=signed-out-before"
	if from, err := url.Parse(v.r.Referer()); err == nil && from.Scheme+"://"+from.Host == v.c.origin(v.r) {
		to += "&next=" + url.QueryEscape(from.RequestURI())
	}
	return to
}

// notice is what a page says; Nothing: that nothing was done.
type notice struct {
	Text    string
	Nothing bool
}

// notices are what a page says after a form was taken; the address has only the word.
var notices = map[string]notice{
	"signed-out":         {Text: "You are signed out."},
	"signed-out-before":  {Text: "Your session had ended when the form was sent: nothing was done. Sign in, and send it again.", Nothing: true},
	"user-made":          {Text: "The first user is made. Sign in as them."},
	"user-first":         {Text: "You are the first user of this installation. A second factor keeps your account yours."},
	"password-changed":   {Text: "Your password is changed; your other sessions have ended."},
	"code-on":            {Text: "The second factor is on. Its recovery codes were shown once: for others, turn it off and set it up again."},
	"code-off":           {Text: "The second factor is off."},
	"session-ended":      {Text: "It has ended."},
	"user-added":         {Text: "The user is there, and can sign in."},
	"user-password":      {Text: "The password is set; the user's sessions have ended."},
	"user-removed":       {Text: "The user is removed."},
	"key-changed":        {Text: "The key is changed, at once and everywhere."},
	"key-ended":          {Text: "Nothing was done: the key was revoked, and does not come back.", Nothing: true},
	"key-revoked":        {Text: "The key is revoked. Calls with it are refused from now on."},
	"promoted":           {Text: "The calls go to the versions as you said."},
	"rolled-back":        {Text: "The earlier version serves again."},
	"ended":              {Text: "The candidate was ended. The active version gets all calls."},
	"secret-set":         {Text: "The secret is set. The function's workers have the new value."},
	"secret-removed":     {Text: "The secret is removed. The function's workers run without it."},
	"policy-applied":     {Text: "The policy is in force."},
	"subproject-made":    {Text: "The subproject is there. Make it a key of its own, or deploy into it with yours."},
	"subproject-renamed": {Text: "The subproject has its new name."},
	"subproject-deleted": {Text: "The subproject and its keys have ended."},
	"signing-key-made":   {Text: "The next key is published. It signs in ten minutes."},
	"signing-key-waits":  {Text: "Nothing was done: the newest key is not used yet.", Nothing: true},
}
