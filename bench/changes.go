package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	pace      = 500 // requests a second, as many as leave the processors time
	callers   = 16
	changing  = 100 // keys a second
	changers  = 4
	keyFormat = "pak_%026d" // of the keys that fill writes
)

// beside are what goes on beside the load: nothing; calls of the API that only
// read, which share its cost; and calls that change.
var beside = []string{"", http.MethodGet, http.MethodPatch}

// p99s are the 99th hundredth of the latency of admitted requests, one a round.
type p99s struct {
	beside  [3][]time.Duration // as beside has it
	changed int                // keys, in all rounds
}

func (p p99s) median(i int) time.Duration {
	return slices.Sorted(slices.Values(p.beside[i]))[len(p.beside[i])/2]
}

// measureChanges takes the latency of a paced load while nothing else is done,
// while 100 keys a second are read and while 100 are changed, in turn.
func (p *running) measureChanges(ctx context.Context, rounds int, d time.Duration) (out p99s, err error) {
	bearer, err := p.token(ctx)
	if err != nil {
		return out, err
	}
	p.paced(ctx, time.Second) // warm up
	for range rounds {
		for i, method := range beside {
			p99, n, err := p.pacedBeside(ctx, bearer, method, d)
			if err != nil {
				return out, err
			}
			if out.beside[i] = append(out.beside[i], p99); method == http.MethodPatch {
				out.changed += n
			}
		}
	}
	return out, nil
}

// pacedBeside is paced, with 100 calls of the API a second beside it.
func (p *running) pacedBeside(ctx context.Context, bearer, method string, d time.Duration) (p99 time.Duration, n int, err error) {
	during, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	done, failed := make([]int, changers), make([]error, changers)
	for i := range changers {
		if method != "" {
			all.Go(func() { done[i], failed[i] = p.change(during, bearer, method, i) })
		}
	}
	p99, err = p.paced(ctx, d)
	cancel()
	all.Wait()
	for i := range changers {
		if n += done[i]; err == nil {
			err = failed[i]
		}
	}
	return p99, n, err
}

// change changes keys one after another, or only reads them, at its share of
// the rate, until ctx ends.
func (p *running) change(ctx context.Context, bearer, method string, share int) (n int, err error) {
	tick := time.NewTicker(time.Second * changers / changing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return n, nil
		case <-tick.C:
		}
		url := p.control + "/v1/projects/" + p.env["POSTERN_PROJECT_ID"] + "/accessKeys/" + fmt.Sprintf(keyFormat, 1+share+changers*n)
		req, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			return n, err
		}
		req.Header.Set("Authorization", "Bearer "+bearer)
		if method == http.MethodPatch {
			req.Header.Set("Content-Type", "application/json")
			req.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(`{"ratePerSecond":%d}`, 1+n%1000)))
		}
		var changed struct{}
		if err := answered(req, &changed); err != nil && ctx.Err() == nil {
			return n, fmt.Errorf("change a key: %w", err)
		}
		n++
	}
}

// paced calls the guarded handler of the example at a steady rate.
func (p *running) paced(ctx context.Context, d time.Duration) (time.Duration, error) {
	return paced(ctx, p.gateway+"/fn/protect/webhook", basicOf(p.env["POSTERN_KEY_ID"], p.env["POSTERN_KEY_SECRET"]), d)
}

// paced calls an address at a steady rate and returns the 99th hundredth of the
// time from when a call was due until its answer was read.
func paced(ctx context.Context, url, authorization string, d time.Duration) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	begun := time.Now()
	each := time.Second * callers / pace
	took := make([][]time.Duration, callers)
	failed := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for due := begun.Add(each * time.Duration(i) / callers); due.Sub(begun) < d && failed[i] == nil; due = due.Add(each) {
				timer := time.NewTimer(time.Until(due))
				select {
				case <-ctx.Done():
					failed[i] = ctx.Err()
				case <-timer.C:
				}
				if failed[i] == nil {
					failed[i] = invoke(ctx, client, url, authorization)
					took[i] = append(took[i], time.Since(due))
				}
			}
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			return 0, err
		}
	}
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	return sorted[len(sorted)*99/100], nil
}

func invoke(ctx context.Context, client *http.Client, url, authorization string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", authorization)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("the handler answers %s", res.Status)
	}
	return err
}
