package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
	"postern.dev/postern/internal/worker"
)

// python is a server of one request at a time, which tells what it was given.
const python = `import http.server, os, signal, socket, sys, threading, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/exit': os._exit(9)
        if self.path == '/ready' and not os.path.exists('warm'):
            open('warm', 'w'); self.send_response(503); self.end_headers(); return
        body = {'/env': lambda: '\n'.join(sorted(k + '=' + v for k, v in os.environ.items())), '/fds': lambda: ' '.join(sorted(os.listdir('/proc/self/fd'))), '/cwd': os.getcwd}.get(self.path, lambda: 'ok')()
        self.send_response(500 if self.path == '/broken' else 200); self.end_headers(); self.wfile.write(body.encode())
    def log_message(self, *a): pass
    def address_string(self): return ''
class S(http.server.HTTPServer):
    def server_bind(self):
        if self.allow_reuse_address: self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
def serve(at=None, **options):
    if at is None: at = os.environ.get('POSTERN_SOCKET') or ('127.0.0.1', int(os.environ['PORT']))
    S.address_family = socket.AF_UNIX if isinstance(at, str) else socket.AF_INET
    for k, v in options.items(): setattr(S, k, v)
    s = S(at, H)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    s.serve_forever(0.01)
`

// programSpec is how to start a program whose files are given; app.py has python
// before it.
func programSpec(t testing.TB, tcp bool, files map[string]string, argv ...string) (worker.Spec, *lines) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if name == "app.py" {
			text = python + text
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	l := new(lines)
	declares := platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "http"}}}
	return worker.Spec{Argv: argv, Dir: dir, Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "GREETING=hi", "PYTHONDONTWRITEBYTECODE=1"}, Log: l.add,
		Program: &worker.Program{Name: "p", TCP: tcp, Dir: filepath.Join(t.TempDir(), "programs"), Declares: declares}}, l
}

func startProgram(t testing.TB, spec worker.Spec) *worker.Worker {
	t.Helper()
	w, err := worker.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Kill("test over") })
	return w
}

// ask asks a program for a path.
func ask(t testing.TB, w *worker.Worker, path string) (status int, body string, err error) {
	t.Helper()
	res, err := w.Proxy().Do(t.Context(), &upstream.Request{ID: "r", Method: "GET", Path: path, Host: "h", Timeout: 10 * time.Second})
	if err != nil {
		return 0, "", err
	}
	defer res.Close()
	var all strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := res.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			return res.Status, all.String(), nil
		}
	}
}

func TestProgram_Starts(t *testing.T) {
	t.Parallel()
	for name, tcp := range map[string]bool{"on a socket": false, "on a port": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, _ := programSpec(t, tcp, map[string]string{"app.py": "serve()"}, "python3", "app.py")
			w := startProgram(t, spec)
			status, env, err := ask(t, w, "/env")
			if err != nil || status != 200 {
				t.Fatal(status, err)
			}
			var names []string
			values := map[string]string{}
			for line := range strings.SplitSeq(env, "\n") {
				name, value, _ := strings.Cut(line, "=")
				names = append(names, name)
				values[name] = value
			}
			want := []string{"ASPNETCORE_URLS", "GREETING", "HOST", "LC_CTYPE", "PATH", "PORT", "PYTHONDONTWRITEBYTECODE"}
			if !tcp {
				want = []string{"ASPNETCORE_URLS", "GREETING", "LC_CTYPE", "PATH", "POSTERN_SOCKET", "PYTHONDONTWRITEBYTECODE"}
			}
			if !slices.Equal(names, want) {
				t.Errorf("its environment is %q", names)
			}
			if _, fds, err := ask(t, w, "/fds"); err != nil || len(strings.Fields(fds)) > 6 { // its streams, the socket it listens on, the connection, the directory
				t.Errorf("its descriptors are %q, %v", fds, err)
			}
			if _, dir, _ := ask(t, w, "/cwd"); dir != spec.Dir {
				t.Errorf("it runs in %q", dir)
			}
			if !w.Declaration().Equal(spec.Program.Declares) || w.Exit() != nil || w.Proxy() == nil {
				t.Errorf("%+v, %v", w.Declaration(), w.Exit())
			}
			at := values["POSTERN_SOCKET"]
			if !tcp {
				if info, err := os.Stat(filepath.Dir(at)); err != nil || info.Mode().Perm() != 0o700 || len(at) > 107 {
					t.Errorf("the socket is at %s, whose directory is %v, %v", at, info.Mode(), err)
				}
			} else if values["HOST"] != "127.0.0.1" || values["ASPNETCORE_URLS"] != "http://127.0.0.1:"+values["PORT"] {
				t.Errorf("it is told to listen at %q", values)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := w.Drain(ctx); err != nil || w.Exit() == nil || w.Exit().Code != 0 {
				t.Errorf("drain: %v, %v", err, w.Exit())
			}
			gone(t, w.Pid())
			if _, err := os.Stat(filepath.Dir(at)); !tcp && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket's directory is left: %v", err)
			}
			select {
			case <-w.Leaving():
			default:
				t.Error("it does not say that it takes no calls")
			}
			if _, _, err := ask(t, w, "/"); !worker.Away(err) || upstream.Sent(err) {
				t.Errorf("a request of one that is gone: %v", err)
			}
		})
	}
}

