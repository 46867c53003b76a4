package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"postern.dev/postern/internal/accesskey"
)

// bcryptCost is what the bcrypt entries are made with: the least that is
// advised today (OWASP). Caddy's own command takes 14.
const bcryptCost = 10

// gate is a server that is asked for the same answer where it asks nobody, where
// it asks for a password, and there with wrong ones.
type gate struct {
	name          string
	open, guarded string // URLs
	static        string // URL of an answer of its own; empty: they all are
	right         string // Authorization
	strangers     string // a script for wrk: another wrong password with each call
	slow          bool   // to refuse takes it so long that few connections must do
	rates         [4][]float64
}

// the ways to ask a gate.
const (
	asOpen = iota
	asRight
	asWrong
	asStatic
)

func (g *gate) server(way int) server {
	switch way {
	case asOpen:
		return server{name: g.name + ", open", url: g.open}
	case asRight:
		return server{name: g.name + ", guarded", url: g.guarded, authorization: g.right}
	case asWrong:
		return server{name: g.name + ", wrong secrets", url: g.guarded, script: g.strangers, refuses: true}
	}
	return server{name: g.name + ", an answer of its own", url: g.static}
}

// tax is what of the requests a second is lost where a password is asked for.
func (g *gate) tax() float64 { return 1 - median(g.rates[asRight])/median(g.rates[asOpen]) }

// refusal is how many times as fast as an open answer of its own it refuses.
func (g *gate) refusal() float64 {
	if g.static != "" {
		return median(g.rates[asWrong]) / median(g.rates[asStatic])
	}
	return median(g.rates[asWrong]) / median(g.rates[asOpen])
}

// strangers writes a script that shows another wrong password with each call: of
// one that comes again and again somebody might remember that it is wrong.
func (s *starter) strangers(name string, wrong func() string) (string, error) {
	var b strings.Builder
	b.WriteString("local shown = {\n")
	for range 4096 {
		fmt.Fprintf(&b, "%q,\n", wrong())
	}
	b.WriteString("}\nlocal n = 0\nlocal requests = {}\ninit = function(args)\n  for i, a in ipairs(shown) do requests[i] = wrk.format(nil, nil, {['Host'] = wrk.headers['Host'], ['Authorization'] = a}) end\nend\n")
	b.WriteString("request = function()\n  n = n % #requests + 1\n  return requests[n]\nend\n")
	path := filepath.Join(s.dir, name+".lua")
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

// measureGates takes each gate in each of the three ways, once a round.
// traefik is a program, or empty.
func measureGates(ctx context.Context, traefik string, rounds, connections int, d time.Duration) ([]*gate, []*flood, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, nil, err
	}
	os.Chmod(dir, 0o755) // nginx's workers are another user
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	var gates []*gate
	for _, start := range []func() (*gate, error){s.haproxyGate, s.nginxGate, s.caddyGate, func() (*gate, error) { return s.traefikGate(traefik) }, func() (*gate, error) { return s.posternGate("0") }} {
		g, err := start()
		if err != nil {
			return nil, nil, err
		}
		if g != nil {
			gates = append(gates, g)
		}
	}
	for round := range rounds + 1 {
		for _, g := range gates {
			for way := range g.rates {
				if g.server(way).url == "" {
					continue
				}
				length := d
				if round == 0 {
					length = time.Second // warm up, and check
				}
				many := connections
				if way == asWrong && g.slow {
					many = 4
				}
				rate, err := load(ctx, g.server(way), length, many)
				if err != nil {
					return nil, nil, err
				}
				if round > 0 {
					g.rates[way] = append(g.rates[way], rate)
					fmt.Fprintf(os.Stderr, "round %d  %8.0f/s  %s\n", round, rate, g.server(way).name)
				}
			}
		}
	}
	slow, err := s.posternGate("100")
	if err != nil {
		return nil, nil, err
	}
	floods := []*flood{{name: "every refusal at once", gate: gates[len(gates)-1]}, {name: "100 refusals a second of an address at once, more of them after a second (the default)", gate: slow}}
	return gates, floods, measureFloods(ctx, floods, rounds)
}

