package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const soakHeading = "## Memory over many calls"

const (
	soakCallers = 16
	soakSamples = 20
	// soakGrowth is what a process may hold more in the last quarter than in the
	// one before, on average: 64 bytes a call when there are a million.
	soakGrowth = 16 << 20
)

// act is something that a function is asked for, and how often in a hundred.
type act struct {
	name  string
	often int
	do    func(c *caller, n int64) error
}

// acts are what is asked for in turn.
var acts = []act{
	{"GET, guarded", 30, func(c *caller, _ int64) error {
		return c.ask("GET", "/guarded", c.basic, "", "", 200, `{"received":null}`)
	}},
	{"POST of 1 KiB of JSON", 20, func(c *caller, _ int64) error {
		w := ways()[1]
		return c.ask("POST", "/json", "", w.contentType, w.body, 200, w.answer)
	}},
	{"POST of 64 KiB", 8, func(c *caller, _ int64) error {
		w := ways()[2]
		return c.ask("POST", "/bytes", "", w.contentType, w.body, 200, w.answer)
	}},
	{"a stream of 32 KiB", 8, func(c *caller, _ int64) error {
		return c.ask("GET", "/stream", "", "", "", 200, strings.Repeat("\x00", 32<<10))
	}},
	{"refused: a wrong secret", 10, func(c *caller, _ int64) error {
		return c.ask("GET", "/guarded", c.wrong, "", "", 401, "")
	}},
	{"the handler throws", 5, func(c *caller, _ int64) error { return c.ask("GET", "/throws", "", "", "", 500, "") }},
	{"cache: set and get", 5, func(c *caller, n int64) error {
		key := fmt.Sprintf("key-%d", n%1000)
		return c.ask("GET", "/cache?key="+key, "", "", "", 200, `{"received":"`+key+`"}`)
	}},
	{"storage: write and read", 2, func(c *caller, n int64) error {
		key := fmt.Sprintf("key-%02d", n%100)
		return c.ask("GET", "/storage?key="+key, "", "", "", 200, fmt.Sprintf(`{"received":%d}`, len(key)))
	}},
	{"a message over a WebSocket and back", 6, func(c *caller, n int64) error { return c.echo(fmt.Sprintf("message %d", n)) }},
	{"a static file", 5, func(c *caller, _ int64) error {
		return c.ask("GET", "/file.txt", "", "", "", 200, "a file that is sent as it is\n")
	}},
	{"a WebSocket that is opened and closed", 1, func(c *caller, n int64) error {
		c.hangUp()
		return c.echo("again")
	}},
}

// hundred are the acts in the order in which they are done: spread, and each as
// often as it should be.
func hundred() (list []act) {
	for i := range 100 {
		left := i * 37 % 100
		for _, a := range acts {
			if left -= a.often; left < 0 {
				list = append(list, a)
				break
			}
		}
	}
	return list
}

// caller is one of those who call at a time.
type caller struct {
	ctx          context.Context
	address      string // of the function
	basic, wrong string
	client       *http.Client
	socket       net.Conn
	from         *bufio.Reader // the socket
}

// ask makes a call, and wants this answer; an empty one: any.
func (c *caller) ask(method, path, authorization, contentType, body string, status int, answer string) error {
	req, err := http.NewRequestWithContext(c.ctx, method, c.address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"Authorization": authorization, "Content-Type": contentType} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	res, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != status || answer != "" && string(got) != answer) {
		err = fmt.Errorf("it answers %d %.200q", res.StatusCode, got)
	}
	return err
}

// echo sends a short text over the caller's WebSocket, and wants it back.
func (c *caller) echo(text string) error {
	if c.socket == nil {
		u, err := url.Parse(c.address + "/socket")
		if err != nil {
			return err
		}
		if c.socket, c.from, err = openSocket(c.ctx, u); err != nil {
			return err
		}
	}
	if _, err := c.socket.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil {
		return err
	}
	got, err := nextMessage(c.from, c.socket)
	if err == nil && got != text {
		err = fmt.Errorf("%q came back for %q", got, text)
	}
	return err
}

