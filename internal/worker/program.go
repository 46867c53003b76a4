package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// Program says of a worker that it is a program which serves HTTP by itself. It
// speaks no protocol with the host; it is asked over HTTP ([Worker.Proxy]).
type Program struct {
	// Name is the function's, for errors.
	Name string
	// TCP has it listen on a port of 127.0.0.1 that its environment names; else it
	// listens on a unix socket.
	TCP bool
	// Ready is the path that must answer below 500 before it gets requests; empty:
	// that it takes connections is enough.
	Ready string
	// Dir is where a directory of its own is made, for its socket and the token
	// with which it calls functions. Where the path would be too long for a socket,
	// it is made with the temporary ones.
	Dir string
	// Declares is what is recorded of it: a program is not asked.
	Declares platform.Declaration
}

const (
	// maxSocket is how long the path of a socket may be: sun_path has 108 bytes,
	// and a zero behind it.
	maxSocket  = 107
	portTries  = 3
	readyFirst = 2 * time.Millisecond // after the first look, doubled to
	readyEvery = 50 * time.Millisecond
	// termGrace is how long a program has at least between SIGTERM and SIGKILL.
	termGrace = 2 * time.Second
)

// program is the part of a worker that there is instead of a connection.
type program struct {
	spec    Program
	renewAt time.Time // when the next token is due; zero: none is
	dir     string    // its own, for its socket; 0700
	network string
	address string    // the socket's path, or 127.0.0.1 and the port
	port    *heldPort // nil: it listens on a socket
	proxy   *upstream.Proxy
	leaving chan struct{} // closed when it gets no new request any more
	left    sync.Once
}

// Proxy sends requests to a worker that is a program; nil of any other.
func (w *Worker) Proxy() *upstream.Proxy {
	if w.program == nil {
		return nil
	}
	return w.program.proxy
}

// Listens reports whether a program listens at a TCP address.
func (w *Worker) Listens(at netip.AddrPort) bool {
	return w.program != nil && w.program.port != nil && w.program.port.addr == at
}

// Refuse takes a program out of service that takes no connections any more,
// although its process may go on.
func (w *Worker) Refuse() { w.program.leave() }

func (p *program) leave() { p.left.Do(func() { close(p.leaving) }) }

var errPortTaken = errors.New("the port was taken by another process")

// startProgram starts a program and waits until it is ready. A port that somebody
// else took meanwhile is no failure of the program: it is started on another.
func startProgram(ctx context.Context, spec Spec) (*Worker, error) {
	deadline := time.Now().Add(cmp.Or(spec.StartTimeout, 10*time.Second))
	for try := 1; ; try++ {
		w, err := startProgramOnce(ctx, spec, deadline, try == 1)
		if !errors.Is(err, errPortTaken) {
			return w, err
		}
		if try == portTries {
			return nil, &StartError{Code: "worker_exited", Message: fmt.Sprintf("%v, %d times", err, portTries)}
		}
	}
}

func startProgramOnce(ctx context.Context, spec Spec, deadline time.Time, hold bool) (_ *Worker, err error) {
	p, err := newProgram(*spec.Program, hold)
	if err != nil {
		return nil, &StartError{Code: "spawn_failed", Message: err.Error()}
	}
	spec.Argv = slices.Clone(spec.Argv)
	if spec.Argv[0], err = findCommand(spec); err != nil {
		p.remove()
		return nil, &StartError{Code: "command_unusable", Message: err.Error()}
	}
	log := spec.Log
	if log == nil {
		log = func(Line) {}
	}
	socket, err := p.grantToken(spec)
	if err != nil {
		p.remove()
		return nil, &StartError{Code: "spawn_failed", Message: "there is no token for calls of other functions: " + err.Error()}
	}
	spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], p.environment()...)
	if spec.Token != nil {
		spec.Env = append(spec.Env, "POSTERN_CALLS_SOCKET="+socket, "POSTERN_CALLS_TOKEN_FILE="+p.token())
	}
	proc, err := launch(spec, nil, log)
	if err != nil {
		p.remove()
		return nil, unusable(spec, err)
	}
	w := &Worker{proc: proc, program: p, done: make(chan struct{}), readied: make(chan struct{}), declaration: spec.Program.Declares}
	spec.Log = log
	go w.watchProgram(spec)
	if err = w.await(ctx, deadline); err == nil {
		return w, nil
	}
	w.kill("it did not start")
	<-w.done
	if e, ok := errors.AsType[*StartError](err); ok {
		if e.LastLines = proc.last.lines(); p.port != nil && e.Code == "worker_exited" && inUse(e.LastLines) {
			return nil, errPortTaken
		}
	}
	return nil, err
}

// inUse reports whether a program ended because its port was another's, which it
// can only have said in words.
func inUse(lines []string) bool {
	return slices.ContainsFunc(lines, func(l string) bool {
		l = strings.ToLower(l)
		return strings.Contains(l, "address already in use") || strings.Contains(l, "eaddrinuse") || strings.Contains(l, "address in use")
	})
}

