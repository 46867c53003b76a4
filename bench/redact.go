package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern.dev/postern/internal/redact"
)

const redactHeading = "## Secrets taken out of output"

// search is a way to go through a text, once a round.
type search struct {
	name  string
	once  func(text []byte)
	text  []byte
	rates []float64 // MB a second of processor time, one a round
}

// measureRedact goes through the same lines in each way.
func measureRedact(ctx context.Context, rounds int) ([]*search, error) {
	lines, values := logLines(8<<20), secretValues(100)
	var to bytes.Buffer
	list := []*search{
		{name: "a copy of it", once: func(text []byte) { to.Reset(); to.Write(text) }},
		{name: "`bytes.Contains` of one value, as it is", once: func(text []byte) { contains(text, values, 1) }},
		{name: "`bytes.Contains` of 100 values, as they are, one after the other", once: func(text []byte) { contains(text, values, 100) }},
		{name: "`strings.Replacer` of 100 values, as they are", once: replaced(values)},
		{name: "Postern, one secret in all forms", once: written(secretValues(1), 32<<10)},
		{name: "Postern, 100 secrets in all forms", once: written(values, 32<<10)},
		{name: "the same, in writes of 100 bytes", once: written(values, 100)},
		{name: "the same, and a secret in each tenth line", once: written(values, 32<<10), text: withValues(lines, values)},
		{name: "the same, and all of the text begins like secrets", once: written(values, 32<<10), text: bytes.Repeat([]byte("postgres://user:sk_live_"), len(lines)/24)},
		{name: "Postern, 10,000 secrets in all forms", once: written(secretValues(10_000), 32<<10)},
	}
	for range max(rounds, 3) {
		for _, s := range list {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if s.text == nil {
				s.text = lines
			}
			began := processorTime()
			for n := 0; n < 2 || processorTime()-began < 100*time.Millisecond; n++ {
				s.once(s.text)
				if took := processorTime() - began; n > 0 && took >= 100*time.Millisecond {
					s.rates = append(s.rates, float64(n+1)*float64(len(s.text))/1e6/took.Seconds())
					break
				}
			}
		}
	}
	return list, nil
}

// processorTime is what this thread's process has used: other work on the machine
// does not count.
func processorTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// logLines are lines as functions and servers write them.
func logLines(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `{"time":"2026-11-21T16:38:%02dZ","level":"INFO","msg":"request","requestId":"req_%s","method":"POST","path":"/orders/%d","status":200,"took":"1.%03dms"}`+"\n", i%60, rand.Text(), i, i%1000)
		fmt.Fprintf(&b, "GET https://api.example.com/v1/customers/%d?expand=orders 200 in %d ms, connected to postgres://db.internal\n", i, i%977)
	}
	return b.Bytes()
}

// secretValues are as many as people have: keys of providers, passwords, URLs.
func secretValues(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("SECRET_%d", i)] = []string{"sk_live_", "postgres://user:", "", "p&ss w/rd="}[i%4] + rand.Text()
	}
	return out
}

// withValues puts a value behind each tenth line, in one form after the other.
func withValues(lines []byte, values map[string]string) []byte {
	var b bytes.Buffer
	n := 0
	for line := range bytes.Lines(lines) {
		if n++; n%10 == 0 {
			value := values[fmt.Sprintf("SECRET_%d", n/10%len(values))]
			fmt.Fprintf(&b, []string{"%s", "%x", "%q", "Basic %s"}[n/10%4], []any{value, value, value, base64.StdEncoding.EncodeToString([]byte("user:" + value))}[n/10%4])
		}
		b.Write(line)
	}
	return b.Bytes()
}

func contains(text []byte, values map[string]string, most int) {
	for _, v := range values {
		if bytes.Contains(text, []byte(v)) {
			panic("a value is where none was put")
		}
		if most--; most == 0 {
			return
		}
	}
}

func replaced(values map[string]string) func([]byte) {
	var pairs []string
	for name, v := range values {
		pairs = append(pairs, v, "[redacted "+name+"]")
	}
	r := strings.NewReplacer(pairs...)
	return func(text []byte) { r.WriteString(io.Discard, string(text)) }
}

func written(values map[string]string, size int) func([]byte) {
	set := redact.New(values)
	return func(text []byte) {
		w := set.Writer(io.Discard)
		for part := range slices.Chunk(text, size) {
			w.Write(part)
		}
		w.Close()
	}
}

func redactReport(list []*search) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\n8 MB of log lines (JSON, and lines with URLs) are gone through in writes of 32 KiB; a million bytes a second of processor time, medians of interleaved rounds (ranges). All forms: as it is, base64 at each of three places, URL-encoded, escaped as in JSON, hex. The bound to hold is 100 MB/s with 100 secrets.\n\n", redactHeading)
	p("| what is done | MB/s, median | range | of a copy |\n|---|---|---|---|\n")
	for _, s := range list {
		p("| %s | %.0f | %.0f–%.0f | %.2f |\n", s.name, median(s.rates), slices.Min(s.rates), slices.Max(s.rates), median(s.rates)/median(list[0].rates))
	}
	return b.String()
}
