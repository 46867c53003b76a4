package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing that is wrong with the settings.
type Problem struct {
	Key  string
	Text string // one sentence, without a full stop
	Hint string // what to do about it
}

// Error is the set of all problems; it is never empty.
type Error struct{ Problems []Problem }

// Error joins the problems into one line.
func (e *Error) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Text
	}
	return strings.Join(texts, "; ")
}

var domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// check finds what is wrong with values that are of the right type. Keys that
// have a problem already are left out.
func (c *Config) check(already []Problem) []Problem {
	var found []Problem
	add := func(ok bool, key, text, hint string) {
		same := func(p Problem) bool { return p.Key == key }
		if ok || slices.ContainsFunc(already, same) || slices.ContainsFunc(found, same) {
			return
		}
		o := c.origins[key]
		found = append(found, Problem{key, spelled(key, o) + " " + text, strings.ReplaceAll(hint, "{}", place(key, o))})
	}
	c.checkServer(add)
	c.checkNumbers(add)
	c.checkTimes(add)
	add(c.TraceEndpoint == "" || validCollector(c.TraceEndpoint), "trace-endpoint", "must begin with http:// or https:// and have no query or user", "write {} as http://127.0.0.1:4318; a collector's key goes into OTEL_EXPORTER_OTLP_HEADERS")
	add(profilePattern.MatchString(c.Profile), "profile", "must be up to 64 lower-case letters, digits, dots, dashes and underscores", "write {} as staging")
	add(validURL(c.Server), "server", "must begin with http:// or https:// and have no path, query or user", "write {} as http://127.0.0.1:8081")
	return found
}

// adder takes what was looked at; it is a problem if it is not ok.
type adder func(ok bool, key, text, hint string)

