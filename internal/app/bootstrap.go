package app

import (
	"context"
	"fmt"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// Key is an administrator's access key with its secret, which is nowhere else.
type Key struct {
	ProjectID string
	ID        string
	Secret    accesskey.Secret
}

// administrator makes a key that may do everything in its project.
func administrator(projectID, displayName string, now time.Time) (Key, platform.AccessKey) {
	secret := accesskey.NewSecret()
	k := platform.AccessKey{
		ID:          accesskey.NewID(now),
		ProjectID:   projectID,
		DisplayName: displayName,
		SecretHash:  secret.Hash(),
		Scopes:      []platform.Scope{platform.ScopeInvoke, platform.ScopeControl},
		CreatedAt:   now,
	}
	return Key{ProjectID: projectID, ID: k.ID, Secret: secret}, k
}

// bootstrap makes the first project and its administrator's key, and returns
// the key and the sequence of that change; nil when there is a project already.
func bootstrap(ctx context.Context, db *store.DB, now time.Time) (*Key, int64, error) {
	project := platform.Project{ID: function.NewProjectID(now), Name: "default", CreatedAt: now}
	key, record := administrator(project.ID, "administrator", now)
	seq, err := db.Bootstrap(ctx, project, record)
	if err != nil {
		return nil, 0, fmt.Errorf("make the first project: %w", err)
	}
	if seq == 0 {
		return nil, 0, nil
	}
	return &key, seq, nil
}

// another makes another administrator's key for the first project.
func another(ctx context.Context, db *store.DB, displayName string, now time.Time) (*Key, int64, error) {
	projects, err := db.Projects(ctx)
	if err != nil {
		return nil, 0, err
	}
	if len(projects) == 0 {
		return nil, 0, fault.New(fault.NotFound, "there is no project yet")
	}
	key, record := administrator(projects[0].ID, displayName, now)
	seq, err := db.CreateKey(ctx, record)
	return &key, seq, err
}

// NewKey makes another administrator's key for the first project. It is for
// whoever runs the server in their own process, as the demonstration does.
func (s *Server) NewKey(ctx context.Context, displayName string) (*Key, error) {
	key, seq, err := another(ctx, s.db, displayName, time.Now().UTC())
	if err != nil {
		return nil, err
	}
	return key, s.gateway.WaitApplied(ctx, seq)
}
