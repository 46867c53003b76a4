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
// its own key, and the developer's where there is a pair. It is in memory.
type source struct {
	bell chan struct{}

	mu         sync.Mutex
	functionID string
	changes    []platform.Change             // guarded by mu; of seq 1 on
	function   platform.Function             // guarded by mu
	deployment platform.Deployment           // guarded by mu; without an ID: none yet
	keys       map[string]platform.AccessKey // guarded by mu
	signing    []platform.SigningKey         // guarded by mu
}

// newSource begins with a change, so that a gateway that has read it knows that
// it has.
func newSource(functionID string) *source {
	return &source{bell: make(chan struct{}, 1), functionID: functionID, changes: []platform.Change{{Seq: 1, Kind: platform.ChangeFunction, ID: functionID, At: time.Now()}}}
}

// put makes a deployment the active one, and these the only keys. It returns the
// sequence of the last change.
func (s *source) put(f platform.Function, d platform.Deployment, keys ...platform.AccessKey) (seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]platform.AccessKey{}
	for _, k := range keys {
		now[k.ID] = k
		if was, ok := s.keys[k.ID]; !ok || was.SecretHash != k.SecretHash || was.ProjectID != k.ProjectID {
			s.log(platform.ChangeKey, k.ID)
		}
	}
	for id := range s.keys {
		if _, stays := now[id]; !stays {
			s.log(platform.ChangeKey, id)
		}
	}
	s.keys, s.function, s.deployment = now, f, d
	s.log(platform.ChangeFunction, f.ID)
	s.ring()
	return s.changes[len(s.changes)-1].Seq
}

// ring says that there are changes.
func (s *source) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// log adds a change. s.mu is held.
func (s *source) log(kind platform.ChangeKind, id string) {
	s.changes = append(s.changes, platform.Change{Seq: s.changes[len(s.changes)-1].Seq + 1, Kind: kind, ID: id, At: time.Now()})
}

// Load implements gateway.Source.
func (s *source) Load(_ context.Context, onKey func(platform.AccessKey) error, onFunction func(platform.Function, platform.Deployment) error) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if err := onKey(k); err != nil {
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
	if k, ok := s.keys[id]; ok {
		return k, nil
	}
	return platform.AccessKey{}, fault.New(fault.NotFound, "there is no such key")
}

// SigningKeys implements gateway.Source and oauth.KeyStore: with them the function
// calls itself, and nobody else is given a token.
func (s *source) SigningKeys(context.Context, time.Time) ([]platform.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.signing), nil
}

// AddSigningKey implements oauth.KeyStore.
func (s *source) AddSigningKey(_ context.Context, k platform.SigningKey, newest string, replacedExpires time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.signing {
		if s.signing[i].KID == newest {
			s.signing[i].ExpiresAt = replacedExpires
		}
	}
	s.signing = append(s.signing, k)
	s.log(platform.ChangeSigning, k.KID)
	s.ring()
	return s.changes[len(s.changes)-1].Seq, nil
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
