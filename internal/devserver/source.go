package devserver

import (
	"context"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// source is what the gateway learns of keys and functions here: one function,
// and one key where there is a pair. It is in memory.
type source struct {
	bell chan struct{}

	mu         sync.Mutex
	functionID string
	changes    []platform.Change   // guarded by mu; of seq 1 on
	function   platform.Function   // guarded by mu
	deployment platform.Deployment // guarded by mu; without an ID: none yet
	key        *platform.AccessKey // guarded by mu
	oldKeys    []string            // guarded by mu
}

// newSource begins with a change, so that a gateway that has read it knows that
// it has.
func newSource(functionID string) *source {
	return &source{bell: make(chan struct{}, 1), functionID: functionID, changes: []platform.Change{{Seq: 1, Kind: platform.ChangeFunction, ID: functionID, At: time.Now()}}}
}

// put makes a deployment the active one, and a key the only one; nil: there is
// none. It returns the sequence of the last change.
func (s *source) put(f platform.Function, d platform.Deployment, key *platform.AccessKey) (seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil && (key == nil || key.ID != s.key.ID || key.SecretHash != s.key.SecretHash || key.ProjectID != s.key.ProjectID) {
		s.oldKeys = append(s.oldKeys, s.key.ID)
		s.log(platform.ChangeKey, s.key.ID)
		s.key = nil
	}
	if key != nil && s.key == nil {
		s.key = key
		s.oldKeys = slices.DeleteFunc(s.oldKeys, func(id string) bool { return id == key.ID })
		s.log(platform.ChangeKey, key.ID)
	}
	s.function, s.deployment = f, d
	s.log(platform.ChangeFunction, f.ID)
	select {
	case s.bell <- struct{}{}:
	default:
	}
	return s.changes[len(s.changes)-1].Seq
}

// log adds a change. s.mu is held.
func (s *source) log(kind platform.ChangeKind, id string) {
	s.changes = append(s.changes, platform.Change{Seq: s.changes[len(s.changes)-1].Seq + 1, Kind: kind, ID: id, At: time.Now()})
}

// Load implements gateway.Source.
func (s *source) Load(_ context.Context, onKey func(platform.AccessKey) error, onFunction func(platform.Function, platform.Deployment) error) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil {
		if err := onKey(*s.key); err != nil {
			return 0, err
		}
	}
	if s.deployment.ID != "" {
		if err := onFunction(s.function, s.deployment); err != nil {
			return 0, err
		}
	}
	return s.changes[len(s.changes)-1].Seq, nil
}

// Changes implements gateway.Source.
func (s *source) Changes(_ context.Context, after int64, limit int) ([]platform.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := min(max(after, 0), int64(len(s.changes)))
	return slices.Clone(s.changes[from:min(from+int64(limit), int64(len(s.changes)))]), nil
}

// KeyByID implements gateway.Source.
func (s *source) KeyByID(_ context.Context, id string) (platform.AccessKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key == nil || s.key.ID != id {
		return platform.AccessKey{}, fault.New(fault.NotFound, "there is no such key")
	}
	return *s.key, nil
}

// SigningKeys implements gateway.Source: nobody gives out tokens here.
func (s *source) SigningKeys(context.Context, time.Time) ([]platform.SigningKey, error) {
	return nil, nil
}

// RevokedTokens implements gateway.Source.
func (s *source) RevokedTokens(context.Context, string, time.Time) ([]platform.RevokedToken, error) {
	return nil, nil
}

// ActiveFunction implements gateway.Source.
func (s *source) ActiveFunction(_ context.Context, id string) (platform.Function, platform.Deployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.functionID || s.deployment.ID == "" {
		return platform.Function{}, platform.Deployment{}, fault.New(fault.NotFound, "there is no such function")
	}
	return s.function, s.deployment, nil
}

// Policies implements gateway.Source: a policy is of the installation that a
// function is deployed to.
func (s *source) Policies(context.Context, string) ([]platform.Policy, error) { return nil, nil }

// FunctionExists implements state.Registry.
func (s *source) FunctionExists(_ context.Context, id string) (bool, error) {
	return id == s.functionID, nil
}

// SweepStorage implements state.Registry.
func (s *source) SweepStorage(context.Context, string) error { return nil }

// Deployment implements gateway.Source: there is none but the active one.
func (s *source) Deployment(_ context.Context, id string) (platform.Deployment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" || id != s.deployment.ID {
		return platform.Deployment{}, fault.New(fault.NotFound, "there is no such deployment")
	}
	return s.deployment, nil
}
