package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postern.dev/postern/internal/keychain/keychaintest"
)

// world is what a story's commands share.
type world struct {
	server  *server
	client  *http.Client
	keyring *keychaintest.Session
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// environ is the script's environment for a child process.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "POSTERN_SERVER", "POSTERN_PROJECT_ID", "POSTERN_KEY_ID", "POSTERN_KEY_SECRET", "POSTERN_NODE"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// program finds the command under test as the script's shell would.
func program(ts *testscript.TestScript) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, "postern"); fileExists(path) {
			return path
		}
	}
	ts.Fatalf("no postern in PATH")
	return ""
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serveCmd is `serve [flags]`: a server on free ports and $WORK/data. It sets
// GATEWAY, CONTROL and, at a first start, the four POSTERN_ variables; standard
// output goes to the file serve.out.
func serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	flags := []string{"serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", filepath.Join(ts.Getenv("WORK"), "data"), "--log-format", "json"}
	s, err := startServer(program(ts), ts.MkAbs("."), environ(ts), append(flags, args...))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("serve.out"), []byte(s.stdout), 0o600))
	if s.gateway == "" || neg {
		ts.Fatalf("server is not ready: %v\n%s", s.err, s.log())
	}
	w.server = s
	ts.Defer(func() {
		if err := s.stop(); err != nil && !killed(s) {
			ts.Logf("server: %v\n%s", err, s.log())
		}
	})
	_, addr, _ := strings.Cut(s.gateway, "://")
	ts.Setenv("GATEWAY", s.gateway)
	ts.Setenv("GATEWAY_ADDR", addr)
	ts.Setenv("CONTROL", s.control)
	ts.Setenv("POSTERN_SERVER", s.control)
	for name, value := range exports(s.stdout) {
		ts.Setenv(name, value)
	}
	ts.Setenv("KEY", ts.Getenv("POSTERN_KEY_ID")+":"+ts.Getenv("POSTERN_KEY_SECRET"))
}

func killed(s *server) bool {
	e, ok := errors.AsType[*exec.ExitError](s.err)
	return ok && !e.Exited()
}

// stopCmd is `stop [kill]`; without kill the server must end with exit code 0
// and without a data race.
func stopCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := worldOf(ts).server
	if len(args) == 1 && args[0] == "kill" {
		s.kill()
		return
	}
	if err := s.stop(); err != nil || strings.Contains(s.log(), "DATA RACE") {
		ts.Fatalf("stop: %v\n%s", err, s.log())
	}
}

// httpCmd is `http METHOD URL STATUS [-u id:secret] [-H 'Name: value'] [-d body]`.
// The answer's header and body go to the files header and body.
func httpCmd(ts *testscript.TestScript, neg bool, args []string) {
	if got, want, body := request(ts, neg, args); got != want {
		ts.Fatalf("%s %s: status %d, want %d\n%s", args[0], args[1], got, want, body)
	}
}

// eventuallyCmd is http, until the status is the one wanted.
func eventuallyCmd(ts *testscript.TestScript, neg bool, args []string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		got, want, body := request(ts, neg, args)
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("%s %s: status %d, want %d\n%s", args[0], args[1], got, want, body)
		}
	}
}

// request makes the call of an http command.
func request(ts *testscript.TestScript, neg bool, args []string) (status, want int, text []byte) {
	if len(args) < 3 || neg {
		ts.Fatalf("usage: http METHOD URL STATUS [-u id:secret] [-H header] [-d body]")
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	var body io.Reader
	header := http.Header{}
	for rest := args[3:]; len(rest) >= 2; rest = rest[2:] {
		switch rest[0] {
		case "-d":
			body = strings.NewReader(rest[1])
		case "-u":
			id, secret, _ := strings.Cut(rest[1], ":")
			r := http.Request{Header: header}
			r.SetBasicAuth(id, secret)
		case "-H":
			name, value, _ := strings.Cut(rest[1], ": ")
			header[name] = append(header[name], value)
		default:
			ts.Fatalf("unknown option %s", rest[0])
		}
	}
	req, err := http.NewRequest(args[0], args[1], body)
	ts.Check(err)
	req.Header = header
	if h := header["Host"]; h != nil {
		req.Host = h[0]
	}
	res, err := worldOf(ts).client.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	ts.Check(err)
	var head bytes.Buffer
	head.WriteString(res.Proto + " " + res.Status + "\n")
	res.Header.Write(&head)
	ts.Check(os.WriteFile(ts.MkAbs("header"), head.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("body"), got, 0o600))
	return res.StatusCode, want, got
}

// codeCmd is `code N program args…`: the program must exit with that code.
func codeCmd(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	// Exec keeps stdout and stderr for the script's next commands.
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// nothingLeftCmd fails if a worker of the story's data directory still runs.
func nothingLeftCmd(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(workers(ts.Getenv("WORK"))) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("workers are left: %v", workers(ts.Getenv("WORK")))
		}
	}
}

// demoCmd is `demo [flags]`: `postern demo --json` until ready; its line goes
// to demo.json and its parts to GATEWAY, KEY and FUNCTION.
func demoCmd(ts *testscript.TestScript, neg bool, args []string) {
	cmd := exec.Command(program(ts), append([]string{"demo", "--json"}, args...)...)
	cmd.Env = environ(ts)
	var logs bytes.Buffer
	cmd.Stderr = &logs
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	var line struct {
		Gateway, API, Console, ProjectID, KeyID, KeySecret string
		Functions                                          []struct{ Name, URL string }
	}
	if err := json.NewDecoder(out).Decode(&line); err != nil || len(line.Functions) == 0 {
		cmd.Process.Kill()
		cmd.Wait()
		ts.Fatalf("demo: %v\n%s", err, logs.String())
	}
	ts.Setenv("GATEWAY", line.Gateway)
	ts.Setenv("CONTROL", line.API)
	ts.Setenv("FUNCTION", line.Functions[0].URL)
	ts.Setenv("KEY", line.KeyID+":"+line.KeySecret)
	ts.Setenv("POSTERN_SERVER", line.API)
	ts.Setenv("POSTERN_PROJECT_ID", line.ProjectID)
	ts.Setenv("POSTERN_KEY_ID", line.KeyID)
	ts.Setenv("POSTERN_KEY_SECRET", line.KeySecret)
}
