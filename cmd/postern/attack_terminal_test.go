package main_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"postern.dev/postern/internal/api"
)

// nasty is a text that would do something to a terminal, to a log or to JSON.
const nasty = "a\x1b]0;title\x07b\x1b[2J\x1b[31mc\x1b]52;c;ZXZpbA==\x1b\\d\u009b31me\rf\x08g\x00h\x7fi\u202ej\u2066kl\x1bPq\x1b\\m\x1bcn\"o\\p\x1b"

// filled is a value of a type of the API in which every text is nasty.
func filled(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(nasty)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		filled(value)
		v.SetMapIndex(reflect.ValueOf(nasty).Convert(v.Type().Key()), value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).CanSet() && name != "NextPageToken" {
				filled(v.Field(i))
			}
		}
	}
}

// unsafe reports the first character that does more than print.
func unsafe(text string) string {
	for i, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069) {
			return text[max(0, i-20):min(len(text), i+20)]
		}
	}
	return ""
}

// terminal commands and what a control plane answers to them.
var terminalCommands = map[string]any{
	"functions list":                           api.Functions{},
	"functions status f":                       api.Function{},
	"functions logs f":                         api.Logs{},
	"functions delete f --yes":                 nil,
	"keys list":                                api.AccessKeys{},
	"keys show pak_01m7yyy84cb4m74q0mrkdqprv2": api.AccessKey{},
	"keys create k":                            api.CreatedKey{},
	"keys update pak_01m7yyy84cb4m74q0mrkdqprv2 --name n": api.AccessKey{},
	"keys rotate pak_01m7yyy84cb4m74q0mrkdqprv2":          api.RotatedKey{},
	"keys revoke pak_01m7yyy84cb4m74q0mrkdqprv2":          nil,
	"subprojects list":                    api.Subprojects{},
	"subprojects create s":                api.Subproject{},
	"usage":                               api.UsageReport{},
	"audit":                               api.AuditEvents{},
	"explain req_00000000000000000000":    api.Explanation{},
	"gateway routes":                      api.GatewayRoutes{},
	"gateway history":                     api.GatewayPolicies{},
	"apply -f gateway.yaml":               api.AppliedPolicy{},
	"auth status":                         api.WhoAmI{},
	"functions versions f":                api.Versions{},
	"functions promote f --percent 50":    api.DeployResponse{},
	"functions rollback f":                api.DeployResponse{},
	"functions logs f --plain":            api.Logs{},
	"functions storage list --function f": api.Objects{},
	"functions storage delete k --function f --force":    nil,
	"secrets list --function f --remote --keychain file": api.Secrets{},
	"secrets list --shared --remote":                     api.Secrets{},
	"secrets rotate-keys":                                api.RotateKeysResponse{},
	"secrets delete K --shared --remote --force":         api.ChangeSecretsResponse{},
}

// What a server says, or a function wrote, or somebody named, does nothing to
// the terminal of whoever looks at it; and as JSON it is JSON.
func TestAttack_Terminal(t *testing.T) {
	t.Parallel()
	type told struct {
		status int
		answer any
	}
	var now atomic.Pointer[told]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		tell := now.Load()
		switch {
		case r.URL.Path == "/oauth2/token":
			json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": 3600})
		case tell.status != 200:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(tell.status)
			json.NewEncoder(w).Encode(map[string]any{"type": nasty, "title": nasty, "detail": nasty, "code": nasty, "hint": nasty, "requestId": nasty, "status": tell.status})
		default:
			value := reflect.New(reflect.TypeOf(tell.answer)).Elem()
			filled(value)
			json.NewEncoder(w).Encode(value.Interface())
		}
	}))
	defer server.Close()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "gateway.yaml"), []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (stdout, stderr string, err error) {
		var out, errs strings.Builder
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = home, &out, &errs
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "POSTERN_SERVER=" + server.URL, "POSTERN_PROJECT_ID=prj_01m7yyy84ckgdt4v8qtxsa991c", "POSTERN_KEY_ID=pak_01m7yyy84cb4m74q0mrkdqprv2",
			"POSTERN_KEY_SECRET=psk_kShZnpWdUqAvuiEPFFBYDFvPXbw4ubmx5zpZ6W3W3xI2jwxHU"}
		err = cmd.Run()
		return out.String(), errs.String(), err
	}
	for command, with := range terminalCommands {
		for _, answers := range []int{200, 400, 403, 404, 409, 500} {
			if answers == 200 && with == nil {
				with = struct{}{}
			}
			now.Store(&told{answers, with})
			for _, form := range []string{"", "--json"} {
				name := strings.TrimSpace(command + " " + form)
				tried(t, name, http.StatusText(answers))
				stdout, stderr, err := run(strings.Fields(name)...)
				if bad := unsafe(stdout); bad != "" {
					t.Errorf("%s, answered with %d, prints %q", name, answers, bad)
				}
				if bad := unsafe(stderr); bad != "" {
					t.Errorf("%s, answered with %d, complains with %q", name, answers, bad)
				}
				if strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "unknown flag") || strings.Contains(stderr, "--help") {
					t.Errorf("%s, answered with %d: %s", name, answers, stderr)
				}
				if (err == nil) != (answers == 200) && command != "auth status" {
					t.Errorf("%s, answered with %d: %v\n%s", name, answers, err, stderr)
				}
				if form == "" {
					continue
				}
				for where, text := range map[string]string{"prints": stdout, "complains with": stderr} {
					for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
						var line any
						if err := d.Decode(&line); err != nil {
							t.Errorf("%s, answered with %d, %s %q: %v", name, answers, where, text, err)
							break
						}
					}
				}
				if err != nil && !strings.HasPrefix(stderr, "{") {
					t.Errorf("%s, answered with %d, complains with %q", name, answers, stderr)
				}
			}
		}
	}
}

