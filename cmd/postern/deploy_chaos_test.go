package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a network between the commands and the server that can be cut: whatever
// goes through it breaks off, and for a moment nothing gets through.
type wire struct {
	ln      net.Listener
	to      func() string
	refused chan struct{} // has something when somebody came and did not get through
	mu      sync.Mutex
	conns   map[net.Conn]bool // guarded by mu
	cut     bool              // guarded by mu
	all     sync.WaitGroup
}

func newWire(t *testing.T, to func() string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{ln: ln, to: to, refused: make(chan struct{}, 1), conns: map[net.Conn]bool{}}
	w.all.Go(w.serve)
	t.Cleanup(func() { ln.Close(); w.set(true); w.all.Wait() })
	return w
}

func (w *wire) serve() {
	for {
		in, err := w.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.to())
		if err != nil || !w.hold(in, out) {
			in.Close()
			select {
			case w.refused <- struct{}{}:
			default:
			}
			continue
		}
		for from, to := range map[net.Conn]net.Conn{in: out, out: in} {
			w.all.Go(func() { io.Copy(to, from); from.Close(); to.Close() })
		}
	}
}

func (w *wire) hold(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.cut {
			c.Close()
		} else {
			w.conns[c] = true
		}
	}
	return !w.cut
}

// set cuts the wire, or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	w.cut, w.conns = cut, map[net.Conn]bool{}
}

// trouble ends a command, its server, or the network between them.
type trouble struct {
	*site
	*wire
	random *rand.Rand
	at     atomic.Value // where the server is now
}

func newTrouble(s *site, random *rand.Rand) *trouble {
	s.Helper()
	x := &trouble{site: s, random: random}
	x.at.Store(hostOf(s.control))
	x.wire = newWire(s.T, func() string { return x.at.Load().(string) })
	return x
}

// strike ends one of the three at some moment of a command that takes so long, and
// says which. The network is back within outage.
func (x *trouble) strike(cmd *exec.Cmd, took, outage time.Duration) (what string) {
	x.Helper()
	time.Sleep(time.Duration(x.random.Int64N(int64(took))))
	what = []string{"command", "server", "network"}[x.random.IntN(3)]
	switch what {
	case "command":
		cmd.Process.Kill()
	case "server":
		x.kill()
		x.start()
		x.at.Store(hostOf(x.control))
	case "network":
		x.set(true)
		time.Sleep(time.Duration(x.random.Int64N(int64(outage))))
		x.set(false)
	}
	return what
}

// TestChaos_DeployIsWhole: the command, the server and the network are ended at
// random moments of deploys with secrets. The function answers with one version
// whole, code, variable and secret of the same deploy, and the next command works.
func TestChaos_DeployIsWhole(t *testing.T) {
	t.Parallel()
	const budget = 15 * time.Second
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	x := newTrouble(s, random)
	dir := filepath.Join(t.TempDir(), "live")
	ballast := make([]byte, 3<<20) // which no compression makes smaller: pieces of an upload
	for i := range ballast {
		ballast[i] = byte(random.Uint32())
	}
	write := func(n int) {
		for i := range 64 { // another artefact each time, as a whole
			ballast[i*4096] = byte(random.Uint32())
		}
		s.files(dir, map[string]string{
			"postern.json": `{"name": "live", "runtime": "node", "secrets": ["THE_SECRET"]}`,
			".env":         fmt.Sprintf("THE_VARIABLE=%d\nTHE_SECRET=secret-%d\n", n, n),
			"assets/bytes": string(ballast),
			"function.ts":  fmt.Sprintf("export const auth = [];\nexport const version = () => `%d ${process.env.THE_VARIABLE} ${process.env.THE_SECRET}`;\n", n),
		})
	}
	deploy := func() *exec.Cmd {
		cmd := exec.Command(binary, "functions", "deploy", dir, "--server", "http://"+x.ln.Addr().String())
		cmd.Env = append(s.env, "POSTERN_KEYCHAIN=file", "POSTERN_KEYCHAIN_PASSPHRASE=x", "HOME="+dir)
		return cmd
	}
	answers := func() string {
		var said string
		eventually(t, "the function answers", func() bool {
			res, err := http.Get(s.gateway + "/fn/live/version")
			if err != nil {
				return false
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			said = string(body)
			return err == nil && res.StatusCode == 200
		})
		return said
	}
	whole := func(said string, n int) bool {
		return said == fmt.Sprintf("%d %d secret-%d", n, n, n)
	}
	write(0)
	began := time.Now()
	if out, err := deploy().CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, s.log())
	}
	took := time.Since(began)
	last, counts := 0, map[string]int{}
	for n, end := 1, time.Now().Add(budget); time.Now().Before(end); n++ {
		write(n)
		cmd := deploy()
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		what := x.strike(cmd, took, 500*time.Millisecond)
		err := cmd.Wait()
		said := answers()
		for k := last; k <= n; k++ { // one whose command was killed may have got there later
			if whole(said, k) {
				last = k
			}
		}
		if !whole(said, last) {
			t.Fatalf("the %s was ended: the function says %q, which is none of the deploys %d to %d", what, said, last, n)
		}
		if err == nil && last != n {
			t.Fatalf("the %s was ended: the command says that it deployed %d, and %q answers\n%s", what, n, said, &out)
		}
		if strings.Contains(out.String(), "secret-") {
			t.Fatalf("a secret is told:\n%s", &out)
		}
		counts[what]++
		if err == nil && what != "command" {
			counts[what+", and deployed all the same"]++
		}
	}
	t.Logf("%v", counts)
	write(-1)
	if out, err := deploy().CombinedOutput(); err != nil || !whole(answers(), -1) {
		t.Fatalf("after all of it: %v\n%s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(s.data, "uploads", "*", "*")); err != nil || len(left) > 4 {
		t.Errorf("left of uploads: %q, %v", left, err)
	}
	eventually(t, "one worker is left", func() bool { return len(workers(s.data)) == 1 })
	os.RemoveAll(dir)
}
