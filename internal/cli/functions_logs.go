package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
)

type logsOptions struct {
	since         string
	lines         int
	level, search string
	follow, plain bool
	asJSON        bool
	from          time.Time // since, as a moment
}

// logLevels are the words of --level, the least important first.
var logLevels = []string{"debug", "info", "warning", "error"}

func newFunctionsLogs(std Stdio) *cobra.Command {
	o := logsOptions{}
	cmd := remote(&cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a function wrote and how its calls ended",
		Long: "Show what a function wrote and how its calls ended, the oldest first.\n\n" +
			"On a terminal it is a list to walk through: arrows or j and k, Enter opens a call, J\n" +
			"copies it as JSON and C as a curl line, / searches, f follows, q ends. In a pipe, and\n" +
			"with --plain, it is lines.\n\n" +
			"Of calls those that failed are kept always, and all others while somebody follows.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(time.Now()); err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if o.browses(std) {
				return browseLogs(cmd.Context(), client, std, args[0], o)
			}
			return printLogs(cmd.Context(), client, std, args[0], o)
		},
	}, &o.asJSON)
	flags := cmd.Flags()
	flags.StringVar(&o.since, "since", "", "only what is not older than this: a number and s, m, h or d, such as 10m")
	flags.IntVar(&o.lines, "lines", 50, "how many of the last lines to begin with")
	flags.StringVar(&o.level, "level", "", "the least level: debug, info, warning or error")
	flags.StringVar(&o.search, "search", "", "only what has this in its text, or in what says of a call which it is")
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with what is written from now on")
	flags.BoolVar(&o.plain, "plain", false, "lines, also on a terminal")
	flags.BoolVar(&o.plain, "no-browser", false, "lines, also on a terminal")
	cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(logLevels, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

const seeLogs = "see postern functions logs --help"

// check reads what was given as text.
func (o *logsOptions) check(now time.Time) error {
	if o.lines < 1 || o.lines > 10_000 {
		return usageError{"--lines must be between 1 and 10000", seeLogs}
	}
	if o.level == "warn" {
		o.level = "warning"
	}
	if o.level != "" && !slices.Contains(logLevels, o.level) {
		return usageError{"--level must be debug, info, warning or error", seeLogs}
	}
	if len(o.search) > 256 {
		return usageError{"--search must not be longer than 256 bytes", seeLogs}
	}
	if o.since == "" {
		return nil
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	last := len(o.since) - 1
	n, err := strconv.ParseUint(o.since[:last], 10, 31)
	unit, ok := units[o.since[last]]
	if err != nil || !ok || n > uint64(100*365*24*time.Hour/unit) {
		return usageError{"--since must be a number and s, m, h or d, such as 10m", seeLogs}
	}
	o.from = now.Add(-time.Duration(n) * unit)
	return nil
}

// browses reports whether a person sits there who can walk through a list.
func (o *logsOptions) browses(std Stdio) bool {
	out, ok := std.Out.(*os.File)
	return ok && !o.plain && !o.asJSON && interactive(std.In) && interactive(out) && config.DrawsScreens()
}

// lastLogs is what there is by now, oldest first, and where the rest begins.
func lastLogs(ctx context.Context, client *api.Client, name string, o logsOptions) (list []api.LogEntry, next string, err error) {
	q := api.LogQuery{Since: o.from, Level: o.level, Search: o.search, Invocations: true}
	for more := true; more && len(list) < o.lines; {
		q.Limit = min(1000, o.lines-len(list))
		page, err := client.Logs(ctx, name, q)
		if err != nil {
			return nil, "", nameFunction(err, name)
		}
		if next == "" {
			next = page.Next
		}
		list = append(slices.Clip(page.Entries), list...)
		if more = page.More && len(page.Entries) > 0; more {
			q.Before = page.Entries[0].ID
		}
	}
	return list, next, nil
}

// nameFunction says which function is not there.
func nameFunction(err error, name string) error {
	if fault.KindOf(err) != fault.NotFound {
		return err
	}
	return fault.Wrap(err, fault.NotFound, "there is no function "+quote(name)+" in this project").WithCode("function_not_found").WithHint("postern functions list shows those that there are")
}

func printLogs(ctx context.Context, client *api.Client, std Stdio, name string, o logsOptions) error {
	out := newPrinter(std.Out)
	list, next, err := lastLogs(ctx, client, name, o)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := printEntry(out, e, o.asJSON); err != nil {
			return err
		}
	}
	if !o.follow {
		if len(list) == 0 && !o.asJSON {
			out.line("%s", o.nothing(name))
		}
		return nil
	}
	said := newPrinter(std.Err)
	q := api.FollowQuery{After: next, Level: o.level, Search: o.search, Entries: true, Lost: func(err error) {
		if err != nil {
			said.line("postern: %s; trying again", inLine(clean(err.Error())))
		}
	}}
	return nameFunction(client.FollowLogs(ctx, name, q, func(e api.LogEvent) error {
		entry := entryOfEvent(e)
		return printEntry(out, entry, o.asJSON)
	}), name)
}

// nothing says that there is nothing to show.
func (o *logsOptions) nothing(name string) string {
	if o.level != "" || o.search != "" || !o.from.IsZero() {
		return "nothing like that is in the log of " + clean(name)
	}
	return clean(name) + " has written nothing yet, and none of its calls failed; --follow waits for more"
}

// entryOfEvent is an event as an entry, so that what is followed looks like what
// was there.
func entryOfEvent(e api.LogEvent) api.LogEntry {
	switch {
	case e.Line != nil:
		return *e.Line
	case e.Request != nil:
		r := e.Request
		return api.LogEntry{ID: r.ID, Time: r.Time, Level: r.Level, RequestID: r.RequestID, DeploymentID: r.DeploymentID, Invocation: &r.Invocation}
	}
	return api.LogEntry{Time: time.Now().UTC(), Level: "warning", Text: "[postern] " + e.Lost.Text}
}

func printEntry(out printer, e api.LogEntry, asJSON bool) error {
	if asJSON {
		return out.json(e)
	}
	request, level := e.RequestID, e.Level
	if request == "" {
		request = "-"
	}
	if level == "warning" {
		level = "warn"
	}
	text := e.Text
	if c := e.Invocation; c != nil {
		text = callLine(c)
	}
	_, err := fmt.Fprintf(out.w, "%s %-5s %s %s\n", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), clean(level), clean(request), strings.ReplaceAll(clean(text), "\n", "\n  "))
	return err
}

// callLine is a call in one line.
func callLine(c *api.Invocation) string {
	text := fmt.Sprintf("[postern] %s %s answered %d in %s", c.Request.Method, c.Request.URL, c.Response.Status, milliseconds(c.ExecutionTimeMS))
	if c.ColdStart {
		text += ", cold"
	}
	if c.Code != "" {
		text += ": " + c.Code
	}
	return text
}

func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
