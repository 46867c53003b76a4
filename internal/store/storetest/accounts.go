package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

func newUser(projectID, name string) platform.User {
	return platform.User{ID: "usr_" + accesskey.NewID(at)[4:], ProjectID: projectID, Name: name, Password: "$argon2id$1", Generation: 1, CreatedAt: at}
}

// newSession is a session of an owner whose cookie is text.
func newSession(owner, text string) platform.Session {
	return platform.Session{Hash: sha256.Sum256([]byte(text)), ID: "ses_" + accesskey.NewID(at)[4:], OwnerID: owner, ProjectID: "prj", Generation: 1, Remote: "192.0.2.1", Agent: "Browser ü",
		CreatedAt: at.UTC(), SeenAt: at.UTC(), IdleAt: at.Add(time.Hour).UTC(), ExpiresAt: at.Add(12 * time.Hour).UTC()}
}

func testUsers(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	if ever, err := db.EverUser(t.Context()); err != nil || ever {
		t.Fatalf("before there is one: %t, %v", ever, err)
	}
	ann := newUser(p.ID, "ann")
	if err := db.CreateUser(t.Context(), ann, true); err != nil {
		t.Fatal(err)
	}
	stranger := newUser("prj_none", "ben")
	want(t, db.CreateUser(t.Context(), newUser(p.ID, "ann"), false), fault.Conflict, "user_name_taken")
	want(t, db.CreateUser(t.Context(), newUser(p.ID, "ben"), true), fault.Conflict, "setup_done")
	want(t, db.CreateUser(t.Context(), stranger, false), fault.NotFound, "")
	ann.CreatedAt, ann.UpdatedAt = at.UTC(), at.UTC()
	if got, err := db.UserByName(t.Context(), "ann"); err != nil || !cmp.Equal(got, ann) {
		t.Error(err, cmp.Diff(ann, got))
	}
	for name, err := range map[string]error{
		"another project": second(db.User(t.Context(), "prj_none", ann.ID)), "another name": second(db.UserByName(t.Context(), "Ann")),
		"another's change": second(db.UpdateUser(t.Context(), "prj_none", ann.ID, at, func(*platform.User) error { t.Error("it is changed"); return nil })),
		"another's end":    db.DeleteUser(t.Context(), "prj_none", ann.ID, at),
	} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	boom := errors.New("boom")
	if _, err := db.UpdateUser(t.Context(), p.ID, ann.ID, at, func(u *platform.User) error { u.Password = "x"; return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	later := at.Add(time.Minute)
	changed, err := db.UpdateUser(t.Context(), p.ID, ann.ID, later, func(u *platform.User) error {
		u.Password, u.TOTP, u.TOTPStep, u.SignedInAt = "$argon2id$2", []byte{0, 255}, 7, later.UTC()
		u.Recovery = [][32]byte{sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))}
		return nil
	})
	got, gerr := db.User(t.Context(), p.ID, ann.ID)
	if err != nil || gerr != nil || !cmp.Equal(changed, got) || got.TOTPStep != 7 || len(got.Recovery) != 2 || !got.UpdatedAt.Equal(later) || !got.SignedInAt.Equal(later) {
		t.Errorf("%+v %v %v", got, err, gerr)
	}
}

func second[T any](_ T, err error) error { return err }

// Of several that make the first user at once one does, and nobody ever again.
func testFirstUser(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for i := range 8 {
		wg.Go(func() { errs <- db.CreateUser(t.Context(), newUser(p.ID, fmt.Sprint("u", i)), true) })
	}
	wg.Wait()
	n := won(t, errs, "setup_done")
	us, err := db.Users(t.Context(), p.ID, "", 10)
	if n != 1 || err != nil || len(us) != 1 {
		t.Fatalf("%d won; %v %v", n, us, err)
	}
	if err := db.DeleteUser(t.Context(), p.ID, us[0].ID, at); err != nil {
		t.Fatal(err)
	}
	want(t, db.CreateUser(t.Context(), newUser(p.ID, "again"), true), fault.Conflict, "setup_done")
	if ever, err := db.EverUser(t.Context()); err != nil || !ever {
		t.Errorf("after the last is gone: %t, %v", ever, err)
	}
	if err := db.CreateUser(t.Context(), newUser(p.ID, us[0].Name), false); err != nil {
		t.Errorf("a name is free again: %v", err)
	}
}

