package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/store"
)

const password = "correct horse battery"

// cheap is a hash of it that was made at a cost of 8 MiB.
const cheap = "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$HhdGxmsoo8pSkWu74EOdjWuyMCjKM2aof0XQCAMO4jU"

var home = account.Browser{Remote: "192.0.2.1:5", Agent: "Browser"}

// world is accounts over a real store, with a clock that stands still.
type world struct {
	*testing.T
	*account.Service
	db      *store.DB
	project string

	mu   sync.Mutex
	now  time.Time       // guarded by mu
	dir  *auth.Directory // guarded by mu
	acts []account.Act   // guarded by mu
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, now: time.Now().UTC().Truncate(time.Second), dir: auth.NewDirectory(), project: function.NewProjectID(time.Now())}
	var err error
	if w.db, err = store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	box, err := secret.OpenBox(filepath.Join(t.TempDir(), "sealing.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.CreateProject(t.Context(), platform.Project{ID: w.project, CreatedAt: w.now}); err != nil {
		t.Fatal(err)
	}
	w.Service = account.New(account.Options{Store: w.db, Sealer: box, Key: [32]byte{1}, Name: "Postern",
		Now:       func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Directory: func() *auth.Directory { w.mu.Lock(); defer w.mu.Unlock(); return w.dir },
		Record:    func(a account.Act) { w.mu.Lock(); defer w.mu.Unlock(); w.acts = append(w.acts, a) }})
	if t.Name() != "TestHashes" {
		w.Cheaper()
	}
	return w
}

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func (w *world) at() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) user(name string) platform.User {
	w.Helper()
	u, err := w.Create(w.Context(), w.project, name, password, false)
	if err != nil {
		w.Fatal(err)
	}
	return u
}

// key makes an access key that controls, and its secret.
func (w *world) key(change func(*platform.AccessKey)) (platform.AccessKey, string) {
	w.Helper()
	s := accesskey.NewSecret()
	k := platform.AccessKey{ID: accesskey.NewID(w.at()), ProjectID: w.project, DisplayName: "k" + accesskey.NewID(w.at()), SecretHash: s.Hash(), Generation: 1, CreatedAt: w.at(), Scopes: []platform.Scope{platform.ScopeControl}}
	if change != nil {
		change(&k)
	}
	if _, err := w.db.CreateKey(w.Context(), k); err != nil {
		w.Fatal(err)
	}
	w.set(func(d *auth.Directory) *auth.Directory { return d.With(k) })
	return k, s.Reveal()
}

func (w *world) set(change func(*auth.Directory) *auth.Directory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dir = change(w.dir)
}

// in is a session of a user, and its cookie.
func (w *world) in(name string) (account.Session, string) {
	w.Helper()
	value, half, err := w.SignIn(w.Context(), name, password, home)
	if err != nil || half {
		w.Fatal(half, err)
	}
	s, err := w.Session(w.Context(), value, home)
	if err != nil {
		w.Fatal(err)
	}
	return s, value
}