// answers waits until a gate lets in, and keeps out, whom it should.
func (s *starter) answers(g *gate) (*gate, error) {
	want := [4]int{200, 200, 401, 200}
	for way := range want {
		srv := g.server(way)
		if srv.url == "" {
			continue
		}
		var got int
		for deadline := time.Now().Add(15 * time.Second); got != want[way]; <-time.After(50 * time.Millisecond) {
			req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, srv.url, nil)
			if err != nil {
				return nil, err
			}
			if srv.authorization != "" {
				req.Header.Set("Authorization", srv.authorization)
			}
			if res, err := http.DefaultClient.Do(req); err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				got = res.StatusCode
			}
			if got != want[way] && time.Now().After(deadline) {
				return nil, fmt.Errorf("%s answers %d, not %d", srv.name, got, want[way])
			}
		}
	}
	return g, nil
}

// configured writes a configuration and starts a program with it.
func (s *starter) configured(file, text, program string, args ...string) error {
	if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o644); err != nil {
		return err
	}
	return s.run(program, args...)
}

func (s *starter) haproxyGate() (*gate, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, "gate.cfg")
	err = s.configured("gate.cfg", fmt.Sprintf(`global
  maxconn 1000
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
userlist callers
  user %s insecure-password %s
frontend in
  bind 127.0.0.1:%s
  http-request auth realm bench if { path /guarded } !{ http_auth(callers) }
  http-request return status 200 content-type application/json string '{"received":null}'
`, user, password, port), "haproxy", "-db", "-f", config)
	if err != nil {
		return nil, err
	}
	return s.gateAt("HAProxy, userlist in clear; its own answer", port)
}

// gateAt is a gate that takes the one user of this benchmark.
func (s *starter) gateAt(name, port string) (*gate, error) {
	url := "http://127.0.0.1:" + port
	n := 0
	script, err := s.strangers("strangers", func() string { n++; return basicOf(user, fmt.Sprintf("%s-%d", password, n)) })
	if err != nil {
		return nil, err
	}
	return s.answers(&gate{name: name, open: url + "/open", guarded: url + "/guarded", right: basicAuth, strangers: script})
}

func shaEntry() string {
	sum := sha1.Sum([]byte(password))
	return "{SHA}" + base64.StdEncoding.EncodeToString(sum[:])
}

func (s *starter) nginxGate() (*gate, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/gate.pid; error_log %[1]s/gate.err;
events { worker_connections 1024; }
http {
  access_log off; default_type application/json; open_file_cache max=10; root %[1]s/files;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen 127.0.0.1:%[2]s; keepalive_requests 1000000000;
    location = /guarded { auth_basic bench; auth_basic_user_file %[1]s/gate.users; }
  }
}
`, s.dir, port)
	files := filepath.Join(s.dir, "files")
	err = errors.Join(os.Mkdir(files, 0o755), os.WriteFile(filepath.Join(s.dir, "gate.users"), []byte(user+":"+shaEntry()+"\n"), 0o644),
		os.WriteFile(filepath.Join(files, "open"), []byte(`{"received":null}`), 0o644), os.WriteFile(filepath.Join(files, "guarded"), []byte(`{"received":null}`), 0o644))
	if err == nil {
		err = s.configured("gate.conf", text, "nginx", "-c", filepath.Join(s.dir, "gate.conf"), "-e", filepath.Join(s.dir, "gate.err"))
	}
	if err != nil {
		return nil, err
	}
	return s.gateAt("nginx, auth_basic (SHA-1); a file", port)
}

func (s *starter) caddyGate() (*gate, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`{
	admin off
	auto_https off
	log {
		level ERROR
	}
}
http://127.0.0.1:%s {
	basicauth /guarded {
		%s %s
	}
	header Content-Type application/json
	respond "{\"received\":null}"
}
`, port, user, base64.StdEncoding.EncodeToString(hash))
	if err := s.configured("Caddyfile", text, "caddy", "run", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile"); err != nil {
		return nil, err
	}
	g, err := s.gateAt(fmt.Sprintf("Caddy, basicauth (bcrypt %d, its cache on); its own answer", bcryptCost), port)
	if err == nil {
		g.slow = true
	}
	return g, err
}

// traefikGate is Traefik, where a program was given: Debian has none.
func (s *starter) traefikGate(program string) (*gate, error) {
	if program == "" {
		return nil, nil
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	routes := fmt.Sprintf(`http:
  routers:
    open: { rule: "Path(%[1]s/open%[1]s)", service: ping@internal, entryPoints: [in] }
    guarded: { rule: "Path(%[1]s/guarded%[1]s)", service: ping@internal, entryPoints: [in], middlewares: [gate] }
  middlewares:
    gate: { basicAuth: { users: [ "%[2]s:%[3]s" ] } }
