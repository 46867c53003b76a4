package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/feed"
)

type eventsInput struct {
	ProjectPath
	Since  time.Time `query:"since" doc:"What changed since then comes first; absent: begin with what comes next."`
	LastID string    `header:"Last-Event-ID" maxLength:"64" doc:"Go on behind this event; since is of no meaning then."`
}

func (s *service) registerEvents() {
	register(s, huma.Operation{OperationID: "streamEvents", Method: http.MethodGet, Path: "/v1/projects/{projectId}/events", Summary: "What of a project changes, as it changes",
		Description: "Server-sent events: changed, with the kind and the names of what is not as it was, once the node that was asked acts on it; of calls, as the kind traffic, at most every two seconds. " +
			"What comes while an event is on its way is one event. resync: changes were missed, so read everything anew; it comes first after a Last-Event-ID or a time of which not all that followed is known. " +
			"The stream ends when the credential or the session that it was opened with does, and when the server stops.",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: s.events(api.ChangedEvent{}, api.ResyncEvent{})}}}}}, s.streamEvents)
}

func (s *service) streamEvents(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	release, err := s.open.take(in.ProjectID)
	if err != nil {
		return nil, err
	}
	p := principal(ctx)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer release()
		s.sse(ctx, p, in.ProjectID).follow(s.o.Feed.Follow(in.ProjectID, feed.From{After: in.LastID, Since: in.Since}))
	}}, nil
}

// follow sends what a feed tells until somebody ends it. What comes while a slow
// reader takes what was sent before is held in the feed's reader, once for each
// name.
func (st *sse) follow(reader *feed.Reader) {
	defer reader.Close()
	ctx := st.r.Context()
	st.begin(reader.Place)
	st.beat()
	for st.flush() == nil && st.may() {
		wait, cancel := context.WithTimeout(ctx, lookAgain)
		events, resync, place, err := reader.Next(wait)
		cancel()
		if ctx.Err() != nil || st.stopping() || !st.may() { // before it is told anything more
			return
		}
		if err == nil {
			st.changed(events, resync, place)
		}
	}
}

// changed writes what a reader is told at once. The place comes with the last of
// it: who has only a part comes back for the whole.
func (st *sse) changed(events []feed.Event, resync bool, place string) {
	if resync {
		id := place
		if len(events) > 0 {
			id = ""
		}
		st.event("resync", id, api.ResyncEvent{Text: "changes were missed: read everything anew"})
	}
	for i, e := range events {
		id := ""
		if i == len(events)-1 {
			id = place
		}
		st.event("changed", id, api.ChangedEvent{Kind: string(e.Kind), Names: e.Names})
	}
}
