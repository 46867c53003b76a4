// Package config resolves the settings of the server and of the command line
// into one [Config]: flags win over POSTERN_* variables, these over the file,
// the file over the profile of `postern auth login`, and that over the defaults.
//
// Each setting has one name in three spellings: "drain-timeout" in the file,
// --drain-timeout on the command line, POSTERN_DRAIN_TIMEOUT in the
// environment. [Fields] lists them all. This is the only package that reads the
// environment; the others take their own small options.
//
// A Config that [Load] returned has been validated as a whole.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Config holds every setting. The zero value is of no use; take one from [Load].
type Config struct {
	// Data is the directory that holds everything the server keeps.
	Data string
	// Listen is the address of the gateway, host:port; port 0 takes a free one.
	Listen string
	// ControlListen is the address of the control plane.
	ControlListen string
	// TrustedProxies are the networks of the proxies in front of the listeners
	// whose word on who called them is believed. Empty: nobody's.
	TrustedProxies []netip.Prefix
	// MaxConnections is the most connections that each listener has open, and
	// MaxPerAddress the most of one address; 0: no bound.
	MaxConnections, MaxPerAddress int
	// RefusalsPerAddress is how many refusals a second the gateway gives an
	// address at once; more of them wait. 0: none does.
	RefusalsPerAddress int
	// BaseDomain is the domain below which functions answer by host name.
	BaseDomain string
	// PublicURL is where callers reach the gateway when that is not its own
	// address: behind a load balancer. Empty: derived from Listen.
	PublicURL string
	// Issuer names this installation in its access tokens; the control plane's
	// URL as clients reach it. Empty: derived from ControlListen.
	Issuer string
	// SigningAlgorithm is that of new signing keys: "EdDSA" or "ES256".
	SigningAlgorithm string
	// SigningKeyLifetime is after how long a signing key is replaced.
	SigningKeyLifetime time.Duration
	// TrustedIssuers names a JSON file that lists other issuers whose tokens
	// open guarded handlers. Empty: none.
	TrustedIssuers string
	// TokenLifetime is how long an access token lives, unless its key ends before.
	TokenLifetime time.Duration
	// NewAdminKey is the name of another administrator's key to make at start;
	// for when the secret of the first is lost. Empty: none.
	NewAdminKey string
	// DatabaseCopy is how long after a change a function's own database is copied.
	DatabaseCopy time.Duration
	// Database is the DSN of the store; it may hold a password.
	Database string
	// TLSCert and TLSKey name PEM files; both empty: plain HTTP.
	TLSCert, TLSKey string
	// Node is the Node.js program: a path, or a name to look up in PATH.
	Node string
	// Workers is the most workers that one deployment runs at a time.
	Workers int
	// WorkerMemory is what one worker may use, in MiB, where its manifest sets
	// nothing; 0: no limit.
	WorkerMemory int
	// MaxInFlight is the most invocations that one worker has at a time.
	MaxInFlight int
	// MaxSockets is the most WebSockets that one worker has at a time.
	MaxSockets int
	// SocketMessage is the longest message that a function's WebSocket takes.
	SocketMessage int
	// SocketPing is how long one is silent before its client is asked whether it
	// is there.
	SocketPing time.Duration
	// RollbackErrors is by how many percentage points more calls of a candidate may
	// fail than of the active version, before it is ended; 0: it never is.
	RollbackErrors int
	// Queue is the most requests that wait for a worker of one deployment.
	Queue int
	// QueueTimeout is how long one of them waits.
	QueueTimeout time.Duration
	// StartTimeout is how long a worker may take until it is ready.
	StartTimeout time.Duration
	// IdleTimeout is after how long without requests a worker is stopped; 0 keeps it.
	IdleTimeout time.Duration
	// Timeout is how long a handler may take where the manifest sets nothing.
	Timeout time.Duration
	// DrainTimeout is how long requests in flight may take once the server stops.
	DrainTimeout time.Duration
	// BasicRate and BasicBurst bound how often one key may show its bare secret
	// to the control plane: so many calls a second, so many at once.
	BasicRate, BasicBurst int
	// AuditRetention is how long audit events are kept, and AuditEvents how many
	// are at most.
	AuditRetention time.Duration
	AuditEvents    int
	// UsageRetention is how long usage is kept, and UsageMemory what GB-seconds
	// reckon a worker at, in MiB.
	UsageRetention time.Duration
	UsageMemory    int
	// Tunnels is the most tunnels at a time, 0: none, and TunnelsPerProject the
	// most of one project. One without a call for TunnelIdle is closed, and each
	// after TunnelLifetime. A call through one may wait TunnelTimeout for its
	// answer and have a body of TunnelBody MiB.
	Tunnels, TunnelsPerProject                int
	TunnelIdle, TunnelLifetime, TunnelTimeout time.Duration
	TunnelBody                                int
	// CacheURL is where the functions' caches are kept; it may hold a password.
	// Empty: in the database, or in a file beside it.
	CacheURL string
	// CacheEntries and CacheSize, in MiB, are the most that one function has in
	// its cache.
	CacheEntries, CacheSize int
	// SecretsKey is what seals the data keys of functions' secrets; empty: a key
	// derived from the installation's. SecretsKeyBefore is what sealed them until
	// now; empty: the same.
	SecretsKey, SecretsKeyBefore string
	// StorageURL is where the bytes of the functions' storage are kept. Empty: in
	// the data directory.
	StorageURL string
	// StorageObjectSize, in MiB, is the most that one object has; StorageObjects
	// and StorageSize, in MiB, are the most that one function has.
	StorageObjectSize, StorageObjects, StorageSize int
	// LogLevel is the least level that the server logs.
	LogLevel slog.Level
	// LogFormat is "text" or "json".
	LogFormat string
	// AccessLog is "all", "errors" or "off".
	AccessLog string
	// Metrics says who may read /metrics: "loopback" or "any".
	Metrics string
	// TraceEndpoint is the URL of a collector of traces; empty: none are made.
	TraceEndpoint string
	// TraceSample is which part of the requests is traced, and TraceParent what
	// becomes of a caller's trace: "ignore", "link" or "follow".
	TraceSample float64
	TraceParent string

	// Profile is the name under which `postern auth login` remembers a key.
	Profile string
	// Server is the URL of the control plane that the commands talk to.
	Server string
	// ProjectID, KeyID and KeySecret are the commands' credential. KeySecret is
	// never taken from a profile; package cli asks the keychain.
	ProjectID, KeyID string
	KeySecret        Secret
	// Keychain says where `postern auth login` puts secrets: "system" or "file".
	Keychain string
	// KeychainPassphrase opens the keychain where that is a file; empty: ask.
	KeychainPassphrase Secret

	origins map[string]Origin
	userDir string // of the user's settings; empty where that is not known
	stored  profiles
}

// Secret is a text that formats as [redacted] wherever it is printed.
type Secret struct{ text string }

// Reveal returns the text, for the one place that needs it.
func (s Secret) Reveal() string { return s.text }

// String hides the text; empty stays empty, so that "not set" can be seen.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "[redacted]"
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the text from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Origin says where a setting's value was taken from.
type Origin struct {
	Source Source
	Name   string // the flag, variable, file or profile; empty for a default
}

// String is the origin as `postern config show` prints it.
func (o Origin) String() string {
	if o.Name == "" {
		return string(o.Source)
	}
	return string(o.Source) + " " + o.Name
}

// Source is a class of origins.
type Source string

// The sources, weakest first.
const (
	FromDefault     Source = "default"
	FromProfile     Source = "profile"
	FromFile        Source = "file"
	FromEnvironment Source = "environment"
	FromFlag        Source = "flag"
)

// Origin returns where the setting of that key came from.
func (c *Config) Origin(key string) Origin { return c.origins[key] }

// Setting is one row of what `postern config show` prints.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// Settings lists all settings in their documented order, secrets and the
// password of a database redacted.
func (c *Config) Settings() []Setting {
	rows := make([]Setting, 0, len(fields))
	for i := range fields {
		f := &fields[i]
		rows = append(rows, Setting{f.key, redact(f.key, f.value(c).String()), c.Origin(f.key).String()})
	}
	return rows
}

// redact hides the password within a database's or a cache's address; the types
// hide the rest.
func redact(key, value string) string {
	if key != "database" && key != "cache-url" {
		return value
	}
	u, err := url.Parse(value)
	if err != nil {
		return "[redacted]"
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// variable is the name in the environment of the setting of that key.
func variable(key string) string {
	return "POSTERN_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}