func (c *caller) hangUp() {
	if c.socket != nil {
		c.socket.Close()
		c.socket = nil
	}
}

// sample is what the processes hold after so many calls.
type sample struct {
	calls int64
	at    time.Duration
	held  [2]int64 // bytes: gateway, worker
}

// measureSoak makes calls of all kinds, and looks at the memory meanwhile.
func measureSoak(ctx context.Context, calls int64) ([]sample, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	p, err := s.startPostern(filepath.Join(dir, "data"), "all", "0")
	if err == nil {
		err = s.deploy(p, "bench/peers/soak")
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	id, transport := p.env["POSTERN_KEY_ID"], &http.Transport{MaxIdleConnsPerHost: soakCallers, DisableCompression: true}
	defer transport.CloseIdleConnections()
	workers := children(p.pid())
	if len(workers) != 1 {
		return nil, fmt.Errorf("%d workers run, not one", len(workers))
	}
	began, turn := time.Now(), hundred()
	var samples []sample
	var next, done atomic.Int64
	var parts sync.WaitGroup
	var mu sync.Mutex // of samples
	for range soakCallers {
		c := &caller{ctx: ctx, address: p.gateway + "/fn/soak", client: &http.Client{Transport: transport},
			basic: basicOf(id, p.env["POSTERN_KEY_SECRET"]), wrong: basicOf(id, "wrong")}
		parts.Go(func() {
			defer c.hangUp()
			for n := next.Add(1); n <= calls && ctx.Err() == nil; n = next.Add(1) {
				a := turn[n%100]
				if err := a.do(c, n); err != nil {
					cancel(fmt.Errorf("call %d, %s: %w", n, a.name, err))
					return
				}
				if n := done.Add(1); n%max(1, calls/soakSamples) == 0 {
					mu.Lock()
					samples = append(samples, sample{n, time.Since(began), [2]int64{resident(p.pid()), resident(workers[0])}})
					fmt.Fprintf(os.Stderr, "soak: %d calls in %v, %d + %d MiB\n", n, time.Since(began).Round(time.Second), resident(p.pid())>>20, resident(workers[0])>>20)
					mu.Unlock()
				}
			}
		})
	}
	parts.Wait()
	if err := context.Cause(ctx); err != nil {
		return samples, err
	}
	if now := children(p.pid()); len(now) != 1 || now[0] != workers[0] {
		return samples, errors.New("its worker ended meanwhile")
	}
	return samples, flat(samples)
}

// flat fails when a process grows.
func flat(samples []sample) error {
	for i, name := range []string{"the gateway", "the worker"} {
		if grown := growth(samples, i); grown > soakGrowth {
			return fmt.Errorf("%s grows: %.1f MiB from the third quarter to the last, where %d are allowed", name, float64(grown)/(1<<20), soakGrowth>>20)
		}
	}
	return nil
}

// growth is how much more a process holds in the last quarter of the calls than
// in the third, on average.
func growth(samples []sample, of int) int64 {
	n := len(samples)
	if n < 4 {
		return 0
	}
	mean := func(list []sample) (sum int64) {
		for _, s := range list {
			sum += s.held[of]
		}
		return sum / int64(len(list))
	}
	return mean(samples[n*3/4:]) - mean(samples[n/2:n*3/4])
}

func soakReport(samples []sample) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	last := samples[len(samples)-1]
	p("%s\n\n%d calls in %v, %d at a time, each answer checked; the access log on. Of a hundred:", soakHeading, last.calls, last.at.Round(time.Second), soakCallers)
	for i, a := range acts {
		p("%s %d %s", map[bool]string{true: ","}[i > 0], a.often, a.name)
	}
	p(". Resident memory; at most %d MiB more may be held in the last quarter than in the third.\n\n| calls | gateway | worker |\n|---|---|---|\n", soakGrowth>>20)
	for _, s := range samples {
		p("| %d | %d MiB | %d MiB |\n", s.calls, s.held[0]>>20, s.held[1]>>20)
	}
	p("| third quarter to last | %+.1f MiB | %+.1f MiB |\n", float64(growth(samples, 0))/(1<<20), float64(growth(samples, 1))/(1<<20))
	return b.String()
}