`, "`", user, shaEntry())
	err = errors.Join(os.WriteFile(filepath.Join(s.dir, "traefik-routes.yaml"), []byte(routes), 0o644),
		s.configured("traefik.yaml", fmt.Sprintf(`entryPoints: { in: { address: "127.0.0.1:%s" } }
ping: { manualRouting: true }
global: { checkNewVersion: false, sendAnonymousUsage: false }
log: { level: ERROR }
providers: { file: { filename: %s/traefik-routes.yaml } }
`, port, s.dir), program, "--configfile="+filepath.Join(s.dir, "traefik.yaml")))
	if err != nil {
		return nil, err
	}
	return s.gateAt("Traefik, basicAuth (SHA-1); its ping", port)
}

// posternGate is two handlers that do the same, and the static answer that
// Postern gives of its own, for which no key is asked. refusals is how many of
// an address get their answer at once.
func (s *starter) posternGate(refusals string) (*gate, error) {
	p, err := s.startPostern(filepath.Join(s.dir, "data-gates-"+refusals), "off", refusals)
	if err == nil {
		err = s.deploy(p, "bench/peers/door")
	}
	if err != nil {
		return nil, err
	}
	id, url := p.env["POSTERN_KEY_ID"], p.gateway+"/fn/door"
	script, err := s.strangers("postern-"+refusals, func() string { return basicOf(id, accesskey.NewSecret().Reveal()) })
	if err != nil {
		return nil, err
	}
	return s.answers(&gate{name: "Postern; a handler in Node", open: url + "/open", guarded: url + "/guarded", static: url + "/health", right: basicOf(id, p.env["POSTERN_KEY_SECRET"]), strangers: script})
}

// gatesReport is the part of the page about gates.
func gatesReport(gates []*gate, floods []*flood, connections int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## What the door costs\n\nThe same answer where nobody is asked, where a password is asked for, and there with wrong ones; %d connections, interleaved rounds, medians (ranges). The tax is what of the open rate is lost. Gates answer by themselves where they can; Postern's two handlers run in Node, and what it refuses is compared with its own static answer (/health).\n", connections)
	fmt.Fprintf(&b, "A bcrypt entry costs %d rounds of its kind; who keeps right passwords in memory pays it for wrong ones (4 connections are all that it is asked on then).\n\n", 1<<bcryptCost)
	b.WriteString("| gate | open/s | guarded/s | tax | own answer/s | refused/s | refused ÷ own answer |\n|---|---|---|---|---|---|---|\n")
	for _, g := range gates {
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f %% | %s | %s | %.2f |\n", g.name, spread(g.rates[asOpen]), spread(g.rates[asRight]), 100*g.tax(), spread(g.rates[asStatic]), spread(g.rates[asWrong]), g.refusal())
	}
	b.WriteString(floodsReport(floods))
	return b.String()
}

func spread(rates []float64) string {
	if len(rates) == 0 {
		return "the open one"
	}
	return fmt.Sprintf("%.0f (%.0f–%.0f)", median(rates), slices.Min(rates), slices.Max(rates))
}
