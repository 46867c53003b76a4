package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/config"
)

// environ is an environment of its own, so that tests see nothing of ours.
func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad_StrongestSourceWins(t *testing.T) {
	t.Parallel()
	path := write(t, "queue: 1\nworkers: 2\ntimeout: 3s\nbase-domain: file.example\n")
	c, err := config.Load(config.Input{
		File:    path,
		Flags:   map[string]string{"queue": "100", "data": "/srv/p"},
		Environ: environ("POSTERN_QUEUE", "50", "POSTERN_WORKERS", "7", "POSTERN_BASE_DOMAIN", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Queue, c.Workers, c.Timeout, c.BaseDomain, c.Listen, c.Database, c.LogLevel}
	want := []any{100, 7, 3 * time.Second, "file.example", "127.0.0.1:8080", "sqlite:///srv/p/postern.db", slog.LevelInfo}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	origins := []string{c.Origin("queue").String(), c.Origin("workers").String(), c.Origin("timeout").String(), c.Origin("base-domain").String(), c.Origin("listen").String()}
	if d := cmp.Diff([]string{"flag --queue", "environment POSTERN_WORKERS", "file " + path, "file " + path, "default"}, origins); d != "" {
		t.Error(d)
	}
}

// A variable that OpenTelemetry defines counts where nothing of ours is set.
func TestLoad_StandardVariable(t *testing.T) {
	t.Parallel()
	const standard = "OTEL_EXPORTER_OTLP_ENDPOINT"
	path := write(t, "trace-endpoint: http://file:4318/otlp\n")
	for name, tt := range map[string]struct {
		in           config.Input
		want, origin string
	}{
		"nothing":         {config.Input{Environ: environ(standard, "")}, "", "default"},
		"alone":           {config.Input{Environ: environ(standard, "http://standard:4318")}, "http://standard:4318", "environment " + standard},
		"under a file":    {config.Input{File: path, Environ: environ(standard, "http://standard:4318")}, "http://file:4318/otlp", "file " + path},
		"under ours":      {config.Input{Environ: environ(standard, "http://standard:4318", "POSTERN_TRACE_ENDPOINT", "https://ours")}, "https://ours", "environment POSTERN_TRACE_ENDPOINT"},
		"under off":       {config.Input{Flags: map[string]string{"trace-endpoint": ""}, Environ: environ(standard, "http://standard:4318")}, "", "flag --trace-endpoint"},
		"no such as ours": {config.Input{Environ: environ("", "x")}, "", "default"},
	} {
		if tt.in.Flags == nil {
			tt.in.Flags = map[string]string{}
		}
		tt.in.Flags["data"] = "/d"
		c, err := config.Load(tt.in)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := c.Origin("trace-endpoint").String(); c.TraceEndpoint != tt.want || got != tt.origin || c.TraceSample != 0.01 || c.TraceParent != "ignore" {
			t.Errorf("%s: %q from %s, %v, %s", name, c.TraceEndpoint, got, c.TraceSample, c.TraceParent)
		}
	}
}

func TestLoad_DataDirectory(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Input{Flags: map[string]string{"data": "relative/dir"}, Environ: environ()})
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(c.Data) || !strings.HasSuffix(c.Data, "/relative/dir") {
		t.Errorf("data = %q, want it absolute", c.Data)
	}
	if want := "sqlite://" + c.Data + "/postern.db"; c.Database != want {
		t.Errorf("database = %q, want %q", c.Database, want)
	}
}

func TestLoad_TrustedProxies(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "",
		"10.0.0.0/8":                  "10.0.0.0/8",
		" 10.1.2.3/8, 192.0.2.7 ,":    "10.0.0.0/8,192.0.2.7/32",
		"2001:db8::1,2001:db8:1::/48": "2001:db8::1/128,2001:db8:1::/48",
		"::ffff:10.0.0.0/104":         "10.0.0.0/8",
		"::ffff:192.0.2.7":            "192.0.2.7/32",
	} {
		c, err := config.Load(config.Input{Flags: map[string]string{"data": "/d", "trusted-proxies": text}, Environ: environ()})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Settings() {
			if s.Key == "trusted-proxies" && s.Value != want {
				t.Errorf("%q is %q, want %q", text, s.Value, want)
			}
		}
	}
}

func TestLoad_Apart(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Input{
		Flags:   map[string]string{"data": "/throw/away"},
		Environ: environ("POSTERN_DATABASE", "postgres://production/db", "POSTERN_NODE", "/opt/node", "POSTERN_CONFIG", "/nowhere", "POSTERN_KEY_SECRET", "psk_x", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector"),
		Apart:   true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"sqlite:///throw/away/postern.db", "/opt/node", "", ""}, []string{c.Database, c.Node, c.KeySecret.Reveal(), c.TraceEndpoint}); d != "" {
		t.Error(d)
	}
}

