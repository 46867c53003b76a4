package console

import (
	"errors"
	"strings"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerUsers() {
	c.page("GET /p/{project}/users", c.users)
	c.page("POST /p/{project}/users", c.addUser)
	c.page("GET /p/{project}/users/{user}", c.user)
	c.page("POST /p/{project}/users/{user}/password", c.resetPassword)
	c.page("POST /p/{project}/users/{user}/code", c.resetCode)
	c.page("POST /p/{project}/users/{user}/remove", c.removeUser)
}

// usersBody is what the list of users shows.
type usersBody struct {
	List        []api.User
	Next, First string
	Name        string // as it was typed
	Wrong       wrongUser
	Own         string // the ID of who looks
}

func (v *visit) usersBody() (usersBody, error) {
	list, err := v.api.Users(v.r.Context(), v.r.URL.Query().Get("page"))
	b := usersBody{List: list.Users, Name: v.r.PostForm.Get("username"), Own: v.session.UserID}
	b.Next, b.First = v.pager("page", list.NextPageToken)
	return b, err
}

// wrongUser says what is wrong with the form of a new user, field by field.
type wrongUser struct{ Name, Password, Again string }

// Any reports whether there is something.
func (w wrongUser) Any() bool { return w != wrongUser{} }

// wrongUser looks at all fields of a form, so that one try shows all of its mistakes.
func (v *visit) wrongUser(name string) (w wrongUser) {
	name = account.PlainName(name)
	if err := account.CheckName(name); err != nil {
		w.Name = hinted(err)
	}
	if err := account.CheckPassword(name, v.r.PostForm.Get("new-password")); err != nil {
		w.Password = hinted(err)
	}
	if _, err := v.newPassword(); err != nil {
		w.Again = hinted(err)
	}
	return w
}

// hinted is what is wrong with a field, and what to write instead, as a sentence.
func hinted(err error) string {
	text, hint := err.Error(), ""
	if f, ok := errors.AsType[*fault.Error](err); ok {
		hint = ": " + f.Hint
	}
	return strings.ToUpper(text[:1]) + text[1:] + hint + "."
}

var errUserForm = fault.New(fault.Invalid, "no user was made").WithHint("what is wrong stands beside the fields; type the passwords again")

func (c *Console) users(v *visit) error {
	b, err := v.usersBody()
	if err != nil {
		return err
	}
	return v.show("users", "users", "Users", b)
}

func (c *Console) addUser(v *visit) error {
	form := v.r.PostForm
	wrong := v.wrongUser(form.Get("username"))
	err := error(errUserForm)
	if !wrong.Any() {
		_, err = v.api.CreateUser(v.r.Context(), api.CreateUserRequest{Name: form.Get("username"), Password: form.Get("new-password")})
	}
	if err == nil {
		v.said(v.in("users"), "user-added")
		return nil
	}
	b, berr := v.usersBody()
	if berr != nil {
		return berr
	}
	if b.Wrong = wrong; wrong.Any() {
		return v.marked(err, "users", "users", "Users", b)
	}
	return v.mistaken(err, "users", "users", "Users", b)
}

// user is the page of one of them, with what can be done to them.
func (c *Console) user(v *visit) error {
	u, err := v.api.User(v.r.Context(), v.r.PathValue("user"))
	if err != nil {
		return err
	}
	return v.show("user", "users", u.Name, u)
}

// done leads back after something was done to a user, or shows their page again.
func (v *visit) done(err error, path, notice string) error {
	if err == nil {
		v.said(v.in(path), notice)
		return nil
	}
	u, uerr := v.api.User(v.r.Context(), v.r.PathValue("user"))
	if uerr != nil {
		return uerr
	}
	return v.mistaken(err, "user", "users", u.Name, u)
}

func (c *Console) resetPassword(v *visit) error {
	password, err := v.newPassword()
	if err == nil {
		_, err = v.api.SetPassword(v.r.Context(), v.r.PathValue("user"), password)
	}
	return v.done(err, "users", "user-password")
}

func (c *Console) resetCode(v *visit) error {
	id := v.r.PathValue("user")
	_, err := v.api.ResetSecondFactor(v.r.Context(), id)
	return v.done(err, "users/"+id, "code-off")
}

var errUnsure = fault.New(fault.Invalid, "the removal is not confirmed").WithHint("tick the box that says whom to remove")

func (c *Console) removeUser(v *visit) error {
	err := error(errUnsure)
	if v.r.PostForm.Get("sure") == "yes" {
		err = v.api.DeleteUser(v.r.Context(), v.r.PathValue("user"))
	}
	return v.done(err, "users", "user-removed")
}
