package gateway

import (
	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/platform"
)

// feed tells those who follow a project of a change that is in the snapshot now.
// keyOf is the project of the key that it is about. Signing keys and tokens that
// were revoked are of nobody's lists.
func (g *Gateway) feed(before, now *snapshot, c platform.Change, keyOf string) {
	f := g.options.Feed
	switch c.Kind {
	case platform.ChangeKey:
		f.Tell(keyOf, feed.Keys, c.ID)
	case platform.ChangeFunction:
		if t := either(now.byID[c.ID], before.byID[c.ID]); t != nil {
			f.Tell(t.function.ProjectID, feed.Functions, t.function.Name)
		}
	case platform.ChangePolicy:
		f.Tell(c.ID, feed.Policy)
	case platform.ChangeSecret:
		if t := either(now.byID[c.ID], before.byID[c.ID]); t != nil {
			f.Tell(t.function.ProjectID, feed.Secrets, t.function.Name)
		} else {
			f.Tell(c.ID, feed.Secrets)
		}
	case platform.ChangeProject:
		f.Tell(c.ID, feed.Subprojects)
	}
}

func either(t, or *target) *target {
	if t == nil {
		return or
	}
	return t
}
