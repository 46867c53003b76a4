package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

const (
	maxBatch     = 1024      // keys of one call
	maxKey       = 512       // bytes of a cache's key
	maxValue     = 512 << 10 // bytes of a cache's value
	maxAnswer    = 768 << 10 // bytes of an answer in parts: one frame takes it with any one value more
	maxKeysPage  = 4096      // keys of one answer
	maxTTL       = 10 * 366 * 24 * time.Hour
	maxIncrement = 1<<53 - 1
	maxDigits    = len("-9007199254740991")
)

// cacheKey checks a key of the cache.
func cacheKey(b []byte) (string, error) {
	if len(b) == 0 || len(b) > maxKey || !utf8.Valid(b) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("a key of the cache has 1 to %d bytes of UTF-8; this one has %d bytes", maxKey, len(b))).WithCode("cache_key_invalid")
	}
	return string(b), nil
}

// until reads how long something lives, in milliseconds.
func (s *Service) until(b []byte) (now, end time.Time, err error) {
	ms, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || ms <= 0 || ms > maxTTL.Milliseconds() {
		return now, end, fault.New(fault.Invalid, fmt.Sprintf("a time to live is more than 0 and at most %d seconds", int64(maxTTL.Seconds()))).WithCode("cache_ttl_invalid")
	}
	now = s.o.Now()
	return now, now.Add(time.Duration(ms) * time.Millisecond), nil
}

// cacheGet answers with the values of as many of the keys, from the first on,
// as fit into an answer: at least one. An empty one is not there.
func (s *Service) cacheGet(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	keys := make([]string, len(fields))
	for i, f := range fields {
		var err error
		if keys[i], err = cacheKey(f); err != nil {
			return nil, err
		}
	}
	var out [][]byte
	for size := 0; len(out) < len(keys) && size < maxAnswer-maxValue; {
		// Never more in memory than one answer and a batch of the largest values.
		next := keys[len(out):min(len(out)+8, len(keys))]
		values, err := s.o.Cache.Get(ctx, functionID, next, s.o.Now())
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			if size += len(v); size > maxAnswer {
				return out, nil
			}
			out = append(out, v)
		}
	}
	return out, nil
}

func (s *Service) cacheHas(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := cacheKey(fields[0])
	if err != nil {
		return nil, err
	}
	values, err := s.o.Cache.Get(ctx, functionID, []string{key}, s.o.Now())
	if err != nil {
		return nil, err
	}
	return yes(values[0] != nil), nil
}

func (s *Service) cacheSet(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := cacheKey(fields[0])
	if err != nil {
		return nil, err
	}
	value := fields[1]
	if len(value) > maxValue {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("a value of the cache has at most %d bytes as JSON; this one has %d. What is larger belongs into the storage", maxValue, len(value))).WithCode("cache_value_too_large")
	}
	if len(value) == 0 { // what is not there is told so
		return nil, malformed("an empty value")
	}
	now, end, err := s.until(fields[2])
	if err != nil {
		return nil, err
	}
	if err := s.reserve(ctx, functionID, key, len(value), func([]byte) int { return len(value) }, now); err != nil {
		return nil, err
	}
	_, err = s.o.Cache.Apply(ctx, functionID, platform.CacheChange{Edit: platform.CacheSet, Key: key, Value: value, Now: now, ExpiresAt: end})
	return nil, err
}

func (s *Service) cacheDelete(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := cacheKey(fields[0])
	if err != nil {
		return nil, err
	}
	done, err := s.o.Cache.Apply(ctx, functionID, platform.CacheChange{Edit: platform.CacheDelete, Key: key, Now: s.o.Now()})
	if err != nil {
		return nil, err
	}
	s.released(functionID)
	return yes(done.Was), nil
}

func (s *Service) cacheExtend(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := cacheKey(fields[0])
	if err != nil {
		return nil, err
	}
	now, end, err := s.until(fields[1])
	if err != nil {
		return nil, err
	}
	done, err := s.o.Cache.Apply(ctx, functionID, platform.CacheChange{Edit: platform.CacheExtend, Key: key, Now: now, ExpiresAt: end})
	if err != nil {
		return nil, err
	}
	return yes(done.Was), nil
}

func (s *Service) cacheIncrement(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	key, err := cacheKey(fields[0])
	if err != nil {
		return nil, err
	}
	by, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil || by > maxIncrement || by < -maxIncrement {
		return nil, malformed("an increment that is no whole number")
	}
	now, end, err := s.until(fields[2])
	if err != nil {
		return nil, err
	}
	digits := func(old []byte) int { sum, _ := platform.AddTo(old, by); return len(strconv.FormatInt(sum, 10)) }
	if err := s.reserve(ctx, functionID, key, maxDigits, digits, now); err != nil {
		return nil, err
	}
	done, err := s.o.Cache.Apply(ctx, functionID, platform.CacheChange{Edit: platform.CacheAdd, Key: key, By: by, Now: now, ExpiresAt: end})
	if errors.Is(err, platform.ErrNoNumber) {
		return nil, fault.Wrap(err, fault.Conflict, platform.ErrNoNumber.Error()).WithCode("cache_not_a_number")
	}
	if err != nil {
		return nil, err
	}
	return [][]byte{strconv.AppendInt(nil, done.Sum, 10)}, nil
}

// cacheKeys answers with whether there are more, and a page of keys.
func (s *Service) cacheKeys(ctx context.Context, functionID string, fields [][]byte) ([][]byte, error) {
	prefix, after := fields[0], fields[1]
	if len(prefix) > maxKey || len(after) > maxKey || !utf8.Valid(prefix) || !utf8.Valid(after) {
		return nil, malformed("no key begins like this")
	}
	keys, err := s.o.Cache.Keys(ctx, functionID, string(prefix), string(after), maxKeysPage+1, s.o.Now())
	if err != nil {
		return nil, err
	}
	return page(keys, maxKeysPage), nil
}

// page is an answer in parts: whether there are more, then at most so many
// names, and no more than fit.
func page(names []string, most int) [][]byte {
	out := yes(false)
	for size := 0; len(out) <= len(names); {
		name := names[len(out)-1]
		if size += 4 + len(name); size > maxAnswer || len(out) > most {
			out[0] = []byte("1")
			break
		}
		out = append(out, []byte(name))
	}
	return out
}