// A program that does not come up says why, in words that its author can act on.
func TestProgram_RefusesToStart(t *testing.T) {
	t.Parallel()
	const never = "import time; time.sleep(60)"
	for name, tc := range map[string]struct {
		tcp        bool
		argv       []string
		files      map[string]string
		mode       fs.FileMode
		ready      string
		code, want string
	}{
		"a command that is not there":      {argv: []string{"no-such-command"}, code: "command_unusable", want: `"no-such-command" was not found on the server, in /usr/local/bin`},
		"a file without ./":                {argv: []string{"server"}, files: map[string]string{"server": ""}, code: "command_unusable", want: "the file of the project is ./server"},
		"a file that is not there":         {argv: []string{"./server"}, code: "command_unusable", want: "it is not there"},
		"a file that is not executable":    {argv: []string{"./server"}, files: map[string]string{"server": "#!/bin/sh\n"}, mode: 0o400, code: "command_unusable", want: "not executable"},
		"a program of another system":      {argv: []string{"./server"}, files: map[string]string{"server": "\xcf\xfa\xed\xfe another system's"}, code: "command_unusable", want: "no program of the server's system and processor"},
		"a script without its interpreter": {argv: []string{"./server"}, files: map[string]string{"server": "#!/no/such/interpreter\n"}, code: "command_unusable", want: "the interpreter that its first line names"},
		"one that exits":                   {argv: []string{"python3", "app.py"}, files: map[string]string{"app.py": "print('no configuration'); sys.exit(3)"}, code: "worker_exited", want: "exited with code 3 before it was ready"},
		"one that goes to the background":  {argv: []string{"python3", "app.py"}, files: map[string]string{"app.py": "print('no configuration', flush=True); os.fork() and os._exit(0); time.sleep(0.3); serve()"}, code: "worker_exited", want: "in the foreground"},
		"one that does not listen":         {argv: []string{"python3", "app.py"}, files: map[string]string{"app.py": "print('no configuration', flush=True); " + never}, code: "start_timeout", want: "did not listen on the socket $POSTERN_SOCKET in time"},
		"one that listens elsewhere": {tcp: true, argv: []string{"python3", "app.py"}, files: map[string]string{"app.py": "print('no configuration', flush=True); serve(('127.0.0.1', 0))"},
			code: "start_timeout", want: "did not listen on 127.0.0.1 and the port $PORT in time; it listens on 127.0.0.1:"},
		"one that listens to all": {tcp: true, argv: []string{"python3", "app.py"}, files: map[string]string{"app.py": "print('no configuration', flush=True); serve(('0.0.0.0', int(os.environ['PORT'])))"},
			code: "listens_to_all", want: "could reach it past the gateway"},
		"one that is not ready": {argv: []string{"python3", "app.py"}, files: map[string]string{"app.py": "print('no configuration', flush=True); serve()"}, ready: "/broken",
			code: "start_timeout", want: "it answers /broken with 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, _ := programSpec(t, tc.tcp, tc.files, tc.argv...)
			spec.StartTimeout, spec.Program.Ready = 10*time.Second, tc.ready
			if tc.code == "start_timeout" {
				spec.StartTimeout = 1500 * time.Millisecond
			}
			if tc.mode != 0 {
				os.Chmod(filepath.Join(spec.Dir, "server"), tc.mode)
			}
			if w, err := worker.Start(t.Context(), spec); err == nil {
				w.Kill("test over")
				t.Fatal("it starts")
			} else if e, ok := errors.AsType[*worker.StartError](err); !ok || e.Code != tc.code || !strings.Contains(e.Message, tc.want) {
				t.Fatalf("%v, want %s: %s", err, tc.code, tc.want)
			} else if tc.files["app.py"] != "" && !slices.Contains(e.LastLines, "no configuration") {
				t.Errorf("its last lines are %q", e.LastLines)
			}
			if left, _ := os.ReadDir(spec.Program.Dir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A program that cannot listen beside the socket that holds its port gets another port.
func TestProgram_PortIsTriedAgain(t *testing.T) {
	t.Parallel()
	spec, l := programSpec(t, true, map[string]string{"app.py": "print('try', flush=True); serve(allow_reuse_address=False)"}, "python3", "app.py")
	w := startProgram(t, spec)
	if status, _, err := ask(t, w, "/"); status != 200 || err != nil {
		t.Error(status, err)
	}
	l.wait(t, "try")
}

// A program reads its token from a file of its own, which is there anew each time
// that it is due.
func TestProgram_Token(t *testing.T) {
	t.Parallel()
	spec, _ := programSpec(t, true, map[string]string{"app.py": "serve()"}, "python3", "app.py")
	var made atomic.Int64
	spec.Token = func(now time.Time) (worker.Token, error) {
		n := made.Add(1)
		if n == 2 {
			return worker.Token{}, errors.New("not now")
		}
		return worker.Token{Socket: "/run/calls.sock", Text: fmt.Sprint("token ", n), RenewAt: now.Add(time.Millisecond)}, nil
	}
	w := startProgram(t, spec)
	_, env, err := ask(t, w, "/env")
	if err != nil || !strings.Contains(env, "POSTERN_CALLS_SOCKET=/run/calls.sock\n") || strings.Contains(env, "token 1") {
		t.Fatal(env, err)
	}
	_, file, _ := strings.Cut(env, "POSTERN_CALLS_TOKEN_FILE=")
	file, _, _ = strings.Cut(file, "\n")
	text, err := os.ReadFile(file)
	if info, bad := os.Stat(file); err != nil || bad != nil || !strings.HasPrefix(string(text), "token ") || info.Mode().Perm() != 0o600 {
		t.Fatalf("%q %v %v", text, err, bad)
	}
	for deadline := time.Now().Add(10 * time.Second); string(text) < "token 4"; text, _ = os.ReadFile(file) {
		if time.Now().After(deadline) {
			t.Fatalf("it is %q still", text)
		}
	}
}

// Nobody else is given the port of a program that has not listened yet.
func TestProgram_PortIsHeld(t *testing.T) {
	t.Parallel()
	for range 200 {
		addr, release, err := worker.HoldPort()
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if netip.MustParseAddrPort(ln.Addr().String()) == addr {
			t.Error("the port was given to another")
		}
		ln.Close()
		own, err := net.Listen("tcp", addr.String())
		if err != nil {
			t.Fatal("its own program cannot listen there:", err)
		}
		own.Close()
		release()
	}
}

func TestProgram_WaitsUntilReady(t *testing.T) {
	t.Parallel()
	spec, _ := programSpec(t, false, map[string]string{"app.py": "serve()"}, "python3", "app.py")
	spec.Program.Ready = "/ready"
	startProgram(t, spec)
	if _, err := os.Stat(filepath.Join(spec.Dir, "warm")); err != nil {
		t.Error("it was not asked whether it is ready")
	}
}

// The directory of a deep installation has no room for the path of a socket.
func TestProgram_DeepDirectory(t *testing.T) {
	t.Parallel()
	spec, _ := programSpec(t, false, map[string]string{"app.py": "serve()"}, "python3", "app.py")
	spec.Program.Dir = filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if status, _, err := ask(t, startProgram(t, spec), "/"); status != 200 || err != nil {
		t.Error(status, err)
	}
}

// Every end of a program has a reason.
func TestProgram_Ends(t *testing.T) {
	t.Parallel()
	spec, _ := programSpec(t, false, map[string]string{"app.py": "print('so it ends', flush=True); serve()"}, "python3", "app.py")
	w := startProgram(t, spec)
	_, _, err := ask(t, w, "/exit")
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "upstream_unreachable" || !upstream.Sent(err) {
		t.Errorf("a call on which it ended: %v", err)
	}
	<-w.Done()
	if e := w.Exit(); e.Code != 9 || e.Reason != "" || !slices.Contains(e.LastLines, "so it ends") {
		t.Errorf("%+v", e)
	}

	stubborn, _ := programSpec(t, false, map[string]string{"app.py": "signal.signal = lambda *_: None\nimport _signal; _signal.signal(15, _signal.SIG_IGN)\nserve()"}, "python3", "app.py")
	w = startProgram(t, stubborn)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.Drain(ctx); err == nil || w.Exit() == nil || w.Exit().Reason != "it was asked to end" || w.Exit().Signal == 0 {
		t.Errorf("one that ignores SIGTERM: %v, %v", err, w.Exit())
	}

	// What it has started ends with it.
	parent, l := programSpec(t, false, map[string]string{"app.py": "import subprocess; print('child', subprocess.Popen(['sleep', '1000']).pid, flush=True); serve()"}, "python3", "app.py")
	w = startProgram(t, parent)
	child, err := strconv.Atoi(strings.TrimPrefix(l.wait(t, "child ").Text, "child "))
	if err != nil {
		t.Fatal(err)
	}
	w.Kill("it is time")
	if e := w.Exit(); e.Reason != "it is time" {
		t.Errorf("%+v", e)
	}
	gone(t, child)
}
