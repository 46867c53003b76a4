package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/config"
)

// clients is the folder of the npm packages that nobody here wrote, and of the
// tests that use them.
const clients = "../../test/clients"

// installation is a server within the test's process, so that the race
// detector sees it, with the function est deployed and one worker.
type installation struct {
	*app.Server
	key        app.Key
	algorithm  string // that signs tokens
	transcript        // the log
}

// install starts a server on free ports. What change does is not validated: a
// test may want tokens that live shorter than an operator may set.
func install(t *testing.T, change func(*config.Config)) *installation {
	t.Helper()
	cfg, err := config.Load(config.Input{Apart: true, Flags: map[string]string{"data": t.TempDir(), "listen": "127.0.0.1:0", "control-listen": "127.0.0.1:0", "workers": "1", "drain-timeout": "2s"}})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	in := &installation{algorithm: cfg.SigningAlgorithm}
	if in.Server, err = app.New(t.Context(), cfg, "test", in); err != nil {
		t.Fatal(err)
	}
	in.key = *in.FirstKey()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v\n%s", err, in.text())
		}
		if strings.Contains(in.text(), in.key.Secret.Reveal()) {
			t.Error("the secret is in the log")
		}
	})
	<-in.Ready()
	in.deploy(t, filepath.Join(clients, "functions/est"))
	return in
}

// deploy deploys a function from a directory.
func (in *installation) deploy(t *testing.T, dir string) {
	t.Helper()
	deploy := exec.CommandContext(t.Context(), binary, "functions", "deploy", dir)
	deploy.Env = append(os.Environ(), "HOME="+t.TempDir(), "POSTERN_SERVER="+in.ControlURL(), "POSTERN_PROJECT_ID="+in.key.ProjectID, "POSTERN_KEY_ID="+in.key.ID, "POSTERN_KEY_SECRET="+in.key.Secret.Reveal())
	if out, err := deploy.CombinedOutput(); err != nil {
		t.Fatalf("deploy: %v\n%s", err, out)
	}
}

// Clients of others, as they come from npm.
func TestClients_Npm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		files  []string
		change func(*config.Config)
	}{
		{"sinch sdk", []string{"sinch.test.mjs"}, nil},
		{"sinch sdk, tokens that expire", []string{"sinch_expiry.test.mjs"}, func(c *config.Config) { c.TokenLifetime = 4 * time.Second }},
		{"oauth4webapi and jose, EdDSA", []string{"oauth4webapi.test.mjs", "jose.test.mjs"}, nil},
		{"oauth4webapi and jose, ES256", []string{"oauth4webapi.test.mjs", "jose.test.mjs"}, func(c *config.Config) { c.SigningAlgorithm = "ES256" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			runNode(t, install(t, tc.change), tc.files...)
		})
	}
}

// The libraries of senders, against the gateway.
func TestClients_Senders(t *testing.T) {
	t.Parallel()
	in := install(t, nil)
	in.deploy(t, copied(t, "webhooks", sampleSecrets...))
	runNode(t, in, "senders.test.mjs")
}

// WebSockets of others on both sides of an upstream.
func TestClients_WebSocket(t *testing.T) {
	t.Parallel()
	runNode(t, install(t, nil), "websocket.test.mjs")
}

// runNode runs test files of the clients' folder, of which none may be skipped.
func runNode(t *testing.T, in *installation, files ...string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(clients, "node_modules")); err != nil {
		t.Fatalf("%v: run scripts/install-test-tools, or npm ci --ignore-scripts in test/clients", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-reporter=tap"}, files...)...)
	cmd.Dir = clients
	cmd.Env = append(os.Environ(), "CLIENTS_ALGORITHM="+in.algorithm, "CLIENTS_GATEWAY="+in.GatewayURL(), "CLIENTS_CONTROL="+in.ControlURL(), "CLIENTS_PROJECT_ID="+in.key.ProjectID, "CLIENTS_KEY_ID="+in.key.ID, "CLIENTS_KEY_SECRET="+in.key.Secret.Reveal())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for outcome, ok := range map[string]func(int) bool{
		"pass":    func(n int) bool { return n >= 3*len(files) },
		"skipped": func(n int) bool { return n == 0 },
		"todo":    func(n int) bool { return n == 0 },
	} {
		m := regexp.MustCompile(`(?m)^# ` + outcome + ` (\d+)$`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("no count of %s\n%s", outcome, out)
		}
		if n, _ := strconv.Atoi(string(m[1])); !ok(n) {
			t.Errorf("%s %d\n%s", outcome, n, out)
		}
	}
}
