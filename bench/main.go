// Command bench measures Postern beside what people would use instead, in one
// run, and writes docs/benchmarks.md.
//
// Every server gives the same small JSON answer. All run on this machine and
// share it with the load generator, so absolute figures say little; the ratios
// within one run are what counts. Rounds are interleaved: each server is
// measured once a round, and the medians over the rounds are compared.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const user, password = "bench", "a-long-enough-password-for-a-benchmark"

type result struct {
	server server
	rates  []float64 // requests a second, one a round
}

func (r result) median() float64 { return median(r.rates) }

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func main() {
	rounds := flag.Int("rounds", 5, "interleaved rounds")
	duration := flag.Duration("duration", 3*time.Second, "of one measurement")
	connections := flag.Int("connections", 64, "keep-alive connections")
	dex := flag.String("dex", "", "a dex program (github.com/dexidp/dex) to measure the token server beside")
	traefik := flag.String("traefik", "", "a traefik program (github.com/traefik/traefik) to measure the gates beside")
	only := flag.String("only", "", "measure this part alone: gates (and print it); or cold, console, deploy, dev, idle, invoke, redact, soak (and replace it on the page)")
	calls := flag.Int64("calls", 1_000_000, "of -only soak")
	out := flag.String("out", "docs/benchmarks.md", "where the table goes; - for the terminal only")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, options{*rounds, *connections, *duration, *dex, *traefik, *only, *out, *calls}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	rounds, connections int
	duration            time.Duration
	dex, traefik        string
	only, out           string
	calls               int64
}

func run(ctx context.Context, o options) error {
	rounds, connections, duration := o.rounds, o.connections, o.duration
	if rounds < 1 || connections < 1 || duration < time.Second || duration%time.Second != 0 {
		return fmt.Errorf("at least one round, one connection, and whole seconds (wrk counts no others)")
	}
	if o.only == "redact" || o.only == "console" { // need nothing of others
		return onlyPart(ctx, o)
	}
	if o.only == "dev" {
		if err := preparePeers(ctx); err != nil {
			return err
		}
		return onlyPart(ctx, o)
	}
	if err := prepare(ctx); err != nil {
		return err
	}
	if o.only == "gates" {
		gates, floods, err := measureGates(ctx, o.traefik, rounds, connections, duration)
		if err == nil {
			fmt.Print(gatesReport(gates, floods, connections))
		}
		return err
	}
	if o.only != "" {
		return onlyPart(ctx, o)
	}
	servers, stop, err := startAll(ctx)
	defer stop()
	if err != nil {
		return err
	}
	results := make([]result, len(servers))
	for i, s := range servers {
		results[i].server = s
		if _, err := load(ctx, s, time.Second, connections); err != nil { // warm up, and check
			return err
		}
	}
	for round := range rounds {
		for i, s := range servers {
			rate, err := load(ctx, s, duration, connections)
			if err != nil {
				return err
			}
			results[i].rates = append(results[i].rates, rate)
			fmt.Fprintf(os.Stderr, "round %d  %8.0f/s  %s\n", round+1, rate, s.name)
		}
	}
	stop()
	gates, floods, err := measureGates(ctx, o.traefik, rounds, connections, duration)
	if err != nil {
		return err
	}
	invoked, err := measureCalls(ctx, rounds, duration)
	if err != nil {
		return err
	}
	tokens, err := measureTokens(ctx, o.dex, rounds, duration)
	if err != nil {
		return err
	}
	keys, err := measureKeys(ctx, rounds, connections, duration)
	if err != nil {
		return err
	}
	micro, err := microBenchmarks(ctx)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(o.out)
	if err != nil && o.out != "-" {
		return err
	}
	page := report(ctx, results, callsReport(invoked, rounds, duration)+gatesReport(gates, floods, connections), tokens, keys, micro, rounds, duration, connections)
	for _, heading := range []string{coldHeading, consoleHeading, deployHeading, devHeading, idleHeading, soakHeading, redactHeading} { // measured by themselves
		if section := sectionOf(string(old), heading); section != "" {
			page = withSection(page, heading, section)
		}
	}
	fmt.Print(page)
	if o.out == "-" {
		return nil
	}
	return os.WriteFile(o.out, []byte(page), 0o644)
}

