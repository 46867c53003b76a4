package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// asked is one way to ask the servers, and what they must answer.
type asked struct {
	name, contentType, body string // no body: GET
	answer                  string
}

// ways are those of the table: a small answer, JSON that is parsed, and bytes
// that are only carried.
func ways() []asked {
	items := make([]string, 20)
	for i := range items {
		items[i] = fmt.Sprintf(`{"id":%d,"name":"item number %d","price":%d.5}`, i, i, i)
	}
	json := fmt.Sprintf(`{"items":[%s]`, strings.Join(items, ","))
	return []asked{
		{name: "GET", answer: `{"received":null}`},
		{name: "POST 1 KiB of JSON", contentType: "application/json", body: json + strings.Repeat(" ", 1023-len(json)) + "}", answer: `{"received":20}`},
		{name: "POST 64 KiB of bytes", contentType: "application/octet-stream", body: strings.Repeat("b", 64<<10), answer: `{"received":65536}`},
	}
}

// inFlight is how many connections there are.
var inFlight = []int{1, 64, 512}

// calls are the measurements of one server, by connections and way.
type calls struct {
	server server
	cells  [3][3]cell
}

type cell struct {
	rates, front, back []float64 // requests a second, µs of processor time a call; one a round
}

// measureCalls takes every server in every way, once a round.
func measureCalls(ctx context.Context, rounds int, d time.Duration) ([]*calls, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	os.Chmod(dir, 0o755) // nginx's workers are another user
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	for _, start := range []func() error{s.bareNode, s.express, s.framework, s.haproxy, s.nginx, s.posternOne, s.nodeTwo, s.posternTwo} {
		if err := start(); err != nil {
			return nil, err
		}
	}
	list := make([]*calls, len(s.list))
	for i, srv := range s.list {
		list[i] = &calls{server: srv}
	}
	ways := ways()
	scripts := make([]string, len(ways))
	for i, a := range ways {
		if scripts[i], err = s.script(a); err != nil {
			return nil, err
		}
		for _, srv := range s.list {
			if err := check(ctx, srv, a); err != nil {
				return nil, err
			}
		}
	}
	for round := range rounds + 1 {
		for i, connections := range inFlight {
			for j := range ways {
				for _, c := range list {
					if round > 0 {
						if err := c.measure(ctx, i, j, scripts[j], connections, d); err != nil {
							return nil, err
						}
					} else if i == 1 { // warm up
						srv := c.server
						srv.script = scripts[j]
						if _, err := load(ctx, srv, time.Second, connections); err != nil {
							return nil, err
						}
					}
				}
			}
		}
		fmt.Fprintf(os.Stderr, "calls: round %d of %d\n", round, rounds)
	}
	return list, nil
}

func (c *calls) measure(ctx context.Context, i, j int, script string, connections int, d time.Duration) error {
	srv := c.server
	srv.script = script
	front, back := spent(srv.front), spent(srv.back)
	rate, err := load(ctx, srv, d, connections)
	if err != nil {
		return err
	}
	n := rate * d.Seconds()
	at := &c.cells[i][j]
	at.rates = append(at.rates, rate)
	at.front = append(at.front, float64((spent(srv.front)-front).Microseconds())/n)
	at.back = append(at.back, float64((spent(srv.back)-back).Microseconds())/n)
	return nil
}

// script makes wrk ask in a way.
func (s *starter) script(a asked) (string, error) {
	if a.body == "" {
		return "", nil
	}
	path := filepath.Join(s.dir, strconv.Itoa(len(a.body))+".lua")
	return path, os.WriteFile(path, fmt.Appendf(nil, "wrk.method = 'POST'\nwrk.headers['Content-Type'] = '%s'\nwrk.body = [[%s]]\n", a.contentType, a.body), 0o644)
}

// check makes sure that a server does what it is measured for.
func check(ctx context.Context, srv server, a asked) error {
	method := http.MethodPost
	if a.body == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, srv.url, strings.NewReader(a.body))
	if err != nil {
		return err
	}
	if a.body != "" {
		req.Header.Set("Content-Type", a.contentType)
	}
	if srv.authorization != "" {
		req.Header.Set("Authorization", srv.authorization)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", srv.name, err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || string(body) != a.answer {
		return fmt.Errorf("%s, %s: it answers %d %.100s (%v), not %s", srv.name, a.name, res.StatusCode, body, err, a.answer)
	}
	return nil
}

func (s *starter) nodeTwo() error { return s.nodes("node:http, 2 processes (cluster)", "2") }

func (s *starter) posternOne() error { return s.posternCalls("Postern, 1 worker", 1) }
func (s *starter) posternTwo() error { return s.posternCalls("Postern, 2 workers", 2) }

// posternCalls adds a server whose function has so many workers.
func (s *starter) posternCalls(name string, workers int) error {
	p, err := s.startPostern(filepath.Join(s.dir, "data-calls-"+strconv.Itoa(workers)), "off", "0", "--workers", strconv.Itoa(workers), "--max-in-flight", "512")
	if err == nil {
		err = s.deploy(p, "bench/peers/call")
	}
	if err == nil {
		err = s.crowd(p, workers)
	}
	if err != nil {
		return err
	}
	return s.add(server{name: name, url: p.gateway + "/fn/call/webhook", authorization: basicOf(p.env["POSTERN_KEY_ID"], p.env["POSTERN_KEY_SECRET"]),
		front: []int{p.pid()}, back: children(p.pid())})
}

