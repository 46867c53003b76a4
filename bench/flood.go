package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// floodTime is how long a flood lasts.
const floodTime = 10 * time.Second

// flood is what a flood of refused calls does to the accepted ones beside it.
type flood struct {
	quiet, beside []time.Duration // the 99th hundredth of a paced load, one a round
	refused       []float64       // a second
}

// measureFlood takes the latency of a paced load alone, and while strangers
// offer as many wrong secrets as they can.
func measureFlood(ctx context.Context, g *gate, rounds int) (f flood, err error) {
	paced(ctx, g.guarded, g.right, time.Second) // warm up
	for round := range rounds {
		quiet, err := paced(ctx, g.guarded, g.right, floodTime/2)
		if err != nil {
			return f, err
		}
		type outcome struct {
			rate float64
			err  error
		}
		flooded := make(chan outcome, 1)
		go func() {
			rate, err := load(ctx, g.server(asWrong), floodTime, 64)
			flooded <- outcome{rate, err}
		}()
		<-time.After(time.Second)
		beside, err := paced(ctx, g.guarded, g.right, floodTime-2*time.Second)
		o := <-flooded
		if err == nil {
			err = o.err
		}
		if err != nil {
			return f, err
		}
		f.quiet, f.beside, f.refused = append(f.quiet, quiet), append(f.beside, beside), append(f.refused, o.rate)
		fmt.Fprintf(os.Stderr, "round %d  p99 %v alone, %v beside %.0f refused/s\n", round+1, quiet, beside, o.rate)
	}
	return f, nil
}

func (f flood) report() string {
	if len(f.quiet) == 0 {
		return ""
	}
	middle := func(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
	quiet, beside := middle(f.quiet), middle(f.beside)
	return fmt.Sprintf("\nA flood: while wrk offers as many calls with a wrong secret as it can for %v on 64 connections (%s were refused a second, on the cores that the accepted calls need), the 99th hundredth of the latency of %d accepted calls a second is %v; alone it is %v: %.1f times as long.\n",
		floodTime, spread(f.refused), pace, beside.Round(10*time.Microsecond), quiet.Round(10*time.Microsecond), float64(beside)/float64(quiet))
}
