package state

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern.dev/postern/internal/platform"
)

// Memory is a cache in this process's memory, for development and tests. Its
// zero value is empty and ready.
type Memory struct {
	mu        sync.Mutex
	functions map[string]map[string]memoryEntry // guarded by mu
}

type memoryEntry struct {
	value     []byte // never written to
	expiresAt time.Time
}

// Get implements Cache.
func (m *Memory) Get(_ context.Context, functionID string, keys []string, now time.Time) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([][]byte, len(keys))
	for i, k := range keys {
		if e, ok := m.functions[functionID][k]; ok && e.expiresAt.After(now) {
			out[i] = e.value
		}
	}
	return out, nil
}

// Apply implements Cache.
func (m *Memory) Apply(_ context.Context, functionID string, c platform.CacheChange) (out platform.CacheResult, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entries := m.functions[functionID]
	if entries == nil {
		if m.functions == nil {
			m.functions = map[string]map[string]memoryEntry{}
		}
		entries = map[string]memoryEntry{}
		m.functions[functionID] = entries
	}
	e, ok := entries[c.Key]
	out.Was = ok && e.expiresAt.After(c.Now)
	switch c.Edit {
	case platform.CacheSet:
		entries[c.Key] = memoryEntry{slices.Clone(c.Value), c.ExpiresAt}
	case platform.CacheDelete:
		delete(entries, c.Key)
	case platform.CacheExtend:
		if out.Was {
			entries[c.Key] = memoryEntry{e.value, c.ExpiresAt}
		}
	case platform.CacheAdd:
		if !out.Was {
			e = memoryEntry{[]byte("0"), c.ExpiresAt}
		}
		if out.Sum, err = platform.AddTo(e.value, c.By); err == nil {
			entries[c.Key] = memoryEntry{strconv.AppendInt(nil, out.Sum, 10), e.expiresAt}
		}
	}
	return out, err
}

// Keys implements Cache.
func (m *Memory) Keys(_ context.Context, functionID, prefix, after string, limit int, now time.Time) (out []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, e := range m.functions[functionID] {
		if k > after && strings.HasPrefix(k, prefix) && e.expiresAt.After(now) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), limit)], nil
}

// Usage implements Cache. It lets go of what is over.
func (m *Memory) Usage(_ context.Context, functionID string, now time.Time) (entries, bytes int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.functions[functionID], func(_ string, e memoryEntry) bool { return !e.expiresAt.After(now) })
	for k, e := range m.functions[functionID] {
		entries, bytes = entries+1, bytes+int64(len(k)+len(e.value))
	}
	return entries, bytes, nil
}

// Prune implements Keeper.
func (m *Memory) Prune(ctx context.Context, now time.Time) error {
	owners, _ := m.Owners(ctx)
	for _, f := range owners {
		m.Usage(ctx, f, now)
	}
	return nil
}

// Clear implements Keeper.
func (m *Memory) Clear(_ context.Context, functionID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.functions, functionID)
	return nil
}

// Owners implements Keeper.
func (m *Memory) Owners(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.functions)), nil
}
