package console

import (
	"encoding/base64"
	"html/template"
	"time"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

func (c *Console) registerAccount() {
	c.page("GET /account", c.account)
	c.page("POST /account/password", c.changePassword)
	c.page("GET /account/code", c.enrolPage)
	c.page("POST /account/code", c.confirmCode)
	c.page("POST /account/code/off", c.codeOff)
	c.page("POST /account/sessions", c.endSessions)
}

// newPassword is what was typed twice for a new password.
func (v *visit) newPassword() (string, error) {
	password := v.r.PostForm.Get("new-password")
	if password != v.r.PostForm.Get("again") {
		return "", fault.New(fault.Invalid, "the two passwords are not alike").WithHint("type the same one twice")
	}
	return password, nil
}

// accountBody is what the page of one's own account shows.
type accountBody struct {
	User     bool
	TOTP     bool
	Sessions []platform.Session
	This     string // the ID of this session
	Until    time.Time
	Wrong    string // the form that was not taken
}

func (v *visit) accountBody() (accountBody, error) {
	s := v.session.account
	list, err := v.c.o.Accounts.List(v.r.Context(), s)
	return accountBody{User: v.session.UserID != "", TOTP: s.TOTP, Sessions: list, This: s.ID, Until: s.ExpiresAt}, err
}

func (c *Console) account(v *visit) error {
	b, err := v.accountBody()
	if err != nil {
		return err
	}
	return v.show("account", "", "Your account", b)
}

// notTaken shows the account again with what was wrong in one of its forms.
func (v *visit) notTaken(err error, form string) error {
	b, berr := v.accountBody()
	if berr != nil {
		return berr
	}
	b.Wrong = form
	return v.refused(err, "account", "Your account", b)
}

func (c *Console) changePassword(v *visit) error {
	password, err := v.newPassword()
	var value string
	if err == nil {
		value, err = c.o.Accounts.Password(v.r.Context(), v.session.account, v.r.PostForm.Get("password"), password, browser(v.r))
	}
	if err != nil {
		return v.notTaken(err, "password")
	}
	c.jar(v.r).SetConsole(v.w.Header(), value, account.Lifetime)
	v.said("/account", "password-changed")
	return nil
}

// enrolBody is a second factor that is not confirmed yet.
type enrolBody struct {
	Secret, Sealed string
	Picture        template.URL
}

func (v *visit) enrolBody(e account.Enrolment) enrolBody {
	return enrolBody{e.Secret, e.Sealed, template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(e.Picture))}
}

func (c *Console) enrolPage(v *visit) error {
	if v.session.account.TOTP {
		v.to("/account")
		return nil
	}
	e, err := c.o.Accounts.Enrol(v.r.Context(), v.session.account)
	if err != nil {
		return err
	}
	return v.show("account-code", "", "Second factor", v.enrolBody(e))
}

// confirmCode turns the second factor on; its answer has the recovery codes, which
// are shown this once.
func (c *Console) confirmCode(v *visit) error {
	form, s := v.r.PostForm, v.session.account
	if s.TOTP { // the page of the recovery codes, loaded again
		v.said("/account", "code-on")
		return nil
	}
	codes, err := c.o.Accounts.Confirm(v.r.Context(), s, form.Get("enrolment"), form.Get("code"), form.Get("password"))
	if err == nil {
		return v.show("account-recovery", "", "Recovery codes", codes)
	}
	e, again := c.o.Accounts.Again(v.r.Context(), s, form.Get("enrolment"))
	if again != nil {
		e, again = c.o.Accounts.Enrol(v.r.Context(), s)
	}
	if again != nil {
		return again
	}
	return v.refused(err, "account-code", "Second factor", v.enrolBody(e))
}

func (c *Console) codeOff(v *visit) error {
	if err := c.o.Accounts.TurnOff(v.r.Context(), v.session.account, v.r.PostForm.Get("password")); err != nil {
		return v.notTaken(err, "code")
	}
	v.said("/account", "code-off")
	return nil
}

// endSessions ends one other session, or all of them.
func (c *Console) endSessions(v *visit) error {
	s := v.session.account
	var err error
	if id := v.r.PostForm.Get("session"); id != "" && id != s.ID {
		err = c.o.Accounts.End(v.r.Context(), s, id)
	} else if id == "" {
		err = c.o.Accounts.EndOthers(v.r.Context(), s)
	}
	if err != nil {
		return err
	}
	v.said("/account", "session-ended")
	return nil
}
