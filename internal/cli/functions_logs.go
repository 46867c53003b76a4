package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

type logsOptions struct {
	since  time.Duration
	limit  int
	asJSON bool
}

func newFunctionsLogs(std Stdio) *cobra.Command {
	o := logsOptions{}
	cmd := remote(&cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a function wrote, oldest line first",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.limit < 1 || o.limit > 1000 {
				return usageError{"--limit must be between 1 and 1000", "see postern functions logs --help"}
			}
			if o.since < 0 {
				return usageError{"--since must not be negative", "see postern functions logs --help"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return printLogs(cmd.Context(), client, newPrinter(std.Out), args[0], o)
		},
	}, &o.asJSON)
	cmd.Flags().DurationVar(&o.since, "since", 0, "only lines that are not older than this, such as 10m")
	cmd.Flags().IntVar(&o.limit, "limit", 100, "most lines to print")
	return cmd
}

func printLogs(ctx context.Context, client *api.Client, out printer, name string, o logsOptions) error {
	var since time.Time
	if o.since > 0 {
		since = time.Now().Add(-o.since)
	}
	logs, err := client.Logs(ctx, name, since, o.limit)
	if err != nil {
		return err
	}
	for _, e := range logs.Entries {
		if o.asJSON {
			if err := out.json(e); err != nil {
				return err
			}
			continue
		}
		request := e.RequestID
		if request == "" {
			request = "-"
		}
		out.line("%s %-5s %s %s", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), clean(e.Level), clean(request), strings.ReplaceAll(clean(e.Text), "\n", "\n  "))
	}
	return nil
}
