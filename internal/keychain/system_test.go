package keychain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
	"postern.dev/postern/internal/keychain/keychaintest"
)

// TestMain is also the program that [ask] runs: the library keeps one
// connection a process, so each bus needs a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "call" {
		fmt.Print(call(os.Args[2], os.Args[3]))
		return
	}
	os.Exit(m.Run())
}

// call makes one call on the system's keychain and tells what came of it.
func call(what, account string) string {
	k, ctx := keychain.System(), context.Background()
	var got string
	var err error
	switch what {
	case "get":
		got, err = k.Get(ctx, account)
	case "set":
		secret, _ := io.ReadAll(os.Stdin)
		err = k.Set(ctx, account, string(secret))
	case "delete":
		err = k.Delete(ctx, account)
	}
	f, _ := errors.AsType[*fault.Error](err)
	switch {
	case err == nil:
		return "ok " + got
	case errors.Is(err, keychain.ErrNotFound):
		return "not found"
	case errors.Is(err, keychain.ErrUnavailable) && f != nil && strings.Contains(f.Hint, "export POSTERN_KEYCHAIN=file"):
		return "unavailable: " + f.Text
	default:
		return "other: " + err.Error()
	}
}

// ask runs call in a process with that environment.
func ask(t *testing.T, env []string, what, account, secret string) (answer string, took time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "call", what, account)
	env = append(env[:len(env):len(env)], "GORACE=atexit_sleep_ms=0")
	cmd.Env, cmd.Stdin, cmd.Stderr = env, strings.NewReader(secret), os.Stderr
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), time.Since(began)
}

func session(t *testing.T, home, password string) *keychaintest.Session {
	t.Helper()
	s, err := keychaintest.Start(home, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// What we store, others read; and it is there in the next session, for who
// knows the password.
func TestSystem_SecretService(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	s := session(t, home, "password")
	expect := func(s *keychaintest.Session, what, account, secret, want string) {
		t.Helper()
		if got, took := ask(t, s.Env, what, account, secret); !strings.HasPrefix(got, want) || len(want) < 10 && got != want || took > 8*time.Second {
			t.Errorf("%s %s: %q after %v, want %q", what, account, got, took, want)
		}
	}
	expect(s, "get", account, "", "not found")
	expect(s, "delete", account, "", "not found")
	expect(s, "set", account, "old", "ok ")
	expect(s, "set", account, secret, "ok ")
	expect(s, "set", "hello/TOKEN", "line one\nline two ☃", "ok ")
	expect(s, "get", account, "", "ok "+secret)
	expect(s, "get", "hello/TOKEN", "", "ok line one\nline two ☃")
	expect(s, "get", "hello/OTHER", "", "not found")
	if got, err := s.Lookup("postern", account); got != secret || err != nil {
		t.Errorf("secret-tool reads %q, %v", got, err)
	}
	s.Stop()

	locked := session(t, home, "wrong password")
	for _, what := range []string{"get", "set", "delete"} {
		expect(locked, what, account, "x", "unavailable: the operating system's keychain cannot be used: ")
	}
	locked.Stop()

	again := session(t, home, "password")
	expect(again, "get", account, "", "ok "+secret)
	expect(again, "delete", account, "", "ok ")
	expect(again, "get", account, "", "not found")
	expect(again, "get", "hello/TOKEN", "", "ok line one\nline two ☃")
	again.Stop()

	for _, path := range glob(t, home) {
		if data, _ := os.ReadFile(path); strings.Contains(string(data), secret) {
			t.Errorf("%s holds the secret in the clear", path)
		}
	}
}

// glob lists all files below a directory.
func glob(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files below %s: %v", len(files), dir, err)
	}
	return files
}

// Where no keychain answers, that is said within the deadline, and nothing is
// started to make one answer.
func TestSystem_Unavailable(t *testing.T) {
	t.Parallel()
	frozen := session(t, t.TempDir(), "password")
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	empty := session(t, t.TempDir(), "password")
	if err := empty.Silence(); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"no bus at the address": {keychaintest.NoBus},
		"malformed address":     {"DBUS_SESSION_BUS_ADDRESS=nonsense"},
		"no keyring on the bus": empty.Env,
		"a keyring that hangs":  frozen.Env,
	} {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{"get", "set", "delete"} {
				got, took := ask(t, env, what, account, secret)
				if !strings.HasPrefix(got, "unavailable: the operating system's keychain cannot be used: ") || strings.Contains(got, secret) {
					t.Errorf("%s: %q", what, got)
				}
				if late := name == "a keyring that hangs"; took > keychain.Limit+5*time.Second || late != (took >= keychain.Limit) {
					t.Errorf("%s took %v", what, took)
				}
			}
		})
	}
}

// Where dbus-launch is installed, the library would start a bus of its own.
func TestSystem_StartsNoBus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trap := "#!/bin/sh\necho started >" + filepath.Join(dir, "started") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "dbus-launch"), []byte(trap), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{{"PATH=" + dir}, {"PATH=" + dir, keychaintest.NoBus}} {
		ask(t, env, "get", "test/ABSENT", "") // on a desktop the first finds a real bus, and no such secret
	}
	if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
		t.Error("a bus was started")
	}
}