func newProgram(spec Program, hold bool) (*program, error) {
	p := &program{spec: spec, network: "unix", leaving: make(chan struct{})}
	if spec.TCP {
		port, err := holdPort(hold)
		if err != nil {
			return nil, err
		}
		p.network, p.port, p.address = "tcp", port, port.addr.String()
	}
	var err error
	if p.dir, err = privateDir(spec.Dir); err != nil {
		p.remove()
		return nil, err
	}
	if !spec.TCP {
		p.address = filepath.Join(p.dir, socketName)
	}
	p.proxy = upstream.Local(spec.Name, p.dial)
	return p, nil
}

// dial makes a connection. One to a unix socket is refused for the moment while as
// many wait as the program lets wait; over TCP the kernel tries again by itself.
func (p *program) dial(ctx context.Context) (net.Conn, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, readyEvery) {
		conn, err := new(net.Dialer).DialContext(ctx, p.network, p.address)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// Away reports whether an error of a request says that its program takes no
// connections any more.
func Away(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

const socketName = "http.sock"

// privateDir makes a directory that this user alone can enter, and in which the
// path of a socket is not too long.
func privateDir(parent string) (dir string, err error) {
	for _, at := range []string{parent, os.TempDir(), "/tmp"} {
		if len(at)+len("/p-1234567890/")+len(socketName) > maxSocket {
			continue
		}
		if err = os.MkdirAll(at, 0o700); err == nil {
			if dir, err = os.MkdirTemp(at, "p-"); err == nil { // 0700
				return dir, nil
			}
		}
	}
	return "", fmt.Errorf("make a directory for a socket: %w", err)
}

// environment tells a program where to listen. ASP.NET Core does so by itself.
func (p *program) environment() []string {
	if p.port == nil {
		return []string{"POSTERN_SOCKET=" + p.address, "ASPNETCORE_URLS=http://unix:" + p.address}
	}
	return []string{"PORT=" + strconv.Itoa(int(p.port.addr.Port())), "HOST=127.0.0.1", "ASPNETCORE_URLS=http://" + p.address}
}

// token is the file in which a program finds what it shows to call functions.
func (p *program) token() string { return filepath.Join(p.dir, "token") }

// grantToken writes a token to a file that only this user can read, whole or not
// at all, and returns the socket at which it is good.
func (p *program) grantToken(spec Spec) (socket string, err error) {
	if spec.Token == nil {
		return "", nil
	}
	t, err := spec.Token(time.Now())
	if err == nil {
		err = os.WriteFile(p.token()+".new", []byte(t.Text), 0o600)
	}
	if err == nil {
		err = os.Rename(p.token()+".new", p.token())
	}
	p.renewAt = t.RenewAt
	return t.Socket, err
}

// where says in a program's own words where it has to listen.
func (p *program) where() string {
	if p.port == nil {
		return "the socket $POSTERN_SOCKET"
	}
	return "127.0.0.1 and the port $PORT"
}

// remove leaves nothing of a program whose process is gone, or never was.
func (p *program) remove() {
	p.proxy.Retire()
	if p.port != nil {
		p.port.release()
	}
	os.RemoveAll(p.dir) // of "", nothing
}

// findCommand is the path of what is run: a name is looked up in the PATH that
// the program is given, and what has a slash is a file below its directory.
func findCommand(spec Spec) (string, error) {
	name := spec.Argv[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(spec.Dir, name)
		}
		return name, nil
	}
	var list string
	for _, v := range spec.Env {
		if rest, ok := strings.CutPrefix(v, "PATH="); ok {
			list = rest
		}
	}
	for dir := range strings.SplitSeq(list, ":") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name), nil
		}
	}
	text := fmt.Sprintf("the command %q was not found on the server, in %s", name, list)
	if _, err := os.Stat(filepath.Join(spec.Dir, name)); err == nil {
		text += fmt.Sprintf("; the file of the project is ./%s", name)
	}
	return "", errors.New(text)
}

// unusable says why a process could not be made of a command.
func unusable(spec Spec, err error) error {
	name := filepath.Base(spec.Argv[0])
	text := ""
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		text = "it is no program of the server's system and processor, or a script whose first line names no interpreter"
	case errors.Is(err, fs.ErrPermission):
		text = "it is not executable"
	case errors.Is(err, fs.ErrNotExist):
		if text = "it is not there"; exists(spec.Argv[0]) {
			text = "the interpreter that its first line names, or the loader that it was linked for, is not on the server"
		}
	default:
		return &StartError{Code: "spawn_failed", Message: err.Error()}
	}
	return &StartError{Code: "command_unusable", Message: fmt.Sprintf("the command %q cannot be run: %s", name, text)}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// watchProgram owns a program's goroutines until its process is gone.
