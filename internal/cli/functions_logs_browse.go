package cli

import (
	"context"

	"postern.dev/postern/internal/api"
)

func browseLogs(ctx context.Context, client *api.Client, std Stdio, name string, o logsOptions) error {
	return printLogs(ctx, client, std, name, o)
}
