package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern.dev/postern/internal/accesskey"
)

// server is one thing that is measured.
type server struct {
	name          string
	url           string
	authorization string // empty: none is shown
	refuses       bool   // every answer is 401: what a stranger costs
	script        string // for wrk; empty: none
	front, back   []int  // processes that take the calls, and that answer them
}

// starter starts servers and remembers how to end them.
type starter struct {
	ctx   context.Context
	dir   string
	stops []func()
	list  []server
	last  int // the process that run started last
}

var basicAuth = basicOf(user, password)

// prepare makes sure that what is measured is here.
func prepare(ctx context.Context) error {
	for _, tool := range []string{"wrk", "node", "npm", "haproxy", "nginx", "caddy"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Geteuid() != 0 {
			return fmt.Errorf("%s is missing; install the Debian packages wrk, haproxy, nginx-light and caddy, and Node", tool)
		}
		install := exec.CommandContext(ctx, "sh", "-c", "apt-get update -qq && apt-get install -y -qq --no-install-recommends wrk haproxy nginx-light caddy >/dev/null")
		install.Stdout, install.Stderr = os.Stderr, os.Stderr
		if err := install.Run(); err != nil {
			return fmt.Errorf("install %s: %w", tool, err)
		}
	}
	return preparePeers(ctx)
}

// preparePeers installs what is measured of npm.
func preparePeers(ctx context.Context) error {
	npm := exec.CommandContext(ctx, "npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir, npm.Stderr = "bench", os.Stderr
	if err := npm.Run(); err != nil {
		return fmt.Errorf("npm ci in bench: %w", err)
	}
	return nil
}

// startAll starts every server. The stop function ends what was started, also
// after an error.
func startAll(ctx context.Context) ([]server, func(), error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, func() {}, err
	}
	os.Chmod(dir, 0o755) // nginx's workers are another user
	s := &starter{ctx: ctx, dir: dir}
	for _, start := range []func() error{s.bareNode, s.express, s.haproxy, s.nginx, s.goAlone, s.posternQuiet, s.posternLogging} {
		if err := start(); err != nil {
			return nil, s.stop, err
		}
	}
	return s.list, s.stop, nil
}

// stop ends what was started, last thing first.
func (s *starter) stop() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
	s.stops = nil
	os.RemoveAll(s.dir)
}

// run starts a process and ends it by its process ID at the end.
func (s *starter) run(name string, args ...string) error {
	cmd := exec.CommandContext(s.ctx, name, args...)
	cmd.Env = append(os.Environ(), "NODE_ENV=production")                    // as Postern's workers have it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // killed, nginx would leave its workers behind
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.last = cmd.Process.Pid
	s.stops = append(s.stops, func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	return nil
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port), nil
}

// add waits until a server answers and puts it on the list.
func (s *starter) add(srv server) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, srv.url, nil)
		if err != nil {
			return err
		}
		if srv.authorization != "" {
			req.Header.Set("Authorization", srv.authorization)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if srv.refuses && res.StatusCode == 401 || !srv.refuses && res.StatusCode == 200 && string(body) == `{"received":null}` {
				break
			}
			err = fmt.Errorf("it answers %d %s", res.StatusCode, body)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", srv.name, err)
		}
		<-time.After(50 * time.Millisecond)
	}
	s.list = append(s.list, srv)
	return nil
}

func (s *starter) bareNode() error { return s.nodes("node:http, no authentication", "1") }

func (s *starter) nodes(name, processes string) error {
	port, err := freePort()
	if err == nil {
		err = s.run("node", "bench/peers/node.mjs", port, processes)
	}
	if err != nil {
		return err
	}
	return s.add(server{name: name, url: "http://127.0.0.1:" + port + "/webhook", back: []int{s.last}})
}

func (s *starter) express() error {
	port, err := freePort()
	if err == nil {
		err = s.run("node", "bench/peers/express.mjs", port, user, password)
	}
	if err != nil {
		return err
	}
	return s.add(server{name: "Express 5 + Basic middleware", url: "http://127.0.0.1:" + port + "/webhook", authorization: basicAuth, back: []int{s.last}})
}

// framework is Google's, which every function of its cloud runs in.
func (s *starter) framework() error {
	port, err := freePort()
	if err == nil {
		err = s.run("node", "bench/node_modules/@google-cloud/functions-framework/build/src/main.js", "--target=webhook", "--source=bench/peers/framework", "--port="+port)
	}
	if err != nil {
		return err
	}
	return s.add(server{name: "functions-framework 5, no authentication", url: "http://127.0.0.1:" + port + "/webhook", back: []int{s.last}})
}

// backend is a bare node:http on a unix socket, behind a proxy.
func (s *starter) backend(name string) (socket string, err error) {
	socket = filepath.Join(s.dir, name+".sock")
	if err := s.run("node", "bench/peers/node.mjs", socket); err != nil {
		return "", err
	}
	for range 100 {
		if _, err = os.Stat(socket); err == nil {
			return socket, os.Chmod(socket, 0o777)
		}
		<-time.After(50 * time.Millisecond)
	}
	return "", err
}