// open says whether a cookie opens the console, and the API behind it, which must
// say the same.
func (w *world) open(value string, b account.Browser) error {
	w.Helper()
	_, err := w.Session(w.Context(), value, b)
	_, there, inside := auth.FromSession(w.In(w.Context(), value, b), w.at())
	if !there || (err == nil) != (inside == nil) {
		w.Errorf("the console says %v, the API %v", err, inside)
	}
	return err
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ann@example.com")
	for name, tc := range map[string][2]string{
		"wrong password": {"ann@example.com", password + "!"}, "a part of it": {"ann@example.com", password[:20]}, "no password": {"ann@example.com", ""}, "nobody": {"ben", password}, "no name": {"", password}, "neither": {"", ""},
		"a zero byte": {"ann@example.com\x00", password}, "not UTF-8": {"\xff", password}, "SQL": {"' OR 1=1 --", password}, "a megabyte": {"ann@example.com", strings.Repeat("a", 1<<20)}, "a name of a megabyte": {strings.Repeat("a", 1<<20), password},
		"her hash": {"ann@example.com", u.Password}, "her ID": {u.ID, password},
	} {
		if value, _, err := w.SignIn(t.Context(), tc[0], tc[1], account.Browser{Remote: fmt.Sprintf("203.0.113.%d:1", len(name))}); !errors.Is(err, account.ErrWrong) && fault.KindOf(err) != fault.TooMany || value != "" {
			t.Errorf("%s: %q %v", name, value, err)
		}
	}
	w.pass(2 * time.Hour)
	value, half, err := w.SignIn(t.Context(), " Ann@Example.com ", password, account.Browser{Remote: "[2001:db8::1]:5", Agent: "Browser\x00\x1b[31m\xff" + strings.Repeat("ü", 500)})
	if err != nil || half {
		t.Fatal(half, err)
	}
	s, err := w.Session(t.Context(), value, home)
	if err != nil || s.Name != "ann@example.com" || s.Principal.User == nil || s.Principal.User.ProjectID != w.project || s.Remote != "2001:db8::1" || !strings.HasPrefix(s.Agent, "Browser[31mü") || len([]rune(s.Agent)) != 200 {
		t.Errorf("%+v %v", s, err)
	}
	if again, _, err := w.SignIn(t.Context(), "ann@example.com", password, home); err != nil || again == value || len(value) != 43 {
		t.Errorf("a second sign-in: %q %v", again, err)
	}
	if got, _ := w.db.User(t.Context(), w.project, u.ID); !got.SignedInAt.Equal(w.at()) {
		t.Errorf("signed in at %v", got.SignedInAt)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.acts[len(w.acts)-1]; last.Action != "signIn" || last.By != u.ID || last.Err != nil {
		t.Errorf("recorded: %+v", last)
	}
	owned := 0
	for _, a := range w.acts[:len(w.acts)-2] {
		if a.By != "" || a.Err == nil || (a.Target == u.ID) != (a.ProjectID == w.project) {
			t.Errorf("recorded of a guess: %+v", a)
		}
		if a.Target != "" {
			owned++
		}
	}
	if owned == 0 || owned == len(w.acts)-2 {
		t.Errorf("of %d guesses %d are hers", len(w.acts)-2, owned)
	}
}

// What ends a session ends it at once, for pages and for the API behind them.
func TestSession_Ends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, tc := range []struct {
		name string
		end  func(s account.Session, value string) error
	}{
		{"signed out", func(_ account.Session, value string) error { return w.SignOut(t.Context(), value, home) }},
		{"removed", func(s account.Session, _ string) error {
			return w.db.DeleteUser(t.Context(), w.project, s.OwnerID, w.at())
		}},
		{"another password, by an administrator", func(s account.Session, _ string) error {
			_, err := w.Reset(t.Context(), w.project, s.OwnerID, password+"2")
			return err
		}},
		{"another password, elsewhere", func(s account.Session, _ string) error {
			other, _ := w.in(s.Name)
			_, err := w.Password(t.Context(), other, password, password+"2", home)
			return err
		}},
		{"ended elsewhere", func(s account.Session, _ string) error {
			other, _ := w.in(s.Name)
			return w.End(t.Context(), other, s.ID)
		}},
		{"ended with all others", func(s account.Session, _ string) error {
			other, _ := w.in(s.Name)
			return w.EndOthers(t.Context(), other)
		}},
		{"an hour unused", func(account.Session, string) error { w.pass(account.Idle); return nil }},
		{"twelve hours", func(_ account.Session, value string) error {
			for range 24 {
				w.pass(30*time.Minute - time.Second)
				if err := w.open(value, home); err != nil {
					return err
				}
			}
			w.pass(time.Minute)
			return nil
		}},
	} {
		name := fmt.Sprint("u", i)
		w.user(name)
		s, value := w.in(name)
		if err := w.open(value, home); err != nil {
			t.Fatalf("%s: before: %v", tc.name, err)
		}
		if err := tc.end(s, value); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if err := w.open(value, home); !errors.Is(err, auth.ErrSession) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	_, value := w.in("u7")
	for name, v := range map[string]string{"none": "", "half": value[:20], "altered": "A" + value[1:], "longer": value + "A", "a byte": "\x00", "another alphabet": strings.Repeat("+", 43)} {
		if err := w.open(v, home); v != value && !errors.Is(err, auth.ErrSession) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stream that looks now and then is no use of the session.
func TestSession_LookingIsNoUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ann")
	_, value := w.in("ann")
	ctx := w.In(t.Context(), value, home)
	for range 12 {
		w.pass(5 * time.Minute)
		auth.FromSession(ctx, w.at())
		w.Look(t.Context(), value, home)
	}
	if err := w.open(value, home); !errors.Is(err, auth.ErrSession) {
		t.Errorf("after an hour of looking: %v", err)
	}
}

// A session of a key is as good as its secret, and from where the key is good.
func TestSignInKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, goodSecret := w.key(nil)
	_, otherSecret := w.key(nil)
	invoke, invokeSecret := w.key(func(k *platform.AccessKey) { k.Scopes = []platform.Scope{platform.ScopeInvoke} })
	old, oldSecret := w.key(func(k *platform.AccessKey) { k.ExpiresAt = w.at() })
	bound, boundSecret := w.key(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	for name, tc := range map[string]struct {
		id, secret string
		want       error
	}{
		"wrong secret": {good.ID, accesskey.NewSecret().Reveal(), account.ErrWrongKey}, "another's secret": {good.ID, otherSecret, account.ErrWrongKey}, "no secret": {good.ID, "", account.ErrWrongKey},
		"no ID": {"", goodSecret, account.ErrWrongKey}, "a secret as ID": {goodSecret, goodSecret, account.ErrWrongKey}, "without control": {invoke.ID, invokeSecret, account.ErrNoRights},
		"expired": {old.ID, oldSecret, account.ErrWrongKey}, "of tokens alone": {bound.ID, boundSecret, auth.ErrBare}, "the hash": {good.ID, fmt.Sprintf("%x", good.SecretHash), account.ErrWrongKey},
	} {
		if value, err := w.SignInKey(t.Context(), tc.id, tc.secret, home); !errors.Is(err, tc.want) || value != "" {
			t.Errorf("%s: %q %v", name, value, err)
		}
	}
	// A guess is recorded where it is made of a key for one act, too.
	w.mu.Lock()
	w.acts = nil
	w.mu.Unlock()
	if p, err := w.Key(good.ID, otherSecret, home); !errors.Is(err, account.ErrWrongKey) || p.Key != nil {
		t.Errorf("a key for one act: %v %v", p, err)
	}
	w.mu.Lock()
	if len(w.acts) != 1 || w.acts[0].Target != good.ID || w.acts[0].By != "" || !errors.Is(w.acts[0].Err, account.ErrWrongKey) {
		t.Errorf("recorded: %+v", w.acts)
	}
	w.mu.Unlock()
	rotate := func(k platform.AccessKey, grace time.Duration) platform.AccessKey {
		k.PreviousHash, k.PreviousUntil, k.SecretHash = k.SecretHash, w.at().Add(grace), accesskey.NewSecret().Hash()
		k.Generation++
		w.set(func(d *auth.Directory) *auth.Directory { return d.With(k) })
		return k
	}
	for name, tc := range map[string]struct {
		change func(*platform.AccessKey)
		end    func(k platform.AccessKey)
		want   error
	}{
		"as it is":             {nil, func(platform.AccessKey) {}, nil},
		"within a grace":       {nil, func(k platform.AccessKey) { rotate(k, time.Hour) }, nil},
		"rotated":              {nil, func(k platform.AccessKey) { rotate(k, 0) }, auth.ErrSession},
		"rotated twice":        {nil, func(k platform.AccessKey) { rotate(rotate(k, time.Hour), time.Hour) }, auth.ErrSession},
		"revoked":              {nil, func(k platform.AccessKey) { w.set(func(d *auth.Directory) *auth.Directory { return d.Without(k.ID) }) }, auth.ErrSession},
		"revoked in the store": {nil, func(k platform.AccessKey) { w.db.RevokeKey(t.Context(), w.project, k.ID, w.at()) }, auth.ErrSession},
		"without control now": {nil, func(k platform.AccessKey) {
			k.Scopes = []platform.Scope{platform.ScopeInvoke}
			w.set(func(d *auth.Directory) *auth.Directory { return d.With(k) })
		}, auth.ErrScope},
		"of other networks now": {nil, func(k platform.AccessKey) {
			k.AllowedCIDRs = append(k.AllowedCIDRs, netip.MustParsePrefix("198.51.100.0/24"))
			w.set(func(d *auth.Directory) *auth.Directory { return d.With(k) })
		}, auth.ErrAddress},
		"expired meanwhile": {func(k *platform.AccessKey) { k.ExpiresAt = w.at().Add(time.Minute) }, func(platform.AccessKey) { w.pass(time.Minute) }, auth.ErrSession},
	} {
		k, secret := w.key(tc.change)
		value, err := w.SignInKey(t.Context(), k.ID, secret, home)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tc.end(k)
		if err := w.open(value, home); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// enrolled is a user with a second factor: the app's secret and the recovery codes.
func (w *world) enrolled(name string) (u platform.User, secret string, recovery []string) {
	w.Helper()
	u = w.user(name)
	s, _ := w.in(name)
	e, err := w.Enrol(w.Context(), s)
	if err != nil || len(e.Picture) < 100 {
		w.Fatal(err)
	}
	secret = strings.ReplaceAll(e.Secret, " ", "")
	recovery, err = w.Confirm(w.Context(), s, e.Sealed, w.code(secret, 0), password)
	if err != nil || len(recovery) != 10 {
		w.Fatal(recovery, err)
	}
	return u, secret, recovery
}

func (w *world) code(secret string, steps int) string {
	w.Helper()
	code, err := totp.GenerateCode(secret, w.at().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		w.Fatal(err)
	}
	return code
}

func TestCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, secret, recovery := w.enrolled("ann")
	stored, _ := w.db.User(t.Context(), w.project, u.ID)
	if text := fmt.Sprintf("%s %x", stored.TOTP, stored.TOTP); strings.Contains(text, secret) || strings.Contains(fmt.Sprint(stored), recovery[0]) {
		t.Error("the store has what opens")
	}
	half := func() string {
		t.Helper()
		value, half, err := w.SignIn(t.Context(), "ann", password, home)
		if err != nil || !half {
			t.Fatal(half, err)
		}
		return value
	}
	show := func(code string) error {
		t.Helper()
		before := half()
		value, err := w.Code(t.Context(), before, code, home)
		if oerr := w.open(before, home); !errors.Is(oerr, auth.ErrSession) {
			t.Errorf("half a sign-in opens: %v", oerr)
		}
		if err == nil && (value == before || w.open(value, home) != nil) {
			t.Errorf("the new value: %q", value)
		}
		return err
	}
	// The code that turned it on was taken.
	if err := show(w.code(secret, 0)); !errors.Is(err, account.ErrCode) {
		t.Errorf("a code twice: %v", err)
	}
	w.pass(time.Hour + 5*time.Second)
	for steps, want := range map[int]error{-2: account.ErrCode, 2: account.ErrCode} {
		if err := show(w.code(secret, steps)); !errors.Is(err, want) {
			t.Errorf("%d steps off: %v", steps, err)
		}
	}
	if err := show(w.code(secret, -1)); err != nil {
		t.Errorf("a clock that is behind: %v", err)
	}
	if err := show(" " + w.code(secret, 1)[:3] + " " + w.code(secret, 1)[3:]); err != nil {
		t.Errorf("a clock that is ahead: %v", err)
	}
	if err := show(w.code(secret, 0)); !errors.Is(err, account.ErrCode) {
		t.Errorf("an older code than the last: %v", err)
	}
	w.pass(2 * time.Hour)
	if err := show(strings.ToUpper(recovery[3])); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	for name, code := range map[string]string{"the same again": recovery[3], "none": "", "a part": recovery[4][:9], "a hash": fmt.Sprintf("%x", stored.Recovery[5])} {
		w.pass(2 * time.Hour)
		if err := show(code); !errors.Is(err, account.ErrCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Half a sign-in ends soon, with the password, and when there is nothing to ask for.
	w.pass(2 * time.Hour)
	late := half()
	w.pass(5 * time.Minute)
	if _, err := w.Code(t.Context(), late, w.code(secret, 0), home); !errors.Is(err, auth.ErrSession) {
		t.Errorf("too late: %v", err)
	}
	for name, end := range map[string]func() error{
		"another password": func() error { _, err := w.Reset(t.Context(), w.project, u.ID, password+"2"); return err },
	} {
		before := half()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Code(t.Context(), before, recovery[0], home); err == nil {
			t.Errorf("%s: it goes on", name)
		}
	}
	s, value := "", ""
	if s, _, _ = w.SignIn(t.Context(), "ann", password+"2", home); s == "" {
		t.Fatal("no half")
	}
	value, err := w.Code(t.Context(), s, recovery[0], home)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.Session(t.Context(), value, home)
	if err != nil || !in.TOTP {
		t.Fatal(err)
	}
	if err := w.TurnOff(t.Context(), in, password); !errors.Is(err, account.ErrOld) {
		t.Errorf("turned off with the old password: %v", err)
	}
	if err := w.TurnOff(t.Context(), in, password+"2"); err != nil {
		t.Error(err)
	}
	if _, half, err := w.SignIn(t.Context(), "ann", password+"2", home); err != nil || half {
		t.Errorf("without: %t %v", half, err)
	}
}

// A second factor is turned on with the password, and with what was shown to this
// user, a while ago at most.
func TestConfirm_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ann")
	w.user("ben")
	ann, _ := w.in("ann")
	ben, _ := w.in("ben")
	e, err := w.Enrol(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.ReplaceAll(e.Secret, " ", "")
	for name, tc := range map[string]struct {
		by                     account.Session
		sealed, code, password string
	}{
		"a wrong code": {ann, e.Sealed, "000000x", password}, "an old code": {ann, e.Sealed, w.code(secret, -3), password}, "a wrong password": {ann, e.Sealed, w.code(secret, 0), "x"},
		"another's": {ben, e.Sealed, w.code(secret, 0), password}, "nothing sealed": {ann, "", w.code(secret, 0), password}, "something altered": {ann, e.Sealed[1:] + e.Sealed[:1], w.code(secret, 0), password},
		"a session of nobody": {account.Session{}, e.Sealed, w.code(secret, 0), password},
	} {
		if codes, err := w.Confirm(t.Context(), tc.by, tc.sealed, tc.code, tc.password); err == nil || codes != nil {
			t.Errorf("%s: %v %v", name, codes, err)
		}
	}
	w.pass(16 * time.Minute)
	if _, err := w.Confirm(t.Context(), ann, e.Sealed, w.code(secret, 0), password); err == nil {
		t.Error("it can be confirmed for ever")
	}
	if u, err := w.db.UserByName(t.Context(), "ann"); err != nil || len(u.TOTP) > 0 || len(u.Recovery) > 0 {
		t.Errorf("it is on: %+v %v", u, err)
	}
}

func TestPassword_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ann")
	s, value := w.in("ann")
	k, secret := w.key(nil)
	byKey, err := w.SignInKey(t.Context(), k.ID, secret, home)
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.Session(t.Context(), byKey, home)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		by        account.Session
		old, next string
	}{
		"a wrong one": {s, password + "!", "another good password"}, "none": {s, "", "another good password"}, "the same": {s, password, password}, "a short one": {s, password, "elevenchars"},
		"of one character": {s, password, strings.Repeat("a", 40)}, "endless": {s, password, strings.Repeat("abcdefgh", 200)}, "no text": {s, password, "\xff\xfe\xfd\xfc abcdefghijk"}, "a zero byte": {s, password, "abcdefghijklm\x00"}, "by a key": {key, password, "another good password"},
	} {
		if v, err := w.Password(t.Context(), tc.by, tc.old, tc.next, home); err == nil || v != "" || strings.Contains(err.Error(), "good password") {
			t.Errorf("%s: %q %v", name, v, err)
		}
	}
	if err := w.open(value, home); err != nil {
		t.Errorf("what was refused ended the session: %v", err)
	}
}

// Of many at once no more are judged than of many in a row, and the right password
// has to wait like the others.
func TestSignIn_Flood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ann")
	var wg sync.WaitGroup
	results := make(chan error, 40)
	for i := range cap(results) {
		wg.Go(func() {
			_, _, err := w.SignIn(t.Context(), "ann", "a guess of many", account.Browser{Remote: fmt.Sprintf("198.51.100.%d:1", i)})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	judged := 0
	for err := range results {
		_, locked := account.IsLocked(err)
		switch {
		case errors.Is(err, account.ErrWrong):
			judged++
		case !locked && fault.KindOf(err) != fault.Unavailable:
			t.Error(err)
		}
	}
	if judged > 5 {
		t.Errorf("%d were judged", judged)
	}
	for range 6 {
		w.SignIn(t.Context(), "ann", "a guess of many", account.Browser{Remote: "203.0.113.7:1"})
	}
	_, _, err := w.SignIn(t.Context(), "ann", password, account.Browser{Remote: "203.0.113.9:1"})
	if locked, ok := account.IsLocked(err); !ok || locked.RetryAfter() <= 0 {
		t.Errorf("during the wait: %v", err)
	}
	w.pass(10 * time.Minute)
	if _, _, err := w.SignIn(t.Context(), "ann", password, account.Browser{Remote: "203.0.113.9:1"}); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// A hash that was made at another cost is made anew when its password is shown, and
// one whose cost is beyond reason takes no memory.
func TestHashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.user("ann")
	set := func(hash string) {
		t.Helper()
		if _, err := w.db.UpdateUser(t.Context(), w.project, u.ID, w.at(), func(u *platform.User) error { u.Password = hash; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	set(cheap)
	w.in("ann")
	if now, _ := w.db.User(t.Context(), w.project, u.ID); !strings.HasPrefix(now.Password, "$argon2id$v=19$m=32768,t=3,p=1$") {
		t.Errorf("it is still %s", now.Password)
	}
	w.in("ann")
	for name, hash := range map[string]string{
		"a gigabyte": strings.Replace(cheap, "m=8192", "m=1048576", 1), "for hours": strings.Replace(cheap, "t=1", "t=100000", 1), "another function": strings.Replace(cheap, "argon2id", "argon2i", 1), "another version": strings.Replace(cheap, "v=19", "v=16", 1),
		"no hash": "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$", "plain": password, "spaces": strings.Replace(cheap, "m=8192,", "m=8192, ", 1), "a tail": cheap + "$x",
	} {
		set(hash)
		w.pass(2 * time.Hour)
		if _, _, err := w.SignIn(t.Context(), "ann", password, home); err == nil || strings.Contains(err.Error(), "argon") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFormToken(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), account.New(account.Options{Key: [32]byte{2}})
	token := w.FormToken("cookie")
	if !w.Made("cookie", token) || strings.Contains(token, "cookie") {
		t.Error("its own form is refused")
	}
	for name, made := range map[string]bool{"another cookie": w.Made("cookie2", token), "no cookie": w.Made("", w.FormToken("")), "no token": w.Made("cookie", ""), "another installation": other.Made("cookie", token), "a part": w.Made("cookie", token[:20])} {
		if made {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// Who is not there takes as long as who is, give or take what a machine does.
func BenchmarkSignIn(b *testing.B) {
	for name, pair := range map[string][2]string{"nobody": {"ben", password}, "wrong": {"ann", "wrong password"}} {
		b.Run(name, func(b *testing.B) {
			db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "p.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			now, project := time.Now(), function.NewProjectID(time.Now())
			s := account.New(account.Options{Store: db, Now: func() time.Time { return now }})
			if err := errors.Join(db.CreateProject(b.Context(), platform.Project{ID: project, CreatedAt: now}), second(s.Create(b.Context(), project, "ann", password, false))); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				now = now.Add(2 * time.Hour)
				s.SignIn(context.Background(), pair[0], pair[1], home)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }
