package config

import (
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// Part says which commands a setting is for.
type Part uint8

const (
	Serving Part = iota // the server's
	Calling             // the commands' that talk to one
)

// Field describes one setting to the command line.
type Field struct {
	Key   string // also the flag's name
	Usage string
	Part  Part
	// Flag is false for secrets: a process list shows what is on a command line.
	Flag     bool
	Variable string // that sets it
}

// Fields lists the settings in their documented order.
func Fields() []Field {
	list := make([]Field, 0, len(fields))
	for i := range fields {
		f := &fields[i]
		list = append(list, Field{f.key, f.usage, f.part, !f.secret, variable(f.key)})
	}
	return list
}

// field is one row of the table that everything here is driven by.
type field struct {
	key    string
	usage  string
	part   Part
	secret bool
	// standard is a variable that others define and that counts where nothing of
	// ours is set; empty: none.
	standard string
	preset   func(*Config) string // the default; sees the fields above it
	value    func(*Config) value
	stored   func(Profile) string // what a profile remembers of it; nil: nothing
}

// value gives access to one field of a Config by text.
type value interface {
	Set(string) error // refuses what is not of the field's type
	String() string
}

func fixed(s string) func(*Config) string { return func(*Config) string { return s } }

// fields is read only. "data" stands before "database", whose default needs it,
// and "profile" before what a profile remembers.
var fields = [...]field{
	{key: "data", usage: "directory that holds everything the server keeps", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.Data) }},
	{key: "listen", usage: "address of the gateway", preset: fixed("127.0.0.1:8080"), value: func(c *Config) value { return (*text)(&c.Listen) }},
	{key: "control-listen", usage: "address of the control plane", preset: fixed("127.0.0.1:8081"), value: func(c *Config) value { return (*text)(&c.ControlListen) }},
	{key: "trusted-proxies", usage: "networks of the proxies in front, separated by commas, whose X-Forwarded-For is believed", preset: fixed(""), value: func(c *Config) value { return (*networks)(&c.TrustedProxies) }},
	{key: "max-connections", usage: "most connections that each listener has open", preset: fixed("20000"), value: func(c *Config) value { return (*number)(&c.MaxConnections) }},
	{key: "max-connections-per-address", usage: "most of them of one address, trusted proxies excepted; 0: no bound", preset: fixed("0"), value: func(c *Config) value { return (*number)(&c.MaxPerAddress) }},
	{key: "refusals-per-address", usage: "refusals a second that an address gets at once, and more of them after a second; 0: all at once", preset: fixed("100"), value: func(c *Config) value { return (*number)(&c.RefusalsPerAddress) }},
	{key: "base-domain", usage: "functions answer at <name>.<base domain>", preset: fixed("localhost"), value: func(c *Config) value { return (*text)(&c.BaseDomain) }},
	{key: "public-url", usage: "URL at which callers reach the gateway, if not its own address", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.PublicURL) }},
	{key: "issuer", usage: "URL at which clients reach the control plane, which its tokens name, if not its own address", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.Issuer) }},
	{key: "signing-algorithm", usage: "of the keys that sign access tokens: EdDSA or ES256", preset: fixed("EdDSA"), value: func(c *Config) value { return choice{&c.SigningAlgorithm, []string{"EdDSA", "ES256"}} }},
	{key: "signing-key-lifetime", usage: "after how long such a key is replaced", preset: fixed("720h"), value: func(c *Config) value { return (*period)(&c.SigningKeyLifetime) }},
	{key: "trusted-issuers", usage: "JSON file of other issuers whose tokens open guarded handlers", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.TrustedIssuers) }},
	{key: "token-lifetime", usage: "how long an access token lives", preset: fixed("1h"), value: func(c *Config) value { return (*period)(&c.TokenLifetime) }},
	{key: "new-admin-key", usage: "make another administrator's key of this name at start and show it; for when the secret is lost", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.NewAdminKey) }},
	{key: "database", usage: "sqlite:///path or postgres://… (default: SQLite in the data directory)", preset: databaseIn, value: func(c *Config) value { return (*text)(&c.Database) }},
	{key: "tls-cert", usage: "PEM file with the certificate chain", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.TLSCert) }},
	{key: "tls-key", usage: "PEM file with the certificate's key", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.TLSKey) }},
	{key: "node", usage: "Node.js program, 20 or newer", preset: fixed("node"), value: func(c *Config) value { return (*text)(&c.Node) }},
	{key: "workers", usage: "most workers of one deployment (default: the number of cores)", preset: cores, value: func(c *Config) value { return (*number)(&c.Workers) }},
	{key: "worker-memory", usage: "MiB that one worker may use where its manifest sets nothing; 0: as much as there is", preset: fixed("1024"), value: func(c *Config) value { return (*number)(&c.WorkerMemory) }},
	{key: "max-in-flight", usage: "most calls that one worker has at a time", preset: fixed("256"), value: func(c *Config) value { return (*number)(&c.MaxInFlight) }},
	{key: "max-sockets", usage: "most WebSockets that one worker has at a time", preset: fixed("10000"), value: func(c *Config) value { return (*number)(&c.MaxSockets) }},
	{key: "socket-message", usage: "longest message that a function's WebSocket takes, in bytes", preset: fixed("1048576"), value: func(c *Config) value { return (*number)(&c.SocketMessage) }},
	{key: "socket-ping", usage: "how long a WebSocket is silent before its client is asked whether it is there", preset: fixed("30s"), value: func(c *Config) value { return (*period)(&c.SocketPing) }},
	{key: "rollback-errors", usage: "percentage points by which more calls of a candidate may fail than of the active version, before it is ended; 0: it never is", preset: fixed("5"), value: func(c *Config) value { return (*number)(&c.RollbackErrors) }},
	{key: "queue", usage: "most calls that wait for a worker of one deployment", preset: fixed("1024"), value: func(c *Config) value { return (*number)(&c.Queue) }},
	{key: "queue-timeout", usage: "how long one of them waits", preset: fixed("10s"), value: func(c *Config) value { return (*period)(&c.QueueTimeout) }},
	{key: "start-timeout", usage: "how long a worker may take to be ready", preset: fixed("10s"), value: func(c *Config) value { return (*period)(&c.StartTimeout) }},
	{key: "idle-timeout", usage: "after how long without calls a worker is stopped; 0 keeps it", preset: fixed("15m"), value: func(c *Config) value { return (*period)(&c.IdleTimeout) }},
	{key: "timeout", usage: "how long a handler may take where its manifest sets nothing", preset: fixed("30s"), value: func(c *Config) value { return (*period)(&c.Timeout) }},
	{key: "drain-timeout", usage: "how long calls in flight may take once the server stops", preset: fixed("15s"), value: func(c *Config) value { return (*period)(&c.DrainTimeout) }},
	{key: "basic-rate", usage: "most control-plane calls a second of one key that shows its secret instead of a token", preset: fixed("10"), value: func(c *Config) value { return (*number)(&c.BasicRate) }},
	{key: "basic-burst", usage: "how many of them may come at once", preset: fixed("20"), value: func(c *Config) value { return (*number)(&c.BasicBurst) }},
	{key: "audit-retention", usage: "how long audit events are kept", preset: fixed("2160h"), value: func(c *Config) value { return (*period)(&c.AuditRetention) }},
	{key: "audit-events", usage: "most audit events that are kept; at most half of them refusals", preset: fixed("1000000"), value: func(c *Config) value { return (*number)(&c.AuditEvents) }},
	{key: "usage-retention", usage: "how long usage is kept", preset: fixed("9600h"), value: func(c *Config) value { return (*period)(&c.UsageRetention) }},
	{key: "usage-memory", usage: "memory that GB-seconds reckon a worker at, in MiB", preset: fixed("128"), value: func(c *Config) value { return (*number)(&c.UsageMemory) }},
	{key: "tunnels", usage: "most tunnels at a time from functions on developers' machines; 0: none are opened", preset: fixed("100"), value: func(c *Config) value { return (*number)(&c.Tunnels) }},
	{key: "tunnels-per-project", usage: "most of them of one project", preset: fixed("5"), value: func(c *Config) value { return (*number)(&c.TunnelsPerProject) }},
	{key: "tunnel-idle", usage: "after how long without calls a tunnel is closed", preset: fixed("15m"), value: func(c *Config) value { return (*period)(&c.TunnelIdle) }},
	{key: "tunnel-lifetime", usage: "how long a tunnel stands at most", preset: fixed("1h"), value: func(c *Config) value { return (*period)(&c.TunnelLifetime) }},
	{key: "tunnel-timeout", usage: "how long a call through a tunnel waits for its answer to begin, and to go on", preset: fixed("30s"), value: func(c *Config) value { return (*period)(&c.TunnelTimeout) }},
	{key: "tunnel-body", usage: "most that the body of such a call has, in MiB", preset: fixed("100"), value: func(c *Config) value { return (*number)(&c.TunnelBody) }},
	{key: "cache-url", usage: "redis://… or rediss://… of a Valkey or Redis that keeps the functions' caches for all nodes (default: the database, or a file beside it)", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.CacheURL) }},
	{key: "cache-entries", usage: "most entries of one function's cache", preset: fixed("100000"), value: func(c *Config) value { return (*number)(&c.CacheEntries) }},
	{key: "cache-size", usage: "most that one function's cache holds, in MiB", preset: fixed("64"), value: func(c *Config) value { return (*number)(&c.CacheSize) }},
	{key: "database-copy", usage: "how long after a change a function's own database is copied", preset: fixed("10s"), value: func(c *Config) value { return (*period)(&c.DatabaseCopy) }},
	{key: "secrets-key", usage: "what seals the functions' secrets: file:/path, awskms://KEY?region=… or hashivault://KEY (default: a key derived from the installation's)", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.SecretsKey) }},
	{key: "secrets-key-before", usage: "what sealed them until now, where that is another key; \"derived\" names the default", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.SecretsKeyBefore) }},
	{key: "storage-url", usage: "s3://bucket?… or file:///path where the functions' storage is kept (default: in the data directory)", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.StorageURL) }},
	{key: "storage-object-size", usage: "most that one object of a function's storage has, in MiB", preset: fixed("100"), value: func(c *Config) value { return (*number)(&c.StorageObjectSize) }},
	{key: "storage-objects", usage: "most objects in one function's storage", preset: fixed("100000"), value: func(c *Config) value { return (*number)(&c.StorageObjects) }},
	{key: "storage-size", usage: "most that one function's storage holds, in MiB", preset: fixed("10240"), value: func(c *Config) value { return (*number)(&c.StorageSize) }},
	{key: "log-level", usage: "debug, info, warn or error", preset: fixed("info"), value: func(c *Config) value { return (*level)(&c.LogLevel) }},
	{key: "log-format", usage: "text or json", preset: fixed("text"), value: func(c *Config) value { return choice{&c.LogFormat, []string{"text", "json"}} }},
	{key: "access-log", usage: "all, errors or off", preset: fixed("all"), value: func(c *Config) value { return choice{&c.AccessLog, []string{"all", "errors", "off"}} }},
	{key: "metrics", usage: "who may read /metrics: loopback or any", preset: fixed("loopback"), value: func(c *Config) value { return choice{&c.Metrics, []string{"loopback", "any"}} }},
	{key: "trace-endpoint", usage: "URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; empty: none are made", standard: "OTEL_EXPORTER_OTLP_ENDPOINT", preset: fixed(""), value: func(c *Config) value { return (*text)(&c.TraceEndpoint) }},
	{key: "trace-sample", usage: "which part of the requests is traced, from 0 to 1", preset: fixed("0.01"), value: func(c *Config) value { return (*part)(&c.TraceSample) }},
	{key: "trace-parent", usage: "what becomes of a caller's traceparent: ignore, link or follow", preset: fixed("ignore"), value: func(c *Config) value { return choice{&c.TraceParent, []string{"ignore", "link", "follow"}} }},
	{key: "profile", usage: "name under which auth login remembers a key", part: Calling, preset: func(c *Config) string { return c.stored.Current }, value: func(c *Config) value { return (*text)(&c.Profile) }},
	{key: "server", usage: "URL of the control plane", part: Calling, preset: fixed("http://127.0.0.1:8081"), value: func(c *Config) value { return (*text)(&c.Server) }, stored: func(p Profile) string { return p.Server }},
	{key: "project-id", usage: "project to work on", part: Calling, preset: fixed(""), value: func(c *Config) value { return (*text)(&c.ProjectID) }, stored: func(p Profile) string { return p.ProjectID }},
	{key: "key-id", usage: "ID of the access key to work with", part: Calling, preset: fixed(""), value: func(c *Config) value { return (*text)(&c.KeyID) }, stored: func(p Profile) string { return p.KeyID }},
	{key: "key-secret", usage: "secret of that access key", part: Calling, secret: true, preset: fixed(""), value: func(c *Config) value { return &c.KeySecret }},
	{key: "keychain", usage: "where auth login keeps the secret: system or file", part: Calling, preset: fixed("system"), value: func(c *Config) value { return choice{&c.Keychain, []string{"system", "file"}} }, stored: func(p Profile) string { return p.Keychain }},
	{key: "keychain-passphrase", usage: "passphrase of the keychain where that is a file", part: Calling, secret: true, preset: fixed(""), value: func(c *Config) value { return &c.KeychainPassphrase }},
}

func cores(*Config) string { return strconv.Itoa(runtime.GOMAXPROCS(0)) }

func databaseIn(c *Config) string {
	if c.Data == "" {
		return ""
	}
	return "sqlite://" + filepath.Join(c.Data, "postern.db")
}

type text string

func (t *text) Set(s string) error { *t = text(s); return nil }
func (t *text) String() string     { return string(*t) }

// Set stores the secret.
func (s *Secret) Set(v string) error { s.text = v; return nil }

type number int

func (n *number) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil {
		return errText("must be a whole number")
	}
	*n = number(v)
	return nil
}
func (n *number) String() string { return strconv.Itoa(int(*n)) }

type part float64

func (p *part) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return errText("must be a number from 0 to 1")
	}
	*p = part(v)
	return nil
}
func (p *part) String() string { return strconv.FormatFloat(float64(*p), 'f', -1, 64) }

type period time.Duration

func (p *period) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return errText(`must be a length of time such as "500ms", "30s" or "15m"`)
	}
	*p = period(v)
	return nil
}
func (p *period) String() string { return time.Duration(*p).String() }
