package worker

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// workerFD is the worker's end of the socket pair: the first of ExtraFiles.
const workerFD = 3

// process is a started process and its process group.
type process struct {
	pid  int
	last lastLines
	end  chan exitState // capacity 1

	mu   sync.Mutex
	gone bool // the process was waited for: its number may be another's; guarded by mu
}

type exitState struct {
	code   int
	signal syscall.Signal
}

// spawn starts a process with one end of a socket pair as descriptor 3, further
// descriptors after it, and its standard streams read line by line.
func spawn(spec Spec, log func(Line), more ...*os.File) (*process, net.Conn, error) {
	fds, err := pairOfSockets()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "host")
	defer theirs.Close()
	nc, err := net.FileConn(ours) // has a descriptor of its own
	ours.Close()
	if err != nil {
		return nil, nil, fmt.Errorf("use the socket pair: %w", err)
	}
	spec.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], fmt.Sprintf("POSTERN_WORKER_FD=%d", workerFD))
	p, err := launch(spec, append([]*os.File{theirs}, more...), log)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return p, nc, nil
}

// launch starts a process with the descriptors that it is to have beside its
// standard streams, which are read line by line.
func launch(spec Spec, inherits []*os.File, log func(Line)) (*process, error) {
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = spec.Dir, spec.Env, inherits
	cmd.SysProcAttr = ownGroup()
	p := &process{end: make(chan exitState, 1)}
	var pipes [2]*os.File
	for i, to := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		defer w.Close()
		*to, pipes[i] = w, r
	}
	closeInherited()
	started := make(chan error)
	go p.own(cmd, started, pipes, spec, log)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// own starts the process and waits for it, on a thread of its own: the kernel
// sends the parent-death signal when the *thread* that started the process
// ends (prctl(2)), and Go ends threads at will.
func (p *process) own(cmd *exec.Cmd, started chan<- error, pipes [2]*os.File, spec Spec, log func(Line)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		pipes[0].Close()
		pipes[1].Close()
		started <- fmt.Errorf("start %s: %w", cmd.Path, err)
		return
	}
	p.pid = cmd.Process.Pid
	noCore(p.pid)
	var readers sync.WaitGroup
	readers.Go(func() { p.readLines(pipes[0], slog.LevelInfo, spec.Redact, log) })
	readers.Go(func() { p.readLines(pipes[1], slog.LevelError, spec.Redact, log) })
	started <- nil
	// The children that it left behind are killed before it is reaped: until
	// then its number, which is that of the group, cannot become another's.
	awaitExit(p.pid)
	p.mu.Lock()
	signalGroup(p.pid, syscall.SIGKILL)
	p.gone = true
	p.mu.Unlock()
	cmd.Wait() // its error says no more than the state below
	// With the group gone the pipes end by themselves; a child that left the
	// group must not keep us.
	deadline := time.Now().Add(time.Second)
	pipes[0].SetReadDeadline(deadline)
	pipes[1].SetReadDeadline(deadline)
	readers.Wait()
	p.end <- exitState{code: cmd.ProcessState.ExitCode(), signal: endedBy(cmd.ProcessState)}
}

// ended reports whether the process itself has ended, whatever it left behind.
func (p *process) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone || hasExited(p.pid)
}

func (p *process) wait() exitState { return <-p.end }

// signal sends a signal to the whole process group.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		signalGroup(p.pid, sig)
	}
}
