package app

import (
	"context"
	"time"

	"postern.dev/postern/internal/feed"
)

const (
	tellEvery = 2 * time.Second
	// A call is recorded a moment after the time that it ended at.
	tellBack = 200 * time.Millisecond
)

// tellTraffic tells those who follow a project which of its functions were called,
// now and then, and while there is anybody.
func (s *Server) tellTraffic(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if s.feed.Followed() {
				for projectID, names := range s.traffic.Called(last.Add(-tellBack)) {
					s.feed.Tell(projectID, feed.Traffic, names...)
				}
			}
			last = now
		}
	}
}