func (s *starter) haproxy() error {
	socket, err := s.backend("haproxy")
	if err != nil {
		return err
	}
	back := s.last
	port, err := freePort()
	if err != nil {
		return err
	}
	config := filepath.Join(s.dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
  maxconn 1000
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
  http-reuse always
userlist callers
  user %s insecure-password %s
frontend in
  bind 127.0.0.1:%s
  http-request auth realm bench unless { http_auth(callers) }
  default_backend node
backend node
  server n unix@%s
`, user, password, port, socket)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	if err := s.run("haproxy", "-db", "-f", config); err != nil {
		return err
	}
	return s.add(server{name: "HAProxy + userlist → node:http", url: "http://127.0.0.1:" + port + "/webhook", authorization: basicAuth, front: []int{s.last}, back: []int{back}})
}

func (s *starter) nginx() error {
	socket, err := s.backend("nginx")
	if err != nil {
		return err
	}
	back := s.last
	port, err := freePort()
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(password))
	users := filepath.Join(s.dir, "users")
	config := filepath.Join(s.dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log %[1]s/nginx.err;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream node { server unix:%[2]s; keepalive 64; }
  server {
    listen 127.0.0.1:%[3]s; keepalive_requests 1000000000; client_body_buffer_size 128k;
    location / { auth_basic bench; auth_basic_user_file %[4]s; proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`, s.dir, socket, port, users)
	err = errors.Join(os.WriteFile(users, []byte(user+":{SHA}"+base64.StdEncoding.EncodeToString(sum[:])+"\n"), 0o644), os.WriteFile(config, []byte(text), 0o644))
	if err == nil {
		err = s.run("nginx", "-c", config, "-e", filepath.Join(s.dir, "nginx.err"))
	}
	if err != nil {
		return err
	}
	return s.add(server{name: "nginx + auth_basic (SHA) → node:http", url: "http://127.0.0.1:" + port + "/webhook", authorization: basicAuth, front: []int{s.last}, back: []int{back}})
}

// goAlone is Go's own server with a Basic check, answering by itself: the
// limit for a gateway built on it.
func (s *starter) goAlone() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	body := []byte(`{"received":null}`)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		if !ok || subtle.ConstantTimeCompare([]byte(u+p), []byte(user+password)) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})}
	go srv.Serve(ln)
	s.stops = append(s.stops, func() { srv.Close() })
	return s.add(server{name: "Go net/http + Basic, answering itself", url: "http://" + ln.Addr().String() + "/webhook", authorization: basicAuth})
}

func (s *starter) posternQuiet() error {
	return s.postern("Postern, access log off", "off")
}

func (s *starter) posternLogging() error {
	return s.postern("Postern, access log on (to a file)", "all")
}

// running is a Postern that was started.
type running struct {
	gateway, control string
	data, accessLog  string
	refusals         string            // of an address that do not wait, a second; "0": all
	settings         []string          // more of the command line
	env              map[string]string // the administrator's key, as it was printed
	cmd              *exec.Cmd
	ended            bool
}

func (p *running) pid() int { return p.cmd.Process.Pid }

func (p *running) end() {
	if !p.ended {
		p.ended = true
		p.cmd.Process.Signal(syscall.SIGTERM)
		p.cmd.Wait()
	}
}

// startPostern starts a server on a new data directory.
func (s *starter) startPostern(data, accessLog, refusals string, settings ...string) (*running, error) {
	p := &running{data: data, accessLog: accessLog, refusals: refusals, settings: settings, env: map[string]string{}}
	for _, address := range []*string{&p.gateway, &p.control} {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		*address = "http://127.0.0.1:" + port
	}
	out, err := s.serve(p)
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); len(p.env) < 4 && lines.Scan(); {
		if k, v, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "="); ok && strings.HasPrefix(k, "POSTERN_") {
			p.env[k] = v
		}
	}
	return p, nil
}

// startAgain starts a server on a data directory that one has used, and waits
// until it is ready.
func (s *starter) startAgain(p *running) (*running, error) {
	again := *p
	again.ended = false
	if _, err := s.serve(&again); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		res, err := http.Get(again.control + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return &again, nil
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("postern is not ready after a minute: %v", err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (s *starter) serve(p *running) (io.Reader, error) {
	log, err := os.OpenFile(filepath.Join(s.dir, "postern-"+p.accessLog+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(s.ctx, "bin/postern", append([]string{"serve", "--data", p.data, "--listen", strings.TrimPrefix(p.gateway, "http://"),
		"--control-listen", strings.TrimPrefix(p.control, "http://"), "--access-log", p.accessLog, "--refusals-per-address", p.refusals}, p.settings...)...)
	p.cmd.Stderr = log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start postern (run make build): %w", err)
	}
	s.stops = append(s.stops, func() { p.end(); log.Close() })
	return out, nil
}

// example has the guarded handler that is measured.
const example = "examples/protect"

// deploy deploys a function.
func (s *starter) deploy(p *running, dir string) error {
	deploy := exec.CommandContext(s.ctx, "bin/postern", "functions", "deploy", dir)
	deploy.Env = os.Environ()
	for k, v := range p.env {
		deploy.Env = append(deploy.Env, k+"="+v)
	}
	if text, err := deploy.CombinedOutput(); err != nil {
		return fmt.Errorf("deploy %s: %w: %s", dir, err, text)
	}
	return nil
}

// postern adds a server with the example deployed.
func (s *starter) postern(name, accessLog string) error {
	p, err := s.startPostern(filepath.Join(s.dir, "data-"+accessLog), accessLog, "0")
	if err == nil {
		err = s.deploy(p, example)
	}
	if err != nil {
		return err
	}
	url := p.gateway + "/fn/protect/webhook"
	id := p.env["POSTERN_KEY_ID"]
	if err := s.add(server{name: name, url: url, authorization: basicOf(id, p.env["POSTERN_KEY_SECRET"])}); err != nil || accessLog != "off" {
		return err
	}
	token, err := p.token(s.ctx)
	if err != nil {
		return err
	}
	if err := s.add(server{name: name + ", bearer token", url: url, authorization: "Bearer " + token}); err != nil {
		return err
	}
	return s.add(server{name: name + ", wrong secret: 401", url: url, authorization: basicOf(id, accesskey.NewSecret().Reveal()), refuses: true})
}

func basicOf(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}
