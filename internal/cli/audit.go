package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

type auditOptions struct {
	since                           time.Duration
	limit                           int
	key, action, outcome, requestID string
	search                          string
	follow, asJSON                  bool
}

func newAudit(std Stdio) *cobra.Command {
	o := auditOptions{}
	cmd := remote(&cobra.Command{
		Use:   "audit",
		Short: "Print what was allowed and refused, oldest first",
		Long: "Print what was allowed and refused in the project, oldest first, one line an event.\n" +
			"Under a flood of refusals an event with a count, such as x250, stands for many.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if o.key, err = keyID(cmd.Context(), client, o.key); err != nil {
				return err
			}
			return printAudit(cmd.Context(), client, newPrinter(std.Out), o)
		},
	}, &o.asJSON)
	cmd.Flags().DurationVar(&o.since, "since", 0, "only events that are not older than this, such as 1h")
	cmd.Flags().IntVar(&o.limit, "limit", 100, "most events to print, the newest")
	cmd.Flags().StringVar(&o.key, "key", "", "only what was done with this access key, named by ID or display name")
	cmd.Flags().StringVar(&o.action, "action", "", "only this operation, such as deploy; invoke is a call of a function")
	cmd.Flags().StringVar(&o.outcome, "outcome", "", "only what was allowed, refused or failed")
	cmd.Flags().StringVar(&o.requestID, "request-id", "", "only the request with this ID")
	cmd.Flags().StringVar(&o.search, "search", "", "only what has this text in its action, target or code, or in the ID or name of who asked, whatever its case")
	cmd.Flags().BoolVar(&o.follow, "follow", false, "go on with what happens from now on, until interrupted")
	return cmd
}

func (o auditOptions) check() error {
	const see = "see postern audit --help"
	switch {
	case o.limit < 1 || o.limit > 100_000:
		return usageError{"--limit must be between 1 and 100000", see}
	case o.outcome != "" && !slices.Contains([]string{"allowed", "refused", "failed"}, o.outcome):
		return usageError{"--outcome must be allowed, refused or failed", see}
	case o.since < 0:
		return usageError{"--since must not be negative", see}
	}
	return nil
}

func printAudit(ctx context.Context, client *api.Client, out printer, o auditOptions) error {
	q := api.AuditQuery{KeyID: o.key, Action: o.action, Outcome: o.outcome, RequestID: o.requestID, Query: o.search}
	if o.since > 0 {
		q.Since = time.Now().Add(-o.since)
	}
	events, err := auditPages(ctx, client, q, o.limit)
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := printEvent(out, e, o.asJSON); err != nil {
			return err
		}
	}
	if o.follow {
		return followAudit(ctx, client, out, q, events, o.asJSON)
	}
	return nil
}

// auditPages reads up to limit of the newest events, and returns the oldest first.
func auditPages(ctx context.Context, client *api.Client, q api.AuditQuery, limit int) (all []api.AuditEvent, err error) {
	for len(all) < limit {
		q.PageSize = min(limit-len(all), 1000)
		page, err := client.Audit(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			break
		}
	}
	slices.Reverse(all)
	return all, nil
}

const (
	followEvery = time.Second
	// Events of several nodes may arrive out of order; so long back is looked again.
	followOverlap = 10 * time.Second
	followMost    = 100_000 // a second
)

// followAudit prints events as they come, but for its own asking.
func followAudit(ctx context.Context, client *api.Client, out printer, q api.AuditQuery, shown []api.AuditEvent, asJSON bool) error {
	seen := map[string]time.Time{}
	from, oldest := time.Now(), ""
	for i, e := range shown {
		if i == 0 {
			oldest = e.ID // what is before was not asked for
		}
		seen[e.ID] = e.Time
		from = e.Time.Add(-followOverlap)
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		q.Since = from
		events, err := auditPages(ctx, client, q, followMost)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			if _, old := seen[e.ID]; old || e.ID < oldest || e.Action == "listAuditEvents" && e.AccessKeyID == client.KeyID {
				continue
			}
			seen[e.ID] = e.Time
			if back := e.Time.Add(-followOverlap); back.After(from) {
				from = back
			}
			if err := printEvent(out, e, asJSON); err != nil {
				return err
			}
		}
		for id, at := range seen {
			if at.Before(from) {
				delete(seen, id)
			}
		}
	}
}

// printEvent prints one line: when, what came of it, at which door, what to
// which thing, and what is known of who asked.
func printEvent(out printer, e api.AuditEvent, asJSON bool) error {
	if asJSON {
		return out.json(e)
	}
	verdict := fmt.Sprintf("%-7s", inLine(e.Outcome))
	switch e.Outcome {
	case "refused":
		verdict = out.paint(yellow, verdict)
	case "failed":
		verdict = out.paint(red, verdict)
	}
	parts := []string{e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), verdict}
	for _, p := range []struct{ label, text string }{
		{"", number(e.Status)}, {"", e.Code}, {"", e.Door}, {"", e.Action}, {"", e.Target}, {"", times(e.Count)}, {"key=", e.AccessKeyID}, {"name=", quoted(e.AccessKeyName)}, {"by=", e.Method}, {"request=", e.RequestID}, {"from=", e.Remote},
	} {
		if p.text != "" {
			parts = append(parts, p.label+inLine(p.text))
		}
	}
	if why := e.Detail["why"]; why != "" {
		parts = append(parts, "("+inLine(why)+")")
	}
	out.line("%s", strings.Join(parts, " "))
	return nil
}

// quoted is a name in quotes, so that it cannot look like another part of a line.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return strconv.Quote(name)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func times(n int64) string {
	if n <= 1 {
		return ""
	}
	return "x" + strconv.FormatInt(n, 10)
}

// inLine is a text that can neither move the cursor nor begin another line.
func inLine(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(clean(s))
}
