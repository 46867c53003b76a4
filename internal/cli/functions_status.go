package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func newFunctionsStatus(std Stdio) *cobra.Command {
	var asJSON, follow bool
	cmd := remote(&cobra.Command{
		Use:   "status NAME",
		Short: "Show one function: its state, routes, guards and workers",
		Long: "Show one function: its state, its routes and how they are guarded, and its workers.\n\n" +
			"Running: calls are answered, also where no worker runs at the moment and the next call\n" +
			"starts one. Stopped: the project's policy shuts it. Failed: its workers do not start, or\n" +
			"its first deploy failed. Queued, Deploying: its first deploy is under way. Of a later\n" +
			"deploy the state is shown beside.\n\n" +
			"With --follow it waits for the deploy that is under way, and fails if that does.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			f, err := client.Function(cmd.Context(), args[0])
			if err == nil && follow {
				f, err = followDeploy(cmd.Context(), client, f, newSteps(std.Err, asJSON).out)
			}
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(f)
			}
			printFunction(out, f)
			return nil
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&follow, "follow", false, "wait until the deploy that is under way is done")
	return cmd
}

// How often a follower looks, and for how long nobody may answer.
const (
	statusEvery = 300 * time.Millisecond
	statusAway  = 30 * time.Second
)

// followDeploy waits for the deploy of a function that is under way, and tells
// each state. It fails with what that failed with.
func followDeploy(ctx context.Context, client *api.Client, f api.Function, progress printer) (api.Function, error) {
	name, told, seen := f.Name, "", time.Now()
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		if word := stateWord(f); word != told {
			progress.line("%s %s", moment(time.Now()), clean(word))
			told = word
		}
		if done, err := ended(f); done {
			return f, err
		}
		select {
		case <-ctx.Done():
			return f, ctx.Err()
		case <-tick.C:
		}
		next, err := client.Function(ctx, name)
		switch {
		case err == nil:
			f, seen = next, time.Now()
		case fault.KindOf(err) != fault.Unavailable || time.Since(seen) > statusAway: // a server that restarts comes back
			return f, err
		}
	}
}

// failed is the API's word for a deploy that did not come to its end.
const failed = "Failed"

// ended reports whether no deploy of a function is under way, and what the last
// one failed with.
func ended(f api.Function) (done bool, err error) {
	if a := f.Attempt; a != nil {
		if a.State != failed {
			return false, nil
		}
		return true, fault.New(fault.Invalid, a.Error+"\n"+goesOn(f.Name, f.Deployment.Number)).WithCode(a.Code).WithHint(a.Hint)
	}
	if f.State != "Running" {
		return true, fault.New(fault.Invalid, fmt.Sprintf("%s is %s: %s", f.Name, f.State, f.Status.LastErr)).WithCode("function_not_running").
			WithHint("postern functions logs " + f.Name)
	}
	return true, nil
}

// goesOn is what serves after a deploy has failed.
func goesOn(name string, number int) string {
	if number == 0 {
		return fmt.Sprintf("There is no version of %s before it: nothing serves.", name)
	}
	return fmt.Sprintf("Version %d goes on serving.", number)
}

// stateWord is a function's state, and that of its newest deploy where it is
// another.
func stateWord(f api.Function) string {
	if a := f.Attempt; a != nil && a.State != f.State {
		if a.State == failed {
			return f.State + ", last deploy failed"
		}
		return f.State + ", " + a.State
	}
	return f.State
}

// version is the number of what serves.
func version(f api.Function) string {
	if f.Deployment.Number == 0 {
		return "-"
	}
	return strconv.Itoa(f.Deployment.Number)
}

func printFunction(out printer, f api.Function) {
	rows := [][]string{{"state", stateWord(f)}}
	if f.Deployment.Number > 0 {
		rows = append(rows, [][]string{
			{"id", f.ID},
			{"version", version(f) + " of " + moment(f.Deployment.CreateTime)},
			{"runtime", f.Deployment.Runtime},
			{"artefact", f.Deployment.Artefact},
			{"workers", f.Status.State + ", " + strconv.Itoa(f.Status.Workers) + " running, " + strconv.Itoa(f.Status.InFlight) + " calls in flight"},
		}...)
		rows = append(rows, beside(f)...)
	}
	if f.Status.LastErr != "" {
		rows = append(rows, []string{"last error", f.Status.LastErr})
	}
	if a := f.Attempt; a != nil {
		rows = append(rows, []string{"deploy", a.State + " since " + moment(a.StartTime)})
		if a.Error != "" {
			rows = append(rows, []string{"its error", a.Error})
		}
	}
	for _, u := range f.URLs {
		rows = append(rows, []string{"url", u})
	}
	if len(f.URLs) == 0 && f.Deployment.Number > 0 {
		rows = append(rows, []string{"url", where(f) + ": only functions of the project may call it"})
	}
	out.table([]string{"name", f.Name}, rows)
	if len(f.Routes) > 0 {
		out.line("")
		printRoutes(out, f.Routes)
	}
}
