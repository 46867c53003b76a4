package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const deployHeading = "## Deploys"

// deploying is one way to get code to run, measured as a whole command.
type deploying struct {
	name  string
	once  func(round int) error
	times []time.Duration // one a round
}

func (d *deploying) at(part float64) time.Duration {
	s := slices.Sorted(slices.Values(d.times))
	return s[min(int(part*float64(len(s))), len(s)-1)]
}

// manyModules is how many files the larger project imports.
const manyModules = 400

// measureDeploys deploys a small and a larger project once a round, changed and
// as they were, beside what bundling and starting Node take alone.
func measureDeploys(ctx context.Context, rounds int) ([]*deploying, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	esbuild := filepath.Join(dir, "esbuild") // the very version that the program has within
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", esbuild, "github.com/evanw/esbuild/cmd/esbuild").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build esbuild: %w: %s", err, text)
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	p, err := s.startPostern(filepath.Join(dir, "data"), "off", "0", "--workers", "1")
	if err != nil {
		return nil, err
	}
	var list []*deploying
	for _, of := range []struct {
		name    string
		modules int
	}{{"the example", 0}, {fmt.Sprintf("%d modules", manyModules), manyModules}} {
		project := filepath.Join(dir, fmt.Sprint("of", of.modules))
		if err := writeModules(project, of.modules); err != nil {
			return nil, err
		}
		list = append(list,
			&deploying{name: "esbuild and `node -e 0`, " + of.name, once: func(int) error { return bundleAlone(ctx, esbuild, project) }},
			&deploying{name: "`postern functions deploy`, " + of.name + ", changed", once: func(round int) error {
				return errors.Join(writeEntry(project, of.modules, round), s.deploy(p, project))
			}},
			&deploying{name: "the same, unchanged", once: func(int) error { return s.deploy(p, project) }})
	}
	for round := range rounds + 1 { // the first fills the caches of the disk
		for _, d := range list {
			began := time.Now()
			if err := d.once(round); err != nil {
				return nil, fmt.Errorf("%s: %w", d.name, err)
			}
			if round > 0 {
				d.times = append(d.times, time.Since(began))
			}
		}
	}
	return list, nil
}

// bundleAlone is what a deploy cannot be without.
func bundleAlone(ctx context.Context, esbuild, project string) error {
	bundle := exec.CommandContext(ctx, esbuild, "function.ts", "--bundle", "--platform=node", "--format=esm", "--sourcemap", "--minify-whitespace", "--external:@postern/*", "--outfile="+project+".out/worker.mjs", "--log-level=error")
	bundle.Dir = project
	if text, err := bundle.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return exec.CommandContext(ctx, "node", "-e", "0").Run()
}

// writeModules writes a project of so many modules beside the one of its handlers.
func writeModules(dir string, modules int) error {
	if err := os.MkdirAll(filepath.Join(dir, "lib"), 0o700); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(dir, "postern.json"), fmt.Appendf(nil, `{"name":"of%d","runtime":"node"}`, modules), 0o600)
	for i := range modules {
		text := fmt.Sprintf("export function f%d(n: number): number {\n%s  return n;\n}\n", i, strings.Repeat("  n = (n * 31 + 7) % 65521; // as a line of code is long\n", 20))
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "lib", fmt.Sprintf("f%d.ts", i)), []byte(text), 0o600))
	}
	return errors.Join(err, writeEntry(dir, modules, -1))
}

func writeEntry(dir string, modules, round int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "export const auth = ['webhook'];\nexport const webhook = (_: unknown, request: { body: unknown }) => ({ received: request.body });\n")
	var calls []string
	for i := range modules {
		fmt.Fprintf(&b, "import { f%d } from './lib/f%d.js';\n", i, i)
		calls = append(calls, fmt.Sprintf("f%d(1)", i))
	}
	fmt.Fprintf(&b, "export const status = () => ({ round: %d, sums: [%s] });\n", round, strings.Join(calls, ", "))
	return os.WriteFile(filepath.Join(dir, "function.ts"), []byte(b.String()), 0o600)
}

func deployReport(list []*deploying) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\nFrom the start of the command to its end, when the new version has the traffic: bundle, upload, smoke test on a new worker, switch. Beside it what cannot be left out: the same esbuild over the same project, and a Node that does nothing. Unchanged, the command finds that it runs already. %d interleaved rounds, medians.\n\n", deployHeading, len(list[0].times))
	p("| what | median | a tenth are below, above | of esbuild and `node -e 0` |\n|---|---|---|---|\n")
	for i, d := range list {
		base := list[i/3*3]
		p("| %s | %.0f ms | %.0f–%.0f ms | %.2f |\n", d.name, ms(d.at(0.5)), ms(d.at(0.1)), ms(d.at(0.9)), ms(d.at(0.5))/ms(base.at(0.5)))
	}
	return b.String()
}
