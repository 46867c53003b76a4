// Package valkey keeps the functions' caches in a Valkey or Redis that all nodes
// share.
//
// [Cache] is the one type to know. Each entry is a key of the server's own, so
// that its end is watched there and nothing of it outlives it; beside them is
// one ordered set of names a function, so that a list costs what it finds. All
// keys of a function are in one slot of a cluster, and each change is one
// script, which is atomic. What the server puts out to make room for others is
// simply not there any more: let it put out nothing (maxmemory-policy
// noeviction).
package valkey

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Cache is a connection to the server. It is safe for concurrent use.
type Cache struct {
	client valkey.Client
	prefix string // of all keys of this installation
}

// Open connects to the server at a redis:// URL. The keys begin with the name of
// the installation, because others may use the server too.
func Open(ctx context.Context, url, installation string) (*Cache, error) {
	o, err := valkey.ParseURL(url)
	if err != nil { // its message may hold the password
		return nil, fault.New(fault.Invalid, "the address of the functions' caches does not parse").WithHint("write it as redis://:password@127.0.0.1:6379/0")
	}
	o.DisableCache = true // what is near would not be what is true
	o.ConnWriteTimeout, o.Dialer.Timeout = 5*time.Second, 5*time.Second
	client, err := valkey.NewClient(o)
	if err == nil {
		if err = client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
			client.Close()
		}
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the server of the functions' caches does not answer").WithHint("check --cache-url, and that the server runs")
	}
	return &Cache{client, "postern:" + installation + ":"}, nil
}

// Close closes the connection.
func (c *Cache) Close() error {
	c.client.Close()
	return nil
}

// function is where a function's entries begin, and index the set of their names.
func (c *Cache) function(functionID string) (entries, index string) {
	base := c.prefix + "{" + functionID + "}:"
	return base + "v:", base + "names"
}

func (c *Cache) owners() string { return c.prefix + "functions" }

// away says that the server does not answer as it should.
func away(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "the server of the functions' caches does not answer").WithHint("try again in a moment")
}

// Get implements state.Cache.
func (c *Cache) Get(ctx context.Context, functionID string, keys []string, _ time.Time) ([][]byte, error) {
	entries, _ := c.function(functionID)
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = entries + k
	}
	found, err := c.client.Do(ctx, c.client.B().Mget().Key(names...).Build()).ToArray()
	if err != nil {
		return nil, away(err)
	}
	out := make([][]byte, len(keys))
	for i := range found {
		if found[i].IsNil() {
			continue
		}
		if out[i], err = found[i].AsBytes(); err != nil {
			return nil, away(err)
		}
	}
	return out, nil
}

// Apply implements state.Cache.
func (c *Cache) Apply(ctx context.Context, functionID string, change platform.CacheChange) (out platform.CacheResult, err error) {
	entries, index := c.function(functionID)
	ms := strconv.FormatInt(max(change.ExpiresAt.Sub(change.Now).Milliseconds(), 1), 10)
	if change.Edit == platform.CacheSet || change.Edit == platform.CacheAdd {
		if err := c.client.Do(ctx, c.client.B().Sadd().Key(c.owners()).Member(functionID).Build()).Error(); err != nil {
			return out, away(err)
		}
	}
	run := func(script *valkey.Lua, args ...string) valkey.ValkeyResult {
		return script.Exec(ctx, c.client, []string{entries + change.Key, index}, append([]string{change.Key, ms}, args...))
	}
	switch change.Edit {
	case platform.CacheSet:
		return out, away(run(setScript, valkey.BinaryString(change.Value)).Error())
	case platform.CacheDelete:
		out.Was, err = run(deleteScript).AsBool()
	case platform.CacheExtend:
		out.Was, err = run(extendScript).AsBool()
	case platform.CacheAdd:
		out.Sum, err = run(addScript, strconv.FormatInt(change.By, 10)).AsInt64()
		if e, ok := valkey.IsValkeyErr(err); ok && strings.HasPrefix(e.Error(), "NONUMBER") {
			return out, platform.ErrNoNumber
		}
	}
	return out, away(err)
}

// Keys implements state.Cache.
func (c *Cache) Keys(ctx context.Context, functionID, prefix, after string, limit int, _ time.Time) ([]string, error) {
	entries, index := c.function(functionID)
	from, to := "["+prefix, "+"
	if after >= prefix && after != "" {
		from = "(" + after
	}
	if end := platform.Behind(prefix); end != nil {
		to = "(" + string(end)
	}
	out, err := keysScript.Exec(ctx, c.client, []string{index}, []string{entries, from, to, strconv.Itoa(limit)}).AsStrSlice()
	if valkey.IsValkeyNil(err) {
		err = nil
	}
	return out, away(err)
}