// Nothing that opens anything is left of a user who was removed, by themselves or
// with their project.
func testUsersEnd(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	sub := platform.Project{ID: function.NewProjectID(at), Name: "sub", ParentID: p.ID, CreatedAt: at}
	if err := db.CreateProject(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	ann, ben := newUser(p.ID, "ann"), newUser(sub.ID, "ben")
	for i, u := range []platform.User{ann, ben} {
		if err := errors.Join(db.CreateUser(t.Context(), u, false), db.CreateSession(t.Context(), newSession(u.ID, fmt.Sprint("cookie", i)), 10)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.DeleteSubproject(t.Context(), sub.ID, at); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Session(t.Context(), sha256.Sum256([]byte("cookie0"))); err != nil {
		t.Errorf("another's session: %v", err)
	}
	if err := db.DeleteUser(t.Context(), p.ID, ann.ID, at); err != nil {
		t.Fatal(err)
	}
	for i, u := range []platform.User{ann, ben} {
		if _, err := db.Session(t.Context(), sha256.Sum256(fmt.Append(nil, "cookie", i))); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the session of %s: %v", u.Name, err)
		}
		if _, err := db.UserByName(t.Context(), u.Name); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", u.Name, err)
		}
	}
	if err := db.DeleteUser(t.Context(), p.ID, ann.ID, at); fault.KindOf(err) != fault.NotFound {
		t.Errorf("twice: %v", err)
	}
}

func testSessions(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	ann := newUser(p.ID, "ann")
	if err := db.CreateUser(t.Context(), ann, false); err != nil {
		t.Fatal(err)
	}
	add := func(owner, text string, keep int) platform.Session {
		t.Helper()
		s := newSession(owner, text)
		if err := db.CreateSession(t.Context(), s, keep); err != nil {
			t.Fatal(err)
		}
		return s
	}
	list := func(owner string, now time.Time) (out []string) {
		t.Helper()
		all, err := db.Sessions(t.Context(), owner, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			out = append(out, s.ID)
		}
		return out
	}
	one, two, key := add(ann.ID, "1", 10), add(ann.ID, "2", 10), add("pak_x", "3", 10)
	if got, err := db.Session(t.Context(), one.Hash); err != nil || !cmp.Equal(got, one) {
		t.Error(err, cmp.Diff(one, got))
	}
	if _, err := db.Session(t.Context(), sha256.Sum256(nil)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no session: %v", err)
	}
	if got := list(ann.ID, at); len(got) != 2 {
		t.Errorf("of a user: %v", got)
	}
	// One that is in use lives on, and is listed when the other is not any more.
	if err := errors.Join(db.SeeSession(t.Context(), two.ID, at.Add(30*time.Minute), at.Add(90*time.Minute)), db.SeeSession(t.Context(), two.ID, at.Add(20*time.Minute), at.Add(80*time.Minute))); err != nil {
		t.Fatal(err)
	}
	if got := list(ann.ID, at.Add(time.Hour)); !cmp.Equal(got, []string{two.ID}) {
		t.Errorf("after an hour: %v", got)
	}
	if got, _ := db.Session(t.Context(), two.Hash); !got.SeenAt.Equal(at.Add(30*time.Minute)) || !got.IdleAt.Equal(at.Add(90*time.Minute)) {
		t.Errorf("it was seen at %v", got.SeenAt)
	}
	// Nobody ends another's.
	if err := db.EndSession(t.Context(), "pak_x", two.ID); err != nil || len(list(ann.ID, at)) != 2 {
		t.Errorf("another's end: %v", err)
	}
	if err := db.EndSession(t.Context(), ann.ID, two.ID); err != nil || !cmp.Equal(list(ann.ID, at), []string{one.ID}) {
		t.Errorf("one: %v %v", err, list(ann.ID, at))
	}
	if err := db.SeeSession(t.Context(), two.ID, at.Add(time.Hour), at.Add(2*time.Hour)); err != nil || len(list(ann.ID, at)) != 1 {
		t.Errorf("what was ended is seen: %v", err)
	}
	three := add(ann.ID, "4", 10)
	if err := db.EndOtherSessions(t.Context(), ann.ID, three.ID); err != nil || !cmp.Equal(list(ann.ID, at), []string{three.ID}) || len(list("pak_x", at)) != 1 {
		t.Errorf("all others: %v %v", err, list(ann.ID, at))
	}
	for i := range 5 {
		add(ann.ID, fmt.Sprint("many", i), 3)
	}
	if len(list(ann.ID, at)) != 3 || !cmp.Equal(list("pak_x", at), []string{key.ID}) {
		t.Errorf("of many: %v", list(ann.ID, at))
	}
	// Who knows the password alone takes no place of who showed the code, too.
	whole := list(ann.ID, at)
	for i := range 5 {
		half := newSession(ann.ID, fmt.Sprint("half", i))
		half.Half = true
		if err := db.CreateSession(t.Context(), half, 3); err != nil {
			t.Fatal(err)
		}
	}
	got := list(ann.ID, at)
	if n := len(got); n != 6 || slices.ContainsFunc(whole, func(id string) bool { return !slices.Contains(got, id) }) {
		t.Errorf("beside halves: %v, want %v among them", got, whole)
	}
	// A new password ends those of the old one.
	if _, err := db.UpdateUser(t.Context(), p.ID, ann.ID, at, func(u *platform.User) error { u.Generation++; return nil }); err != nil || len(list(ann.ID, at)) != 0 {
		t.Errorf("after a new password: %v", err)
	}
	if err := db.PruneSessions(t.Context(), at.Add(13*time.Hour)); err != nil || len(list("pak_x", at)) != 1 {
		t.Errorf("pruned too soon: %v", err)
	}
	if err := db.PruneSessions(t.Context(), at.Add(25*time.Hour)); err != nil || len(list("pak_x", at)) != 0 {
		t.Errorf("not pruned: %v", err)
	}
}
