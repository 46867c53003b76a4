package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// floodTime is how long a flood lasts.
const floodTime = 10 * time.Second

// flood is what a flood of refused calls does to the accepted ones beside it.
type flood struct {
	name          string
	gate          *gate
	quiet, beside []time.Duration // the 99th hundredth of a paced load, one a round
	refused       []float64       // a second
}

// measureFloods takes the latency of a paced load alone, and while strangers
// offer as many wrong secrets as they can.
func measureFloods(ctx context.Context, floods []*flood, rounds int) error {
	for round := range rounds {
		for _, f := range floods {
			if err := f.measure(ctx); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "round %d  p99 %v alone, %v beside %.0f refused/s\n", round+1, f.quiet[round], f.beside[round], f.refused[round])
		}
	}
	return nil
}

func (f *flood) measure(ctx context.Context) error {
	paced(ctx, f.gate.guarded, f.gate.right, time.Second) // warm up
	quiet, err := paced(ctx, f.gate.guarded, f.gate.right, floodTime/2)
	if err != nil {
		return err
	}
	var refused float64
	var failed error
	var flooding sync.WaitGroup
	flooding.Go(func() { refused, failed = load(ctx, f.gate.server(asWrong), floodTime, 64) })
	<-time.After(time.Second)
	beside, err := paced(ctx, f.gate.guarded, f.gate.right, floodTime-2*time.Second)
	if flooding.Wait(); failed != nil {
		return failed
	}
	f.quiet, f.beside, f.refused = append(f.quiet, quiet), append(f.beside, beside), append(f.refused, refused)
	return err
}

func floodsReport(floods []*flood) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nA flood: for %v wrk offers as many calls with wrong secrets as it gets answers for on 64 connections, on the cores that the accepted calls need. The latency is the 99th hundredth of %d accepted calls a second, each due at its time.\n\n", floodTime, pace)
	b.WriteString("| refusals | refused/s | latency alone | beside the flood | times |\n|---|---|---|---|---|\n")
	middle := func(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
	for _, f := range floods {
		quiet, beside := middle(f.quiet), middle(f.beside)
		fmt.Fprintf(&b, "| %s | %s | %v | %v (%v–%v) | %.1f |\n", f.name, spread(f.refused), quiet.Round(10*time.Microsecond), beside.Round(10*time.Microsecond),
			slices.Min(f.beside).Round(10*time.Microsecond), slices.Max(f.beside).Round(10*time.Microsecond), float64(beside)/float64(quiet))
	}
	return b.String()
}
