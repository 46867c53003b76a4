package admin

import (
	"context"
	"regexp"
	"slices"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// Names is the reading of what IDs stand for.
type Names interface {
	Names(ctx context.Context, projectIDs, ids []string, at time.Time) (map[string]platform.Named, error)
}

// namesOf are the projects whose keys and users are told by name in a project's
// answers: itself, and where the caller belongs. Those of a parent that acts in a
// tenant's subproject are not the tenant's to know.
func namesOf(ctx context.Context, projectID string) []string {
	if own := principal(ctx).ProjectID(); own != projectID {
		return []string{projectID, own}
	}
	return []string{projectID}
}

// namedPattern finds the ID of a key or user in what an operation was done to.
var namedPattern = regexp.MustCompile(`\b(?:pak|usr)_[0-7][0-9a-hjkmnp-tv-z]{25}\b`)

// nameEvents says who is behind the IDs of a page of events, with one look into the store.
func (s *service) nameEvents(ctx context.Context, projectID string, events []api.AuditEvent) error {
	targets, known := make([]string, len(events)), map[string]bool{"": true}
	var ids []string
	for i, e := range events {
		targets[i] = namedPattern.FindString(e.Target)
		for _, id := range []string{e.AccessKeyID, targets[i]} {
			if !known[id] {
				known[id], ids = true, append(ids, id)
			}
		}
	}
	names, err := s.o.Store.Names(ctx, namesOf(ctx, projectID), ids, time.Now())
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		who := names[e.AccessKeyID]
		e.AccessKeyName, e.AccessKeyState, e.AccessKeyProjectID = who.Name, string(who.State), who.ProjectID
		e.TargetName = names[targets[i]].Name
	}
	return nil
}

// nameOf says who is behind an ID of each of a list, with one look into the store.
func nameOf[T any](ctx context.Context, s *service, projectID string, list []T, of func(*T) (id string, name *string)) error {
	var ids []string
	for i := range list {
		if id, _ := of(&list[i]); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	names, err := s.o.Store.Names(ctx, namesOf(ctx, projectID), ids, time.Now())
	if err != nil {
		return err
	}
	for i := range list {
		id, name := of(&list[i])
		*name = names[id].Name
	}
	return nil
}
