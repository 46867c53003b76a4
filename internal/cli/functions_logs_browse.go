package cli

import (
	"context"
	"os"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/logview"
)

// browseLogs shows a log to somebody who sits at a terminal.
func browseLogs(ctx context.Context, client *api.Client, std Stdio, name string, o logsOptions) error {
	list, next, err := lastLogs(ctx, client, name, o)
	if err != nil {
		return err
	}
	follow := func(ctx context.Context, take func(api.LogEntry), said func(error)) error {
		q := api.FollowQuery{After: next, Level: o.level, Search: o.search, Entries: true, Lost: said}
		return nameFunction(client.FollowLogs(ctx, name, q, func(e api.LogEvent) error {
			entry := entryOfEvent(e)
			if entry.ID != "" {
				next = entry.ID // who stops and goes on misses nothing
			}
			take(entry)
			return nil
		}), name)
	}
	return logview.Run(ctx, std.In.(*os.File), std.Out.(*os.File), logview.Options{Name: name, Clean: clean, Entries: list, Following: o.follow, Follow: follow})
}
