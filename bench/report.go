package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

func cpus() int { return runtime.NumCPU() }

// report is the page that the measurements make.
func report(ctx context.Context, results []result, sections string, tokens []issuing, keys []manyKeys, micro string, rounds int, d time.Duration, connections int) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	bare, express := results[0].median(), results[1].median()
	p("# Benchmarks\n\nWritten by `make bench`. Every server gives the same 17 bytes of JSON to `GET /webhook`; all but the first check HTTP Basic first.\n")
	p("One Node process answers in each row that has one (a worker of Postern takes up to 256 calls at a time, so it starts no second); the gateway and the proxies may use every core. The row with a wrong secret counts refusals, which no worker sees.\n")
	p("Load: wrk, 1 thread, %d keep-alive connections, %d interleaved rounds of %v; the machine (%d cores, shared with the load generator and at times with other work) drifts,\n", connections, rounds, d, cpus())
	p("so the median is compared within this run and the range shows the noise. Absolute figures are of no use anywhere else.\n\n")
	p("| server | requests/s, median | range | of node:http | of Express |\n|---|---|---|---|---|\n")
	for _, r := range results {
		p("| %s | %.0f | %.0f–%.0f | %.2f | %.1f |\n", r.server.name, r.median(), slices.Min(r.rates), slices.Max(r.rates), r.median()/bare, r.median()/express)
	}
	p("\n%s", sections)
	p("\n## Tokens\n\n`POST /oauth2/token` with client_credentials and HTTP Basic, 32 connections, %d access keys in turn (each is limited to ten tokens a second). dex, where it was given, has one client and no limit. What the signature alone costs is `BareSignature` below.\n\n", tokenClients)
	p("| token server | tokens/s, median | range | of Postern |\n|---|---|---|---|\n")
	for _, t := range tokens {
		p("%s\n", t.row(tokens[0]))
	}
	p("\n## One key and a million\n\nThe same handler as above; `ready` is from the start of the process to its first 200 at /readyz, with SQLite; the memory is the whole process's after the load.\n\n")
	p("| access keys | requests/s, median | of one key | ready | resident memory |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		p("| %d | %.0f | %.2f | %v | %d MiB |\n", k.keys+2, median(k.rates), median(k.rates)/median(keys[0].rates), k.ready.Round(10*time.Millisecond), k.rss>>10)
	}
	most := keys[len(keys)-1]
	p("\nThe 99th hundredth of the latency of %d requests a second, each due at its time, with the most keys: %v while nothing else is done, %v while %d keys a second are read through the API, %v while they are changed (%d a second were): a change costs %.2f of a read.\n",
		pace, most.median(0).Round(10*time.Microsecond), most.median(1).Round(10*time.Microsecond), changing, most.median(2).Round(10*time.Microsecond), int(float64(most.changed)/(float64(rounds)*d.Seconds())), float64(most.median(2))/float64(most.median(1)))
	p("\n## The hot path by itself\n\n`go test -bench` of the packages on it. `Admit` is steps 1 to 5 of a request with 100,000 keys loaded; `Do_Node` is a call to a real Node worker and back with 64 in flight.\n\n")
	p("| benchmark | time | allocations |\n|---|---|---|\n%s\n", micro)
	p("\n## Bounds that are tests\n\nThese are checked by `make test`, not measured here: at most 2 allocations in steps 1–5 with 100,000 keys (`internal/gateway`); none to encode a request (`internal/worker`); at most 130 bytes a key, and 12,000 objects for 100,000 (`internal/auth`);\n256 MiB through a streaming handler that has streamed before grow gateway and worker by at most 8 MiB each (`cmd/postern`).\n")
	p("\n## The run\n\n%s\n", strings.Join(versions(ctx), " · "))
	return b.String()
}

func versions(ctx context.Context) []string {
	out := []string{runtime.Version(), fmt.Sprintf("%d cores", cpus())}
	for _, v := range [][]string{{"node", "--version"}, {"wrk", "-v"}, {"haproxy", "-v"}, {"nginx", "-v"}, {"caddy", "version"}} {
		text, _ := exec.CommandContext(ctx, v[0], v[1:]...).CombinedOutput() // wrk -v exits with 1
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if len(line) > 40 {
			line = line[:40]
		}
		if !strings.HasPrefix(line, v[0]) && !strings.HasPrefix(line, "HA") {
			line = v[0] + " " + line
		}
		out = append(out, line)
	}
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(cpu)) {
			if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
				return append(out, strings.TrimSpace(name))
			}
		}
	}
	return out
}
