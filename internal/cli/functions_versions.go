package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newFunctionsVersions(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "versions NAME",
		Short: "List the versions of a function, and what each gets of its calls",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			vs, err := client.Versions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(vs.Versions)
			}
			printVersions(out, vs.Versions)
			return nil
		},
	}, &asJSON)
}

func printVersions(out printer, versions []api.Version) {
	var rows [][]string
	for _, v := range versions {
		calls := "-"
		if v.State != "old" {
			calls = percent(v.Percent)
		}
		rows = append(rows, []string{strconv.Itoa(v.Number), v.State, calls, moment(v.CreateTime), short(v.Artefact), note(v)})
	}
	out.table([]string{"VERSION", "STATE", "CALLS", "DEPLOYED", "ARTEFACT", "NOTE"}, rows)
}

// note is what is to be said of a version beside the rest.
func note(v api.Version) string {
	switch {
	case v.EndedBecause != "":
		return "ended by the platform: " + v.EndedBecause
	case v.RestoredFrom > 0:
		return fmt.Sprintf("version %d again", v.RestoredFrom)
	}
	return ""
}

func percent(n int) string { return strconv.Itoa(n) + "%" }

// short is the beginning of a hash, for people.
func short(hash string) string { return hash[:min(len(hash), 12)] }

// takes says what a version that was deployed, promoted or rolled back to gets of
// the calls.
func takes(done api.DeployResponse) string {
	v, c := done.Function.Deployment.Number, done.Function.Candidate
	name := fmt.Sprintf("version %d", v)
	if done.RestoredFrom > 0 {
		name += fmt.Sprintf(", which is version %d again,", done.RestoredFrom)
	}
	switch {
	case done.Ended > 0:
		return fmt.Sprintf("version %d was ended; version %d gets all calls", done.Ended, v)
	case c != nil && c.Number == v && c.State == "candidate":
		return fmt.Sprintf("%s gets %d%% of the calls%s", name, c.Percent, toAll(done.Function))
	}
	return name + " gets all calls"
}

// toAll is the line below what gets a part of the calls: how it gets the rest.
func toAll(f api.Function) string {
	return "\nTo give it all of them: postern functions promote " + clean(f.Name) + " --percent 100"
}

// serving is the version of a function that gets its calls, or the two that do.
func serving(f api.Function) string {
	if c := f.Candidate; c != nil && c.State == "candidate" {
		return fmt.Sprintf("%s, %d: %d%%", version(f), c.Number, c.Percent)
	}
	return version(f)
}

// beside are the rows of a function's status that tell of its candidate.
func beside(f api.Function) (rows [][]string) {
	switch c := f.Candidate; {
	case c == nil:
	case c.State == "candidate":
		rows = append(rows, []string{"candidate", fmt.Sprintf("%d of %s, gets %d%% of the calls", c.Number, moment(c.CreateTime), c.Percent)})
	case c.EndedBecause != "":
		rows = append(rows, []string{"candidate", fmt.Sprintf("%d was ended by the platform: %s", c.Number, c.EndedBecause)})
	}
	return rows
}

// printShift tells what became of the calls of a function.
func printShift(std Stdio, done api.DeployResponse, asJSON bool) error {
	out := newPrinter(std.Out)
	if asJSON {
		return out.json(done)
	}
	told := newPrinter(std.Err)
	for _, w := range done.Warnings {
		told.line("postern: %s %s", told.paint(yellow, "warning:"), clean(w))
	}
	out.line("%s: %s", clean(done.Function.Name), takes(done))
	return nil
}

// checkPart refuses a part of the calls that is none, as the flag that named it.
func checkPart(cmd *cobra.Command, n, least int) error {
	if !cmd.Flags().Changed("percent") || n >= least && n <= 100 {
		return nil
	}
	return usageError{fmt.Sprintf("--percent must be between %d and 100", least), "see " + cmd.CommandPath() + " --help"}
}

// checkVersion refuses a number of a version that is none, as the flag that named it.
func checkVersion(cmd *cobra.Command, flag string, n int) error {
	if !cmd.Flags().Changed(flag) || n >= 1 {
		return nil
	}
	return usageError{"--" + flag + " must be the number of a version, from 1", "list them with: " + strings.TrimSuffix(cmd.CommandPath(), " "+cmd.Name()) + " versions NAME"}
}