// checkServer looks at what names something: addresses, places, programs, keys; and at
// how long things are kept.
func (c *Config) checkServer(add adder) {
	add(c.Data != "", "data", "has no default here, because there is no home directory", "name a directory with --data")
	if c.Data != "" {
		c.absolute()
	}
	add(validAddress(c.Listen), "listen", "must be host:port with a port from 0 to 65535", "write {} as 127.0.0.1:8080 or :8080")
	add(validAddress(c.ControlListen), "control-listen", "must be host:port with a port from 0 to 65535", "write {} as 127.0.0.1:8081")
	add(c.Listen != c.ControlListen || strings.HasSuffix(c.Listen, ":0"), "control-listen", "is the same address as listen; the two doors are kept apart", "give {} another port")
	add(len(c.BaseDomain) <= 190 && domainPattern.MatchString(c.BaseDomain), "base-domain", "must be a domain name in lower case, without a port", "write {} as functions.example.org")
	add(c.PublicURL == "" || validURL(c.PublicURL), "public-url", "must begin with http:// or https:// and have no path, query or user", "write {} as https://functions.example.org")
	add(c.Issuer == "" || validURL(c.Issuer), "issuer", "must begin with http:// or https:// and have no path, query or user", "write {} as https://control.example.org")
	add(c.SigningKeyLifetime >= time.Hour && c.SigningKeyLifetime <= 3660*24*time.Hour, "signing-key-lifetime", "must be between 1h and ten years", "change {}")
	add(c.AuditRetention >= time.Hour && c.AuditRetention <= 3660*24*time.Hour, "audit-retention", "must be between 1h and ten years", "change {}")
	add(c.UsageRetention >= 24*time.Hour && c.UsageRetention <= 3660*24*time.Hour, "usage-retention", "must be between 24h and ten years", "change {}")
	add(c.TokenLifetime >= time.Minute && c.TokenLifetime <= 24*time.Hour, "token-lifetime", "must be between 1m and 24h", "change {}")
	add(validDSN(c.Database) || c.Data == "", "database", "must begin with sqlite:/// or postgres://", "write {} as postgres://user@host/database")
	add(c.CacheURL == "" || validCache(c.CacheURL), "cache-url", "must begin with redis:// or rediss:// and name a host", "write {} as redis://:password@127.0.0.1:6379/0")
	add(c.StorageURL == "" || validStorage(c.StorageURL), "storage-url", "must begin with s3:// and name a bucket, or with file:/// and name a directory", "write {} as s3://bucket?region=eu-central-1; the bucket's credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	before := strings.TrimPrefix(c.SecretsKeyBefore, DerivedKey)
	const keeperText, keeperHint = "must begin with file:, awskms:// or hashivault:// and name a key", "write {} as file:/etc/postern/secrets.key, as awskms://alias/postern?region=eu-central-1 or as hashivault://postern"
	add(c.SecretsKey == "" || validKeeper(c.SecretsKey), "secrets-key", keeperText, keeperHint)
	add(before == "" || validKeeper(before), "secrets-key-before", keeperText, keeperHint)
	add(c.SecretsKeyBefore == "" || before != c.SecretsKey, "secrets-key-before", "is the same as secrets-key", "leave it out, or name in {} the key that sealed the secrets until now")
	add((c.TLSCert == "") == (c.TLSKey == ""), "tls-cert", "and tls-key must be given together", "give both --tls-cert and --tls-key, or neither")
	add(c.Node != "", "node", "must not be empty", "name the program, such as /usr/bin/node")
}

// checkNumbers looks at what is counted.
func (c *Config) checkNumbers(add adder) {
	for _, n := range []struct {
		key      string
		v        int
		min, max int
	}{{"workers", c.Workers, 1, 1024}, {"worker-memory", c.WorkerMemory, 0, 1 << 16}, {"max-in-flight", c.MaxInFlight, 1, 1 << 16}, {"max-sockets", c.MaxSockets, 1, 1 << 20}, {"socket-message", c.SocketMessage, 1, 256 << 20}, {"queue", c.Queue, 1, 1 << 20},
		{"audit-events", c.AuditEvents, 1000, 100_000_000}, {"usage-memory", c.UsageMemory, 1, 1 << 20},
		{"tunnels", c.Tunnels, 0, 10_000}, {"tunnels-per-project", c.TunnelsPerProject, 1, 10_000}, {"tunnel-body", c.TunnelBody, 1, 5 << 10},
		{"cache-entries", c.CacheEntries, 1, 100_000_000}, {"cache-size", c.CacheSize, 1, 1 << 20},
		{"storage-object-size", c.StorageObjectSize, 1, 5 << 10}, {"storage-objects", c.StorageObjects, 1, 100_000_000}, {"storage-size", c.StorageSize, 1, 1 << 30},
		{"max-connections", c.MaxConnections, 1, 1 << 20}, {"max-connections-per-address", c.MaxPerAddress, 0, 1 << 20},
		{"refusals-per-address", c.RefusalsPerAddress, 0, 1_000_000},
		{"rollback-errors", c.RollbackErrors, 0, 100},
		{"basic-rate", c.BasicRate, 1, 1_000_000}, {"basic-burst", c.BasicBurst, 1, 1_000_000}} {
		add(n.v >= n.min && n.v <= n.max, n.key, fmt.Sprintf("must be between %d and %d", n.min, n.max), "change {}")
	}
}

// checkTimes looks at how long is waited.
func (c *Config) checkTimes(add adder) {
	for _, d := range []struct {
		key string
		v   time.Duration
		min time.Duration
	}{{"queue-timeout", c.QueueTimeout, time.Millisecond}, {"start-timeout", c.StartTimeout, 100 * time.Millisecond}, {"idle-timeout", c.IdleTimeout, 0},
		{"timeout", c.Timeout, time.Millisecond}, {"socket-ping", c.SocketPing, 10 * time.Millisecond}, {"drain-timeout", c.DrainTimeout, 0}, {"database-copy", c.DatabaseCopy, 100 * time.Millisecond},
		{"tunnel-idle", c.TunnelIdle, 100 * time.Millisecond}, {"tunnel-lifetime", c.TunnelLifetime, 100 * time.Millisecond}, {"tunnel-timeout", c.TunnelTimeout, 10 * time.Millisecond}} {
		add(d.v >= d.min && d.v <= 24*time.Hour, d.key, fmt.Sprintf("must be between %s and 24h", d.min), "change {}")
	}
}

// absolute makes the paths independent of the directory the server runs in.
func (c *Config) absolute() {
	before := c.Data
	if abs, err := filepath.Abs(c.Data); err == nil {
		c.Data = abs
	}
	if before != c.Data && c.origins["database"].Source == FromDefault {
		c.Database = databaseIn(c)
	}
}

func validAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n <= 65535
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// validCollector is validURL for one that may have a path.
func validCollector(s string) bool {
	u, err := url.Parse(s)
	return err == nil && validURL(u.Scheme+"://"+u.Host) && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func validDSN(s string) bool {
	if strings.HasPrefix(s, "sqlite:///") {
		return len(s) > len("sqlite:///")
	}
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://")
}

// spelled is the key as its owner wrote it.
func spelled(key string, o Origin) string {
	switch o.Source {
	case FromFlag, FromEnvironment:
		return o.Name
	case FromFile:
		return key + " in " + o.Name
	case FromProfile:
		return key + " of the profile " + o.Name
	default:
		return key
	}
}

// place is what to change.
func place(key string, o Origin) string {
	if o.Source == FromDefault {
		return "--" + key
	}
	return spelled(key, o)
}

// didYouMean names the known key nearest to an unknown one.
func didYouMean(key string) string {
	best, distance := "", len(key)/2+1
	for i := range fields {
		if d := editDistance(key, fields[i].key); d < distance {
			best, distance = fields[i].key, d
		}
	}
	if best == "" {
		return "run `postern config show` to see every setting"
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// validCache reports whether s is the address of a cache.
func validCache(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "redis" || u.Scheme == "rediss") && u.Hostname() != ""
}

// DerivedKey names, as secrets-key-before, the key that is in force where
// secrets-key names none.
const DerivedKey = "derived"

// validKeeper reports whether a text names a key of a kind that there is.
func validKeeper(s string) bool {
	scheme, rest, _ := strings.Cut(s, ":")
	switch scheme {
	case "file":
		return strings.Trim(rest, "/") != ""
	case "awskms", "hashivault":
		u, err := url.Parse(s)
		return err == nil && u.User == nil && strings.HasPrefix(rest, "//") && u.Host+strings.Trim(u.Path, "/") != ""
	}
	return false
}

// validStorage reports whether s is the address of a storage. Credentials do not
// go there: it is shown.
func validStorage(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User != nil {
		return false
	}
	return u.Scheme == "s3" && u.Host != "" || u.Scheme == "file" && u.Host == "" && len(u.Path) > 1
}