// crowd asks for more calls than one worker takes, until so many run.
func (s *starter) crowd(p *running, workers int) error {
	for range 10 {
		if len(children(p.pid())) == workers {
			return nil
		}
		var wg sync.WaitGroup
		for range 600 {
			wg.Go(func() {
				if res, err := http.Get(p.gateway + "/fn/call/wait"); err == nil {
					res.Body.Close()
				}
			})
		}
		wg.Wait()
	}
	return errors.New("no second worker was started")
}

// spent is the processor time of processes and all that they started.
func spent(pids []int) (d time.Duration) {
	for _, pid := range pids {
		d += spentBy(pid)
	}
	return d
}

// spentBy leaves out the children of a Postern, which are counted apart.
func spentBy(pid int) (d time.Duration) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	for _, ticks := range f[11:13] { // utime and stime, in hundredths of a second
		n, _ := strconv.Atoi(ticks)
		d += time.Duration(n) * 10 * time.Millisecond
	}
	if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(name)) == "postern" {
		return d
	}
	return d + spent(children(pid))
}

// children are the processes that a process started and that run.
func children(pid int) (list []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, f := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

//go:embed tried.md
var tried string

// callsReport is the part of the page about calls. The first server is what the
// others are compared with; those with two processes come last, with their own.
func callsReport(list []*calls, rounds int, d time.Duration) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\nA call of a function beside the same handler elsewhere: each counts what it was sent. All but node:http and functions-framework check HTTP Basic first. %d interleaved rounds of %v on %d cores, which the load generator shares; medians.\n", callsHeading, rounds, d, cpus())
	p("A cell is requests a second, how many times as many as node:http that is (of two processes: of two), and µs of processor time a call: what stands in front + what answers. The 64 KiB are not parsed, so they show what carrying them costs.\n")
	for i, connections := range inFlight {
		p("\n**%d connection%s**\n\n| server |", connections, map[bool]string{true: "s"}[connections > 1])
		for _, w := range ways() {
			p(" %s |", w.name)
		}
		p("\n|---|---|---|---|\n")
		for _, c := range list {
			p("| %s |", c.server.name)
			for j := range c.cells[i] {
				at := &c.cells[i][j]
				p(" %.0f · %.2f · %.1f + %.1f |", median(at.rates), c.times(baseOf(list, c), i, j), median(at.front), median(at.back))
			}
			p("\n")
		}
	}
	p("\n| aim |")
	for _, connections := range inFlight {
		for _, w := range []string{"GET", "1 KiB", "64 KiB"} {
			p(" %s, %d |", w, connections)
		}
	}
	p("\n|---|%s\n", strings.Repeat("---|", len(inFlight)*len(ways())))
	for _, a := range aims {
		p("| %s |", a.name)
		for i := range inFlight {
			for j := range ways() {
				p(" %s |", a.show(list, i, j))
			}
		}
		p("\n")
	}
	p("\n%s", tried)
	return b.String()
}

const callsHeading = "## A call, by size and connections"

// The order of measureCalls.
const (
	atNode = iota
	atExpress
	atFramework
	atHAProxy
	atNginx
	atPostern
	atNodeTwo
	atPosternTwo
)

func baseOf(list []*calls, c *calls) *calls {
	if c == list[atNodeTwo] || c == list[atPosternTwo] {
		return list[atNodeTwo]
	}
	return list[atNode]
}

// times is how many times as many calls a second it answers.
func (c *calls) times(other *calls, i, j int) float64 {
	return median(c.cells[i][j].rates) / median(other.cells[i][j].rates)
}

// aims are what is to be reached, and how far it is.
var aims = []struct {
	name string
	show func(list []*calls, i, j int) string
}{
	{"≥ 1.1 × node:http", func(l []*calls, i, j int) string { return fmt.Sprintf("%.2f", l[atPostern].times(l[atNode], i, j)) }},
	{"≥ 8 × Express", func(l []*calls, i, j int) string { return fmt.Sprintf("%.1f", l[atPostern].times(l[atExpress], i, j)) }},
	{"≥ 1.25 × the quicker proxy", func(l []*calls, i, j int) string {
		return fmt.Sprintf("%.2f", min(l[atPostern].times(l[atHAProxy], i, j), l[atPostern].times(l[atNginx], i, j)))
	}},
	{"2 workers: ≥ 1.1 × 2 processes of node:http", func(l []*calls, i, j int) string {
		return fmt.Sprintf("%.2f", l[atPosternTwo].times(l[atNodeTwo], i, j))
	}},
	{"≤ 2 µs of the worker", func(l []*calls, i, j int) string { return fmt.Sprintf("%.1f", median(l[atPostern].cells[i][j].back)) }},
}

// withSection is a page with one of its sections replaced, or put at its end.
func withSection(page, heading, section string) string {
	section = strings.TrimRight(section, "\n") + "\n"
	if old := sectionOf(page, heading); old != "" {
		return strings.Replace(page, old, section, 1)
	}
	return strings.TrimRight(page, "\n") + "\n\n" + section
}

// sectionOf is a section of a page, with its heading; empty where there is none.
func sectionOf(page, heading string) string {
	from := strings.Index(page, heading+"\n")
	if from < 0 {
		return ""
	}
	rest := page[from:]
	if next := strings.Index(rest, "\n## "); next >= 0 {
		return rest[:next]
	}
	return rest
}
