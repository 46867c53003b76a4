package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// development is a running `postern functions dev`.
type development struct {
	cmd        *exec.Cmd
	url        string
	transcript // what it printed
	done       chan struct{}
	err        error // valid after done
}

var devURL = regexp.MustCompile(`http://localhost:\d+`)

// startDevelopment starts it and waits until the first build is over.
func startDevelopment(dir, program string, env []string, args ...string) (*development, error) {
	d := &development{done: make(chan struct{})}
	d.cmd = exec.Command(program, append([]string{"functions", "dev", "--port", "0"}, args...)...)
	d.cmd.Dir, d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = dir, env, d, d
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.err = d.cmd.Wait(); close(d.done) }()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		text := d.text()
		if d.url = devURL.FindString(text); d.url != "" && (strings.Contains(text, "\nready in ") || strings.Contains(text, "failed: ") || strings.Contains(text, `"build"`)) {
			return d, nil
		}
		select {
		case <-d.done:
			return nil, errors.New("it ended: " + text)
		default:
		}
		if time.Now().After(deadline) {
			d.cmd.Process.Kill()
			return nil, errors.New("it is never ready: " + text)
		}
	}
}

// end sends a signal and waits.
func (d *development) end(sig os.Signal) (took time.Duration, err error) {
	began := time.Now()
	d.cmd.Process.Signal(sig)
	select {
	case <-d.done:
		return time.Since(began), d.err
	case <-time.After(time.Minute):
		d.cmd.Process.Kill()
		return time.Since(began), errors.New("it did not end")
	}
}

// devWorld is of a story's development.
type devWorld struct{}

// devCmd is `dev [flags] [DIR]`: `postern functions dev` until the first build is
// over; its address goes to FUNCTION. `dev stop` interrupts it, and what it
// printed goes to dev.out; `dev printed TEXT` writes that without ending it, once it
// has a text: what is told of a call comes a moment after its answer.
func devCmd(ts *testscript.TestScript, neg bool, args []string) {
	d, _ := ts.Value(devWorld{}).(**development)
	switch {
	case len(args) == 1 && args[0] == "stop":
		_, err := (*d).end(os.Interrupt)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("dev.out"), []byte((*d).text()), 0o644))
	case len(args) == 2 && args[0] == "printed":
		for deadline := time.Now().Add(time.Minute); !strings.Contains((*d).text(), args[1]) && time.Now().Before(deadline); {
			<-time.After(10 * time.Millisecond)
		}
		ts.Check(os.WriteFile(ts.MkAbs("dev.out"), []byte((*d).text()), 0o644))
	default:
		env := append(environ(ts), "DBUS_SESSION_BUS_ADDRESS="+ts.Getenv("DBUS_SESSION_BUS_ADDRESS"))
		for _, name := range []string{"PROJECT_ID", "PROJECT_ID_API_KEY", "PROJECT_ID_API_SECRET", "COMPANY"} {
			env = append(env, name+"="+ts.Getenv(name))
		}
		started, err := startDevelopment(ts.MkAbs("."), program(ts), env, args...)
		ts.Check(err)
		*d = started
		ts.Defer(func() { started.cmd.Process.Kill(); <-started.done })
		ts.Setenv("FUNCTION", started.url)
	}
}