// Whatever is written is for its owner, though the umask lets everybody in, and
// nothing is written or read through a link.
func TestAttack_Files(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	home := t.TempDir()
	secret := filepath.Join(home, "secret")
	if err := os.WriteFile(secret, []byte(g.key["POSTERN_KEY_SECRET"]), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(dir string, env []string, args ...string) (string, error) {
		cmd := exec.Command("/bin/sh", append([]string{"-c", `umask 000; exec "$0" "$@"`, binary}, args...)...)
		cmd.Dir = dir
		cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "POSTERN_KEYCHAIN=file", "POSTERN_KEYCHAIN_PASSPHRASE=correct horse"}, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	login := []string{"auth", "login", "--server", g.control, "--key-id", g.key["POSTERN_KEY_ID"], "--secret-file", secret}
	if out, err := open(home, nil, login...); err != nil {
		t.Fatal(out)
	}
	ours := filepath.Join(home, ".config", "postern")
	private := func(root string, least int) {
		t.Helper()
		tried(t, "modes", filepath.Base(root))
		n := 0
		filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil // a worker's files come and go
			}
			info, err := e.Info()
			if err != nil {
				return nil
			}
			if n++; info.Mode().Type()&fs.ModeSymlink != 0 || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		})
		if n < least {
			t.Errorf("only %d files in %s", n, root)
		}
	}
	private(ours, 4)

	// A server of its own, with the same umask, and a function that ran.
	s := &site{T: t, data: filepath.Join(home, "data"), key: map[string]string{}}
	var err error
	s.server, err = startServer("/bin/sh", home, os.Environ(), []string{"-c", `umask 000; exec "$0" "$@"`, binary, "serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", s.data, "--log-format", "json"})
	if err != nil || s.gateway == "" {
		t.Fatal(err, s.log())
	}
	t.Cleanup(s.server.kill)
	s.key = exports(s.stdout)
	s.sign()
	if said, err := s.tried("f", map[string]string{"postern.json": `{"name":"f","runtime":"node"}`, "function.ts": "export const auth = [];\nexport const a = () => { console.log('line'); return 'a'; };\n"}); err != nil {
		t.Fatal(said)
	}
	if status, body := call(t, http.DefaultClient, "GET", s.gateway+"/fn/f/a", "", "", ""); status != 200 {
		t.Fatal(status, body)
	}
	s.must("functions", "logs", "f")
	private(s.data, 8)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	private(s.data, 6)

	// A link where a file of ours is expected.
	victim := filepath.Join(home, "victim")
	for _, file := range []string{filepath.Join(ours, "profiles.json"), filepath.Join(ours, "profiles.json.lock"), filepath.Join(ours, "keychain.age"), filepath.Join(ours, "keychain.age.lock"),
		filepath.Join(s.data, "sealing.key")} {
		for kind, text := range map[string]string{"a file": "theirs", "nothing": ""} {
			tried(t, "a link to "+kind, filepath.Base(file))
			os.Remove(victim)
			if text != "" {
				if err := os.WriteFile(victim, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			kept := file + ".kept"
			if err := os.Rename(file, kept); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(victim, file); err != nil {
				t.Fatal(err)
			}
			args := login
			if strings.HasPrefix(file, s.data) {
				args = []string{"serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", s.data}
			}
			out, err := open(home, nil, args...)
			if err == nil || !strings.Contains(out, "postern: error:") || strings.Contains(out, "goroutine ") {
				t.Errorf("%s is a link to %s: %v %s", filepath.Base(file), kind, err, out)
			}
			if now, err := os.ReadFile(victim); string(now) != text || (err == nil) != (text != "") {
				t.Errorf("%s is a link to %s, which is now %q", filepath.Base(file), kind, now)
			}
			if err := os.Rename(kept, file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := open(home, nil, login...); err != nil {
		t.Errorf("after all that nobody can sign in: %s", out)
	}
}
