package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

type usageOptions struct {
	from, to, by  string
	asCSV, asJSON bool
}

func newUsage(std Stdio) *cobra.Command {
	o := usageOptions{}
	cmd := remote(&cobra.Command{
		Use:   "usage",
		Short: "Print what ran, by function, key or day",
		Long: "Print what ran in the project, by function, key or day, from one day to another.\n" +
			"Days are of UTC and both are included; without them it is this month until today.\n" +
			"What was refused is counted apart, and is in no other figure.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if o.asCSV {
				return printUsageCSV(cmd.Context(), client, std, o)
			}
			return printUsage(cmd.Context(), client, newPrinter(std.Out), o)
		},
	}, &o.asJSON)
	cmd.Flags().StringVar(&o.from, "from", "", "first day, such as 2026-11-01 (default: the first of this month)")
	cmd.Flags().StringVar(&o.to, "to", "", "last day (default: today)")
	cmd.Flags().StringVar(&o.by, "by", "function", "function, key or day")
	cmd.Flags().BoolVar(&o.asCSV, "csv", false, "print CSV")
	return cmd
}

func (o usageOptions) check() error {
	const see = "see postern usage --help"
	var days [2]platform.Day
	for i, d := range []struct{ flag, text string }{{"--from", o.from}, {"--to", o.to}} {
		var err error
		if days[i], err = platform.ParseDay(d.text); d.text != "" && err != nil {
			return usageError{d.flag + " must be a day like 2026-11-01", see}
		}
	}
	switch {
	case o.by != "function" && o.by != "key" && o.by != "day":
		return usageError{"--by must be function, key or day", see}
	case o.asCSV && o.asJSON:
		return usageError{"--csv and --json exclude each other", see}
	case o.from != "" && o.to != "" && days[0] > days[1]:
		return usageError{"--from is after --to", see}
	}
	return nil
}

func printUsageCSV(ctx context.Context, client *api.Client, std Stdio, o usageOptions) error {
	text, err := client.UsageCSV(ctx, api.UsageQuery{From: o.from, To: o.to, By: o.by})
	if err != nil {
		return err
	}
	if isTerminal(std.Out) {
		text = []byte(clean(string(text)))
	}
	_, err = std.Out.Write(text)
	return err
}

func printUsage(ctx context.Context, client *api.Client, out printer, o usageOptions) error {
	all, err := usagePages(ctx, client, api.UsageQuery{From: o.from, To: o.to, By: o.by, PageSize: 1000})
	if err != nil {
		return err
	}
	if o.asJSON {
		return out.json(all)
	}
	headings := map[string][]string{"function": {"FUNCTION", "ID"}, "key": {"KEY", "ID"}, "day": {"DAY"}}[o.by]
	var rows [][]string
	for _, u := range all.Usage {
		rows = append(rows, append(usageName(u, o.by), figures(u.UsageCounts)...))
	}
	total := make([]string, len(headings))
	total[0] = "total"
	rows = append(rows, append(total, figures(all.Total)...))
	out.table(append(headings, "INVOCATIONS", "ERRORS", "COMPUTE", "GB-SECONDS", "IN", "OUT", "REFUSED"), rows)
	out.line("\nDays of UTC, from %s to %s. Refused calls are in no other column.", clean(all.From), clean(all.To))
	return nil
}

// usagePages reads all pages into one.
func usagePages(ctx context.Context, client *api.Client, q api.UsageQuery) (all api.UsageReport, err error) {
	for {
		page, err := client.Usage(ctx, q)
		if err != nil {
			return all, err
		}
		page.Usage = append(all.Usage, page.Usage...)
		all = page
		// The days of the first page are those of all: today may become tomorrow.
		if q.From, q.To, q.PageToken = page.From, page.To, page.NextPageToken; q.PageToken == "" {
			return all, nil
		}
	}
}

// usageName is what tells a row from the others.
func usageName(u api.UsageSum, by string) []string {
	switch {
	case by == "day":
		return []string{u.ID}
	case u.Name == "":
		return []string{u.ID, ""}
	}
	return []string{u.Name, u.ID}
}

func figures(c api.UsageCounts) []string {
	refused := ""
	if c.Refused > 0 {
		refused = strconv.FormatInt(c.Refused, 10)
	}
	return []string{strconv.FormatInt(c.Invocations, 10), strconv.FormatInt(c.Errors, 10), computeTime(c.ComputeMs), strconv.FormatFloat(c.GBSeconds, 'f', 3, 64), amount(c.BytesIn), amount(c.BytesOut), refused}
}

func computeTime(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	if d < time.Second {
		return d.Round(time.Millisecond / 10).String()
	}
	return d.Round(time.Second / 10).String()
}