// Usage implements state.Cache. It lets go of the names of what is over.
func (c *Cache) Usage(ctx context.Context, functionID string, _ time.Time) (count, bytes int64, err error) {
	entries, index := c.function(functionID)
	for from := "-"; from != ""; {
		out, err := usageScript.Exec(ctx, c.client, []string{index}, []string{entries, from}).ToArray()
		if err != nil || len(out) != 3 {
			return 0, 0, away(err)
		}
		n, _ := out[0].AsInt64()
		size, _ := out[1].AsInt64()
		count, bytes = count+n, bytes+size
		if from, err = out[2].ToString(); err != nil {
			return 0, 0, away(err)
		}
	}
	return count, bytes, nil
}

// Prune implements state.Keeper: the server does so by itself.
func (c *Cache) Prune(context.Context, time.Time) error { return nil }

// Clear implements state.Keeper.
func (c *Cache) Clear(ctx context.Context, functionID string) error {
	entries, index := c.function(functionID)
	for more := true; more; {
		var err error
		if more, err = clearScript.Exec(ctx, c.client, []string{index}, []string{entries}).AsBool(); err != nil {
			return away(err)
		}
	}
	return away(c.client.Do(ctx, c.client.B().Srem().Key(c.owners()).Member(functionID).Build()).Error())
}

// Owners implements state.Keeper.
func (c *Cache) Owners(ctx context.Context) ([]string, error) {
	out, err := c.client.Do(ctx, c.client.B().Smembers().Key(c.owners()).Build()).AsStrSlice()
	return out, away(err)
}

// The scripts. KEYS are an entry and the set of names, ARGV the name and how
// many milliseconds it lives; the set outlives the last of them by a minute.
const outlive = `
local function outlive()
  if redis.call('PTTL', KEYS[2]) < ARGV[2] + 60000 then redis.call('PEXPIRE', KEYS[2], ARGV[2] + 120000) end
end
`

var (
	setScript = valkey.NewLuaScript(outlive + `
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
outlive()
return 1`)

	deleteScript = valkey.NewLuaScript(`
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])`)

	extendScript = valkey.NewLuaScript(outlive + `
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then return 0 end
outlive()
return 1`)

	addScript = valkey.NewLuaScript(outlive + `
local old = redis.call('GET', KEYS[1])
local most = 9007199254740991
if old and not string.match(old, '^-?%d+$') then return redis.error_reply('NONUMBER') end
local n = tonumber(old or '0')
local sum = n + ARGV[3]
if n > most or n < -most or sum > most or sum < -most then return redis.error_reply('NONUMBER') end
local text = string.format('%.0f', sum)
if old then
  redis.call('SET', KEYS[1], text, 'KEEPTTL')
else
  redis.call('SET', KEYS[1], text, 'PX', ARGV[2])
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
  outlive()
end
return text`)

	keysScript = valkey.NewLuaScript(`
local out, from, limit = {}, ARGV[2], tonumber(ARGV[4])
while #out < limit do
  local names = redis.call('ZRANGEBYLEX', KEYS[1], from, ARGV[3], 'LIMIT', 0, limit)
  for _, name in ipairs(names) do
    if redis.call('EXISTS', ARGV[1] .. name) == 0 then redis.call('ZREM', KEYS[1], name)
    elseif #out < limit then out[#out + 1] = name end
  end
  if #names < limit then break end
  from = '(' .. names[#names]
end
return out`)

	usageScript = valkey.NewLuaScript(`
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], '+', 'LIMIT', 0, 1000)
local count, bytes = 0, 0
for _, name in ipairs(names) do
  local size = redis.call('STRLEN', ARGV[1] .. name)
  if size == 0 then redis.call('ZREM', KEYS[1], name)
  else count, bytes = count + 1, bytes + size + #name end
end
return {count, bytes, #names == 1000 and '(' .. names[1000] or ''}`)

	clearScript = valkey.NewLuaScript(`
local names = redis.call('ZRANGE', KEYS[1], 0, 999)
for _, name in ipairs(names) do
  redis.call('UNLINK', ARGV[1] .. name)
  redis.call('ZREM', KEYS[1], name)
end
return #names == 1000 and 1 or 0`)
)