func TestLoad_RefusesWithKeyAndHint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		file       string
		flags, env []string
		want       []string // "key: text | hint", in order
	}{
		{"port too large", "", []string{"listen", "127.0.0.1:70000"}, nil, []string{"listen: --listen must be host:port with a port from 0 to 65535 | write --listen as 127.0.0.1:8080 or :8080"}},
		{"no port", "", nil, []string{"POSTERN_CONTROL_LISTEN", "localhost"}, []string{"control-listen: POSTERN_CONTROL_LISTEN must be host:port with a port from 0 to 65535 | write POSTERN_CONTROL_LISTEN as 127.0.0.1:8081"}},
		{"both doors alike", "", []string{"listen", ":9000", "control-listen", ":9000"}, nil, []string{"control-listen: --control-listen is the same address as listen; the two doors are kept apart | give --control-listen another port"}},
		{"number", "", nil, []string{"POSTERN_WORKERS", "many"}, []string{"workers: POSTERN_WORKERS must be a whole number | change POSTERN_WORKERS"}},
		{"a cache that is none", "", []string{"cache-url", "http://127.0.0.1"}, nil, []string{"cache-url: --cache-url must begin with redis:// or rediss:// and name a host | write --cache-url as redis://:password@127.0.0.1:6379/0"}},
		{"a storage with its credentials", "", []string{"storage-url", "s3://id:secret@bucket"}, nil, []string{"storage-url: --storage-url must begin with s3:// and name a bucket, or with file:/// and name a directory | write --storage-url as s3://bucket?region=eu-central-1; the bucket's credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}},
		{"number out of range", "workers: 0\n", nil, nil, []string{"workers: workers in FILE must be between 1 and 1024 | change workers in FILE"}},
		{"length of time", "", []string{"timeout", "30"}, nil, []string{`timeout: --timeout must be a length of time such as "500ms", "30s" or "15m" | change --timeout`}},
		{"token that lives too short", "", []string{"token-lifetime", "59s"}, nil, []string{"token-lifetime: --token-lifetime must be between 1m and 24h | change --token-lifetime"}},
		{"token that lives too long", "token-lifetime: 25h\n", nil, nil, []string{"token-lifetime: token-lifetime in FILE must be between 1m and 24h | change token-lifetime in FILE"}},
		{"negative time", "", []string{"drain-timeout", "-1s"}, nil, []string{"drain-timeout: --drain-timeout must be between 0s and 24h | change --drain-timeout"}},
		{"choice", "access-log: some\n", nil, nil, []string{"access-log: access-log in FILE must be one of all, errors, off | change access-log in FILE"}},
		{"level", "", []string{"log-level", "loud"}, nil, []string{"log-level: --log-level must be one of debug, info, warn, error | change --log-level"}},
		{"certificate without key", "", []string{"tls-cert", "c.pem"}, nil, []string{"tls-cert: --tls-cert and tls-key must be given together | give both --tls-cert and --tls-key, or neither"}},
		{"domain with port", "", []string{"base-domain", "example.org:8080"}, nil, []string{"base-domain: --base-domain must be a domain name in lower case, without a port | write --base-domain as functions.example.org"}},
		{"server without scheme", "", nil, []string{"POSTERN_SERVER", "127.0.0.1:8081"}, []string{"server: POSTERN_SERVER must begin with http:// or https:// and have no path, query or user | write POSTERN_SERVER as http://127.0.0.1:8081"}},
		{"password in the server's URL", "", nil, []string{"POSTERN_SERVER", "http://a:b@h"}, []string{"server: POSTERN_SERVER must begin with http:// or https:// and have no path, query or user | write POSTERN_SERVER as http://127.0.0.1:8081"}},
		{"database", "", []string{"database", "mysql://x"}, nil, []string{"database: --database must begin with sqlite:/// or postgres:// | write --database as postgres://user@host/database"}},
		{"proxies that are none", "", []string{"trusted-proxies", "10.0.0.0/8,proxy"}, nil, []string{"trusted-proxies: --trusted-proxies must be networks and addresses such as 10.0.0.0/8,192.0.2.7 | change --trusted-proxies"}},
		{"everybody a proxy", "trusted-proxies: 0.0.0.0/0\n", nil, nil, []string{"trusted-proxies: trusted-proxies in FILE may not be everybody | change trusted-proxies in FILE"}},
		{"everybody a proxy, as IPv6", "", []string{"trusted-proxies", "::ffff:0.0.0.0/96"}, nil, []string{"trusted-proxies: --trusted-proxies may not be everybody | change --trusted-proxies"}},
		{"no connections", "", []string{"max-connections", "0"}, nil, []string{"max-connections: --max-connections must be between 1 and 1048576 | change --max-connections"}},
		{"ratio above 1", "", []string{"trace-sample", "1.1"}, nil, []string{"trace-sample: --trace-sample must be a number from 0 to 1 | change --trace-sample"}},
		{"ratio that is no number", "trace-sample: .nan\n", nil, nil, []string{"trace-sample: trace-sample in FILE must be a number from 0 to 1 | change trace-sample in FILE"}},
		{"collector's password", "", nil, []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:b@c"}, []string{"trace-endpoint: OTEL_EXPORTER_OTLP_ENDPOINT must begin with http:// or https:// and have no query or user | write OTEL_EXPORTER_OTLP_ENDPOINT as http://127.0.0.1:4318; a collector's key goes into OTEL_EXPORTER_OTLP_HEADERS"}},
		{"collector without scheme", "", []string{"trace-endpoint", "localhost:4317"}, nil, []string{"trace-endpoint: --trace-endpoint must begin with http:// or https:// and have no query or user | write --trace-endpoint as http://127.0.0.1:4318; a collector's key goes into OTEL_EXPORTER_OTLP_HEADERS"}},
		{"unknown key", "lissten: :1\n", nil, nil, []string{`lissten: file FILE has a setting "lissten", which does not exist | did you mean "listen"?`}},
		{"nested", "tls:\n  cert: a\nqueue: [1]\n", nil, nil, []string{`queue: "queue" in FILE must be a single value | write it as queue: <value>`, "tls: file FILE has a setting \"tls\", which does not exist | run `postern config show` to see every setting"}},
		{"not YAML", "a: b: c\n", nil, nil, []string{"config: file FILE cannot be read: mapping values are not allowed in this context | correct the file, or leave out --config"}},
		{"all at once", "queue: x\n", []string{"listen", "x"}, []string{"POSTERN_TIMEOUT", "0s"}, []string{
			"queue: queue in FILE must be a whole number | change queue in FILE",
			"listen: --listen must be host:port with a port from 0 to 65535 | write --listen as 127.0.0.1:8080 or :8080",
			"timeout: POSTERN_TIMEOUT must be between 1ms and 24h | change POSTERN_TIMEOUT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := config.Input{Flags: map[string]string{"data": "/d"}, Environ: environ(tt.env...)}
			for i := 0; i < len(tt.flags); i += 2 {
				in.Flags[tt.flags[i]] = tt.flags[i+1]
			}
			if tt.file != "" {
				in.File = write(t, tt.file)
			}
			_, err := config.Load(in)
			e, ok := errors.AsType[*config.Error](err)
			if !ok {
				t.Fatalf("Load = %v, want *config.Error", err)
			}
			var got []string
			for _, p := range e.Problems {
				line := p.Key + ": " + p.Text + " | " + p.Hint
				if in.File != "" {
					line = strings.ReplaceAll(line, in.File, "FILE")
				}
				got = append(got, line)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLoad_MissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Input{Environ: environ("POSTERN_CONFIG", "/nowhere/p.yaml", "HOME", "/h")})
	if err == nil || !strings.Contains(err.Error(), "there is no file /nowhere/p.yaml") {
		t.Errorf("Load = %v", err)
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	const secret = "psk_verysecret"
	c, err := config.Load(config.Input{
		Flags:   map[string]string{"data": "/d", "database": "postgres://u:hunter2@h/db?password=hunter2"},
		Environ: environ("POSTERN_KEY_SECRET", secret)})
	if err != nil {
		t.Fatal(err)
	}
	if c.KeySecret.Reveal() != secret {
		t.Error("the secret itself is lost")
	}
	text, _ := c.KeySecret.MarshalText()
	shown := fmt.Sprintf("%v %+v %#v %s %s %s", c.Settings(), c.KeySecret, c.KeySecret, c.KeySecret, text, c.KeySecret.LogValue())
	for _, s := range []string{secret, "hunter2"} {
		if strings.Contains(shown, s) {
			t.Errorf("%q is shown in %s", s, shown)
		}
	}
}

func TestFields_NoFlagForSecrets(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range config.Fields() {
		if seen[f.Key] || f.Usage == "" {
			t.Errorf("field %q is listed twice or has no usage", f.Key)
		}
		seen[f.Key] = true
		if f.Flag == (strings.HasSuffix(f.Key, "secret") || strings.Contains(f.Key, "passphrase")) {
			t.Errorf("field %q: Flag = %v", f.Key, f.Flag)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d fields", len(seen))
	}
}