func (w *Worker) watchProgram(spec Spec) {
	exited, beating := make(chan struct{}), make(chan struct{})
	go func() { defer close(beating); w.beatProgram(spec, exited) }()
	state := w.proc.wait()
	close(exited)
	<-beating
	w.program.leave()
	w.program.remove()
	w.mu.Lock()
	w.exit = &ExitError{Code: state.code, Signal: state.signal, Reason: w.reason, LastLines: w.proc.last.lines()}
	w.mu.Unlock()
	w.onReady(platform.Declaration{}, nil) // nobody waits any more
	close(w.done)
}

// beatProgram looks after a program that runs.
func (w *Worker) beatProgram(spec Spec, exited <-chan struct{}) {
	tick := time.NewTicker(weighEvery)
	defer tick.Stop()
	for {
		select {
		case <-exited:
			return
		case now := <-tick.C:
			w.weigh(spec.Memory)
			if p := w.program; !p.renewAt.IsZero() && now.After(p.renewAt) {
				if _, err := p.grantToken(spec); err != nil { // its calls will be refused
					p.renewAt = now.Add(tokenRetry)
					spec.Log(Line{At: now, Level: slog.LevelError, Text: "[postern] there is no token for calls of other functions: " + err.Error()})
				}
			}
		}
	}
}

// await waits until a program is ready, or ended, or its time is over.
func (w *Worker) await(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errLateStart)
	defer cancel()
	var last error
	for pause := readyFirst; ; pause = min(2*pause, readyEvery) {
		err := w.look(ctx)
		_, final := errors.AsType[*StartError](err)
		switch {
		case err == nil && !w.proc.ended(), final, errors.Is(err, errPortTaken):
			return err
		case err == nil: // what it left behind listens, and is killed with its group
			<-w.done
		case ctx.Err() == nil || last == nil: // else it says that the time is over
			last = err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			continue
		case <-w.done:
			return &StartError{Code: "worker_exited", Message: w.exit.Error() + " before it was ready; a program has to stay, in the foreground, and listen on " + w.program.where()}
		case <-ctx.Done():
		}
		timer.Stop()
		if context.Cause(ctx) != errLateStart {
			return ctx.Err()
		}
		return &StartError{Code: "start_timeout", Message: w.lateText(last)}
	}
}

var errLateStart = errors.New("the time to start is over")

// look reports whether a program is ready; if not, why.
func (w *Worker) look(ctx context.Context) error {
	p := w.program
	conn, err := p.dial(ctx)
	if err != nil {
		return err
	}
	conn.Close()
	if p.port != nil {
		if err := w.owns(p.port.addr); err != nil {
			return err
		}
	}
	if p.spec.Ready == "" {
		return nil
	}
	status, err := p.proxy.Get(ctx, p.spec.Ready)
	if err == nil && status >= 500 {
		err = fmt.Errorf("it answers %s with %d", p.spec.Ready, status)
	}
	return err
}

// owns refuses a port at which somebody else listens, and a program that listens
// there to more than this machine: who can reach that could go past the gateway.
func (w *Worker) owns(addr netip.AddrPort) error {
	mine, ok := listeners(w.proc.pid)
	if !ok {
		return nil // this system does not tell
	}
	found := false
	for _, l := range mine {
		if l.Port() != addr.Port() {
			continue
		}
		if found = true; !l.Addr().Unmap().IsLoopback() {
			return &StartError{Code: "listens_to_all", Message: fmt.Sprintf("the program listens on %s, where others than this machine could reach it past the gateway: listen on 127.0.0.1, as $HOST says, or on a socket (\"port\": \"socket\")", l)}
		}
	}
	if !found {
		return errPortTaken
	}
	return nil
}

// lateText says why a program was not ready in time, and where it listens instead.
func (w *Worker) lateText(last error) string {
	p := w.program
	if status, ok := strings.CutPrefix(last.Error(), "it answers "); ok {
		return "the program was not ready in time: it answers " + status
	}
	text := "the program did not listen on " + p.where() + " in time"
	var instead []string
	mine, _ := listeners(w.proc.pid)
	for _, l := range mine {
		instead = append(instead, l.String())
	}
	if len(instead) > 0 {
		text += "; it listens on " + strings.Join(instead, ", ")
	}
	return text
}

// drainProgram ends a program that has no calls: it is asked with SIGTERM, and
// killed when it is still there at the end of ctx, or a moment later.
func (w *Worker) drainProgram(ctx context.Context) error {
	w.program.leave()
	w.program.proxy.Retire() // a server that waits for its connections need not
	w.note("it was asked to end")
	w.proc.signal(syscall.SIGTERM)
	grace := time.NewTimer(termGrace)
	defer grace.Stop()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-w.done:
		return nil
	case <-grace.C:
	}
	w.kill("")
	<-w.done
	return ctx.Err()
}