// ofProject are the processes that run a function of a directory.
func ofProject(dir string) (pids []int) {
	envs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range envs {
		if env, err := os.ReadFile(file); err == nil && bytes.Contains(env, []byte("POSTERN_DATABASE="+dir+"/")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// newProject is a function that spawns a child of its own and ticks.
func newProject(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"postern.json": `{"name":"f","runtime":"node"}`,
		"function.ts":  "setInterval(() => {}, 10);\nexport const auth = [];\nexport const a = () => 'a';\nexport const hangs = () => new Promise(() => {});\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir(), "TMPDIR="+t.TempDir(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus")
}

// Nothing of a function is left when who works on it ends, however that is.
func TestDev_Ends(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sig  os.Signal
		want string // of the end; empty: in good order
	}{
		"Ctrl-C":  {os.Interrupt, ""},
		"SIGTERM": {syscall.SIGTERM, ""},
		"kill -9": {os.Kill, "signal: killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, env := newProject(t)
			d, err := startDevelopment(dir, binary, env)
			if err != nil {
				t.Fatal(err)
			}
			defer d.cmd.Process.Kill()
			if out, err := exec.CommandContext(t.Context(), "curl", "-s", d.url+"/a").CombinedOutput(); err != nil || string(out) != "a" {
				t.Errorf("%s, %v", out, err)
			}
			hangs := exec.CommandContext(t.Context(), "curl", "-s", d.url+"/hangs")
			if err := hangs.Start(); err != nil {
				t.Fatal(err)
			}
			took, err := d.end(tc.sig)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
				t.Errorf("it ended with %v\n%s", err, d.text())
			}
			if took > 30*time.Second { // a second for calls in flight, and a busy machine
				t.Errorf("it took %v", took)
			}
			deadline := time.Now().Add(time.Minute)
			for len(ofProject(dir)) > 0 && time.Now().Before(deadline) {
				time.Sleep(10 * time.Millisecond)
			}
			if pids := ofProject(dir); len(pids) > 0 {
				t.Errorf("processes are left: %v", pids)
			}
			hangs.Wait()
		})
	}
}

// A second Ctrl-C does not wait for anything.
func TestDev_SecondInterrupt(t *testing.T) {
	t.Parallel()
	dir, env := newProject(t)
	asked := filepath.Join(t.TempDir(), "asked")
	code := fmt.Sprintf("import { writeFileSync } from 'node:fs';\nexport const auth = [];\nexport function setup(r) { r.onShutdown(() => { writeFileSync(%q, ''); return new Promise(() => {}); }); }\nexport const a = () => 'a';\n", asked)
	if err := os.WriteFile(filepath.Join(dir, "function.ts"), []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := startDevelopment(dir, binary, env, dir)
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Process.Signal(os.Interrupt)
	eventually(t, "the first one is being followed", func() bool { return fileExists(asked) })
	if _, err := d.end(os.Interrupt); err == nil || err.Error() != "signal: interrupt" {
		t.Error(err)
	}
	for deadline := time.Now().Add(time.Minute); len(ofProject(dir)) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes are left: %v", ofProject(dir))
		}
	}
}

// A port that is in use is told at once, with who has it, and what to type.
func TestDev_PortInUse(t *testing.T) {
	t.Parallel()
	dir, env := newProject(t)
	d, err := startDevelopment(dir, binary, env, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.end(os.Interrupt)
	port := d.url[strings.LastIndex(d.url, ":")+1:]
	second := exec.CommandContext(t.Context(), binary, "functions", "dev", "--port", port, dir)
	second.Env = env
	out, err := second.CombinedOutput()
	n, _ := strconv.Atoi(port)
	for _, want := range []string{"the port " + port + " is in use by postern (process " + strconv.Itoa(d.cmd.Process.Pid) + ")", "--port " + strconv.Itoa(n+1)} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 5 {
		t.Errorf("it ended with %v", err)
	}
}

// What a killed one has left on disk the next one removes.
func TestDev_ClearsUp(t *testing.T) {
	t.Parallel()
	dir, env := newProject(t)
	tmp := ""
	for _, v := range env {
		if rest, ok := strings.CutPrefix(v, "TMPDIR="); ok {
			tmp = rest
		}
	}
	left := func() (n int) {
		dirs, _ := filepath.Glob(filepath.Join(tmp, "postern-dev-*"))
		return len(dirs)
	}
	for i, sig := range []os.Signal{os.Kill, os.Kill, os.Interrupt} {
		d, err := startDevelopment(dir, binary, env)
		if err != nil {
			t.Fatal(err)
		}
		if n := left(); n != 1 {
			t.Errorf("start %d: %d directories", i, n)
		}
		d.end(sig)
	}
	if n := left(); n != 0 {
		t.Errorf("%d directories are left", n)
	}
}