// onlyPart measures one part, and puts it on the page in place of what it was.
func onlyPart(ctx context.Context, o options) error {
	heading, section, err := part(ctx, o)
	fmt.Print(section)
	if err != nil || o.out == "-" {
		return err
	}
	page, err := os.ReadFile(o.out)
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(withSection(string(page), heading, section)), 0o644)
}

// part is a part of the page that can be measured alone. What was measured is
// returned with the error that it is too much.
func part(ctx context.Context, o options) (heading, section string, err error) {
	switch o.only {
	case "invoke":
		invoked, err := measureCalls(ctx, o.rounds, o.duration)
		if err != nil {
			return "", "", err
		}
		return callsHeading, callsReport(invoked, o.rounds, o.duration), nil
	case "cold":
		starts, err := measureCold(ctx, o.rounds)
		if err != nil {
			return "", "", err
		}
		return coldHeading, coldReport(starts), nil
	case "console":
		r, err := measureConsole(ctx, o.rounds)
		if err != nil {
			return "", "", err
		}
		return consoleHeading, consoleReport(r), nil
	case "deploy":
		list, err := measureDeploys(ctx, o.rounds)
		if err != nil {
			return "", "", err
		}
		return deployHeading, deployReport(list), nil
	case "idle":
		held, err := measureIdle(ctx)
		if err != nil {
			return "", "", err
		}
		return idleHeading, idleReport(held), nil
	case "dev":
		list, err := measureDev(ctx)
		if err != nil {
			return "", "", err
		}
		return devHeading, devReport(list), nil
	case "redact":
		list, err := measureRedact(ctx, o.rounds)
		if err != nil {
			return "", "", err
		}
		return redactHeading, redactReport(list), nil
	case "soak":
		samples, err := measureSoak(ctx, o.calls)
		if len(samples) == 0 {
			return "", "", err
		}
		return soakHeading, soakReport(samples), err
	}
	return "", "", fmt.Errorf("there is no part %q", o.only)
}

// load runs wrk against a server. The figure counts only if every connection
// held and every answer was of the kind that the server is measured for.
func load(ctx context.Context, s server, d time.Duration, connections int) (float64, error) {
	args := []string{"-t1", "--timeout", "10s", "-c" + strconv.Itoa(connections), fmt.Sprintf("-d%ds", int(d.Seconds()))}
	if s.authorization != "" {
		args = append(args, "-H", "Authorization: "+s.authorization)
	}
	if s.script != "" {
		args = append(args, "-s", s.script)
	}
	text, err := exec.CommandContext(ctx, "wrk", append(args, s.url)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk against %s: %w: %s", s.name, err, text)
	}
	rate, err := parseLoad(string(text), s.refuses)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.name, err)
	}
	return rate, nil
}

var (
	ratePattern    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	totalPattern   = regexp.MustCompile(`(\d+) requests in `)
	refusedPattern = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	socketPattern  = regexp.MustCompile(`Socket errors: .*`)
)

// parseLoad takes the rate from what wrk printed. It is an error if a socket
// failed, or if any answer was refused where none may be (all, if refuses).
func parseLoad(text string, refuses bool) (float64, error) {
	if bad := socketPattern.FindString(text); bad != "" {
		return 0, fmt.Errorf("%s", bad)
	}
	rate, total := ratePattern.FindStringSubmatch(text), totalPattern.FindStringSubmatch(text)
	if rate == nil || total == nil || total[1] == "0" {
		return 0, fmt.Errorf("wrk printed no rate: %s", text)
	}
	want, got := "0", "0"
	if refuses {
		want = total[1]
	}
	if m := refusedPattern.FindStringSubmatch(text); m != nil {
		got = m[1]
	}
	if got != want {
		return 0, fmt.Errorf("%s of %s answers were refused, not %s", got, total[1], want)
	}
	return strconv.ParseFloat(rate[1], 64)
}

// microBenchmarks runs the Go benchmarks of the hot path.
func microBenchmarks(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchtime", "1s", "./internal/auth", "./internal/token", "./internal/oauth", "./internal/gateway", "./internal/worker")
	text, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go test -bench: %w: %s", err, text)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "Benchmark") {
			f := strings.Fields(line)
			row := "| " + strings.TrimSuffix(f[0], "-"+strconv.Itoa(cpus())) + " | " + f[2] + " ns |"
			if i := slices.Index(f, "allocs/op"); i > 0 {
				row += " " + f[i-1] + " |"
			} else {
				row += " |"
			}
			lines = append(lines, row)
		}
	}
	return strings.Join(lines, "\n"), nil
}
