package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const devHeading = "## From save to answer"

// saved is a development server and the file of its project.
type saved struct {
	name  string
	url   string
	file  string
	code  func(says string) string
	times []time.Duration // one a save
}

// devSaves is how often each project is saved, and devRest how long everything
// rests before: what was before has ended, and what is made ahead is there.
const (
	devSaves = 25
	devRest  = 700 * time.Millisecond
)

// measureDev saves a file of each project in turn and asks until the new code
// answers.
func measureDev(ctx context.Context) ([]*saved, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	var list []*saved
	for _, start := range []func() (*saved, error){s.devPostern, s.devWatch, s.devNodemon, s.devWrangler} {
		p, err := start()
		if err == nil {
			_, err = p.save(ctx, "first", time.Minute)
			list = append(list, p)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range devSaves {
		for _, p := range list {
			<-time.After(devRest)
			d, err := p.save(ctx, fmt.Sprint("save ", i), 30*time.Second)
			if err != nil {
				return nil, err
			}
			p.times = append(p.times, d)
		}
	}
	return list, nil
}

// save writes the file and asks until its code answers.
func (p *saved) save(ctx context.Context, says string, limit time.Duration) (time.Duration, error) {
	if err := os.WriteFile(p.file, []byte(p.code(says)), 0o644); err != nil {
		return 0, err
	}
	began := time.Now()
	for {
		body, err := get(ctx, p.url)
		if err == nil && body == says {
			return time.Since(began), nil
		}
		if time.Since(began) > limit {
			return 0, fmt.Errorf("%s: after %v it answers %.200q, %v", p.name, limit, body, err)
		}
		if err != nil { // it is being started
			http.DefaultClient.CloseIdleConnections()
			<-time.After(2 * time.Millisecond)
		}
	}
}

// devProject makes a project of files.
func (s *starter) devProject(name string, files map[string]string) (dir string, err error) {
	dir = filepath.Join(s.dir, name)
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (s *starter) devPostern() (*saved, error) {
	dir, err := s.devProject("postern", map[string]string{"postern.json": `{"name":"dev","runtime":"node"}`, "function.ts": "export const auth = [];\nexport const hello = () => '';\n"})
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err == nil {
		err = s.run("bin/postern", "functions", "dev", dir, "--port", port)
	}
	return &saved{name: "`postern functions dev` (TypeScript, bundled)", url: "http://127.0.0.1:" + port + "/hello", file: filepath.Join(dir, "function.ts"),
		code: func(says string) string {
			return fmt.Sprintf("export const auth = [];\nexport const hello = (): string => %q;\n", says)
		}}, err
}

// devFramework is functions-framework under a watcher.
func (s *starter) devFramework(name, watcher string, args func(main, dir, port string) []string) (*saved, error) {
	dir, err := s.devProject(name, map[string]string{"index.mjs": "", "package.json": `{"private":true,"type":"module","main":"index.mjs"}`})
	if err != nil {
		return nil, err
	}
	framework, err := filepath.Abs("bench/node_modules/@google-cloud/functions-framework")
	if err != nil {
		return nil, err
	}
	code := func(says string) string {
		return fmt.Sprintf("import { http } from '%s/build/src/index.js';\nhttp('hello', (request, response) => { response.send(%q); });\n", framework, says)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.mjs"), []byte(code("")), 0o644); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err == nil {
		err = s.run("node", args(framework+"/build/src/main.js", dir, port)...)
	}
	return &saved{name: "functions-framework 5 with `" + watcher + "` (JavaScript)", url: "http://127.0.0.1:" + port + "/", file: filepath.Join(dir, "index.mjs"), code: code}, err
}

func (s *starter) devWatch() (*saved, error) {
	return s.devFramework("watch", "node --watch", func(main, dir, port string) []string {
		return []string{"--watch", main, "--target=hello", "--source=" + dir, "--port=" + port}
	})
}

func (s *starter) devNodemon() (*saved, error) {
	return s.devFramework("nodemon", "nodemon", func(main, dir, port string) []string {
		return []string{"bench/node_modules/nodemon/bin/nodemon.js", "--quiet", "--watch", dir, main, "--target=hello", "--source=" + dir, "--port=" + port}
	})
}

// devWrangler is Cloudflare's, in the last version that Node 20 runs.
func (s *starter) devWrangler() (*saved, error) {
	dir, err := s.devProject("wrangler", map[string]string{"index.ts": "", "wrangler.toml": "name = \"dev\"\nmain = \"index.ts\"\ncompatibility_date = \"2025-01-01\"\nsend_metrics = false\n"})
	if err != nil {
		return nil, err
	}
	code := func(says string) string {
		return fmt.Sprintf("export default { fetch(): Response { return new Response(%q); } };\n", says)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.ts"), []byte(code("")), 0o644); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err == nil {
		err = s.run("node", "bench/node_modules/wrangler/bin/wrangler.js", "dev", "--config", filepath.Join(dir, "wrangler.toml"), "--port", port, "--ip", "127.0.0.1", "--local")
	}
	return &saved{name: "`wrangler dev` 3 (TypeScript, bundled)", url: "http://127.0.0.1:" + port + "/", file: filepath.Join(dir, "index.ts"), code: code}, err
}

func devReport(list []*saved) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\nFrom the end of the write of a file to the last byte of an answer of the new code, asked for all the time; %d saves of each, interleaved, each after a rest of %v. A project of one file. The aim is a median of at most 150 ms.\n\n", devHeading, devSaves, devRest)
	p("| development server | median | 95 of 100 below | of Postern |\n|---|---|---|---|\n")
	first := (&cold{times: list[0].times}).at(0.5)
	for _, s := range list {
		c := &cold{times: s.times}
		p("| %s | %.0f ms | %.0f ms | %.1f |\n", s.name, ms(c.at(0.5)), ms(c.at(0.95)), ms(c.at(0.5))/ms(first))
	}
	return b.String()
}
