package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const coldHeading = "## Cold starts"

// cold is one way to begin: a process that does nothing, or a first call.
type cold struct {
	name  string
	once  func() (time.Duration, error)
	times []time.Duration // one a round
}

func (c *cold) at(part float64) time.Duration {
	s := slices.Sorted(slices.Values(c.times))
	return s[min(int(part*float64(len(s))), len(s)-1)]
}

// measureCold starts each once a round: what Node takes to do nothing, and how
// long the first byte of an answer takes of a function of which no worker runs.
func measureCold(ctx context.Context, rounds int) ([]*cold, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	p, err := s.startPostern(filepath.Join(dir, "data"), "off", "0", "--workers", "1", "--idle-timeout", "100ms")
	if err != nil {
		return nil, err
	}
	for _, project := range []string{"cold", "sdk"} {
		if err := s.deploy(p, "bench/peers/"+project); err != nil {
			return nil, err
		}
	}
	for len(children(p.pid())) > 0 { // of the deploys
		<-time.After(10 * time.Millisecond)
	}
	list := []*cold{
		{name: "`node -e 0`", once: nothing(ctx, "-e", "0")},
		{name: "`node --input-type=module -e 0`", once: nothing(ctx, "--input-type=module", "-e", "0")},
		{name: "first byte of a call", once: p.first(ctx, "/fn/cold/webhook")},
		{name: "the same, with the SDK in the project", once: p.first(ctx, "/fn/sdk/webhook")},
		{name: "the same, of a handler that asks for a client of the SDK", once: p.first(ctx, "/fn/sdk/client")},
	}
	for round := range 2 + 5*rounds { // the first two fill the caches of the disk
		for _, c := range list {
			<-time.After(300 * time.Millisecond) // what was before has ended, and its memory is free
			d, err := c.once()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 1 {
				c.times = append(c.times, d)
			}
		}
	}
	return list, nil
}

// nothing is how long Node takes to do nothing.
func nothing(ctx context.Context, args ...string) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		began := time.Now()
		err := exec.CommandContext(ctx, "node", args...).Run()
		return time.Since(began), err
	}
}

// first is how long the first byte of an answer takes on a connection that is
// there, when no worker runs. It waits until that has ended.
func (p *running) first(ctx context.Context, path string) func() (time.Duration, error) {
	return func() (took time.Duration, err error) {
		if len(children(p.pid())) > 0 {
			return 0, errors.New("a worker runs already")
		}
		if _, err := get(ctx, p.gateway+"/health"); err != nil {
			return 0, err
		}
		began := time.Now()
		body, err := get(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { took = time.Since(began) }}), p.gateway+path)
		if err == nil && body != `{"received":null}` {
			err = fmt.Errorf("it answers %.200s", body)
		}
		for deadline := time.Now().Add(30 * time.Second); err == nil && len(children(p.pid())) > 0; <-time.After(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				err = errors.New("its worker does not end")
			}
		}
		return took, err
	}
}

func get(ctx context.Context, url string) (body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

func coldReport(list []*cold) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\nOf a function whose worker was stopped for idleness: from the request, on a connection that is there, to the first byte of its answer; beside it how long Node takes to do nothing at all. %d interleaved rounds, medians. The aim is at most 1.5 × `node -e 0`.\n\n", coldHeading, len(list[0].times))
	p("| start | median | a tenth are below, above | of `node -e 0` |\n|---|---|---|---|\n")
	for _, c := range list {
		p("| %s | %.1f ms | %.1f–%.1f ms | %.2f |\n", c.name, ms(c.at(0.5)), ms(c.at(0.1)), ms(c.at(0.9)), ms(c.at(0.5))/ms(list[0].at(0.5)))
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
