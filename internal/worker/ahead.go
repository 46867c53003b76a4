package worker

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Ahead keeps one process booted and waiting for its module, so that the next
// worker starts without the time that Node takes for itself. Its zero value is
// empty and ready; it is safe for concurrent use.
type Ahead struct {
	mu     sync.Mutex
	next   *booted // guarded by mu
	closed bool    // guarded by mu
}

// booted is a process that reads on a pipe what it is to run.
type booted struct {
	argv, env []string
	proc      *process
	nc        net.Conn
	tell      *os.File
	log       atomic.Pointer[func(Line)] // nil: nobody listens yet
}

// aheadFD is where a booted process reads.
const aheadFD = workerFD + 1

// order is what it reads there, as one line of JSON.
type order struct {
	Dir   string            `json:"dir"`
	Entry string            `json:"entry"`
	Env   map[string]string `json:"env"`
}

// bootedArgv is what a process is booted with: all but the module.
func bootedArgv(spec Spec) []string {
	return append(slices.Clone(spec.Argv[:len(spec.Argv)-1]), spec.Boot)
}

// Prepare boots a process for the next worker that is started as spec says, in
// place of one that is of no use to it.
func (a *Ahead) Prepare(spec Spec) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	argv := bootedArgv(spec)
	if a.closed || a.next.fits(argv, spec.Env) {
		return nil
	}
	a.next.end()
	a.next = nil
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer r.Close()
	b := &booted{argv: argv, env: slices.Clone(spec.Env), tell: w}
	start := spec
	start.Argv = argv
	start.Env = append(slices.Clone(spec.Env), fmt.Sprintf("POSTERN_AHEAD_FD=%d", aheadFD))
	b.proc, b.nc, err = spawn(start, func(l Line) {
		if log := b.log.Load(); log != nil {
			(*log)(l)
		}
	}, r)
	if err != nil {
		w.Close()
		return err
	}
	a.next = b
	return nil
}

// fits reports whether the process waits, and was booted like this.
func (b *booted) fits(argv, env []string) bool {
	return b != nil && !b.proc.ended() && slices.Equal(b.argv, argv) && slices.Equal(b.env, env)
}

// end ends a process that nobody took, and waits for it.
func (b *booted) end() {
	if b == nil {
		return
	}
	b.proc.signal(syscall.SIGKILL)
	b.proc.wait()
	b.nc.Close()
	b.tell.Close()
}

// take is a process that waits and was told to go on as spec; nil: there is none.
func (a *Ahead) take(spec Spec, log func(Line)) (*process, net.Conn, error) {
	if a == nil {
		return nil, nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.next
	if !b.fits(bootedArgv(spec), spec.Env) {
		return nil, nil, nil
	}
	a.next = nil
	o := order{Dir: spec.Dir, Entry: spec.Argv[len(spec.Argv)-1], Env: map[string]string{}}
	for _, v := range spec.Late {
		name, value, _ := strings.Cut(v, "=")
		o.Env[name] = value
	}
	text, err := json.Marshal(o)
	if err == nil {
		b.log.Store(&log)
		_, err = b.tell.Write(append(text, '\n')) // less than a pipe holds
	}
	if err != nil {
		b.end()
		return nil, nil, nil // another one is started
	}
	b.tell.Close()
	return b.proc, b.nc, nil
}

// Close ends what waits. Nothing is booted any more.
func (a *Ahead) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.next.end()
	a.next = nil
}
