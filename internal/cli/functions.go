package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/function"
)

func newFunctions(std Stdio) *cobra.Command {
	return group("functions", "Make, deploy and look at functions",
		newFunctionsInit(std),
		newFunctionsDev(std),
		newFunctionsValidate(std),
		newFunctionsDeploy(std),
		newFunctionsDownload(std),
		newFunctionsList(std),
		newFunctionsStatus(std),
		newFunctionsLogs(std),
		newFunctionsCall(std),
		newFunctionsVersions(std),
		newFunctionsPromote(std),
		newFunctionsRollBack(std),
		newFunctionsDB(std),
		newFunctionsStorage(std),
		newFunctionsDelete(std),
	)
}

func newFunctionsList(std Stdio) *cobra.Command {
	var query string
	var asJSON bool
	cmd := remote(&cobra.Command{
		Use:   "list",
		Short: "List the functions of the project",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return listFunctions(cmd.Context(), client, newPrinter(std.Out), query, asJSON)
		},
	}, &asJSON)
	cmd.Flags().StringVar(&query, "query", "", "only those with this text in the name, or at the beginning of the ID")
	return cmd
}

func listFunctions(ctx context.Context, client *api.Client, out printer, query string, asJSON bool) error {
	all, err := everyPage(func(token string) ([]api.Function, string, error) {
		page, err := client.FindFunctions(ctx, api.FunctionQuery{Query: query, PageToken: token})
		return page.Functions, page.NextPageToken, err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return out.json(all)
	}
	if len(all) == 0 && query != "" {
		out.line("no functions are like that; see all: postern functions list")
		return nil
	}
	var rows [][]string
	for _, f := range all {
		rows = append(rows, []string{f.Name, stateWord(f), serving(f), f.Status.State, moment(f.UpdateTime), where(f)})
	}
	if len(rows) == 0 {
		out.line("no functions yet; make one: postern functions init NAME")
		return nil
	}
	out.table([]string{"NAME", "STATE", "VERSION", "WORKERS", "UPDATED", "URL"}, rows)
	return nil
}

// printRoutes prints each address of a function with how it is guarded.
func printRoutes(out printer, routes []api.Route) {
	var rows [][]string
	for _, r := range routes {
		path, guard := r.Path, r.Guard
		if r.Method != "" {
			path = r.Method + " " + path
		}
		if r.Group != "" {
			guard += ", group " + r.Group
		}
		if r.Asks != "" {
			guard += "; " + r.Asks
		}
		rows = append(rows, []string{path, r.Handler, guard})
	}
	out.table([]string{"ROUTE", "HANDLER", "GUARD"}, foldFiles(rows, 0, 1))
}

// foldFiles makes one row of the files that are guarded alike, where there are
// several: people ask how, and not which. path and handler are the columns that
// tell them apart.
func foldFiles(rows [][]string, path, handler int) (out [][]string) {
	count := map[string]int{}
	alike := func(r []string) string {
		if !strings.HasPrefix(r[handler], function.PublicDir) {
			return ""
		}
		r = slices.Clone(r)
		r[path], r[handler] = "", ""
		return strings.Join(r, "\x00")
	}
	for _, r := range rows {
		count[alike(r)]++
	}
	for _, r := range rows {
		key := alike(r)
		switch n := count[key]; {
		case key == "" || n == 1:
			out = append(out, r)
		case n > 1:
			r = slices.Clone(r)
			r[path], r[handler] = "/ …", fmt.Sprintf("%d files, %s", n, function.PublicDir)
			out = append(out, r)
			count[key] = 0
		}
	}
	return out
}

// where is where a function answers first, or that it does not.
func where(f api.Function) string {
	if f.Deployment.Number == 0 {
		return "-"
	}
	if len(f.URLs) == 0 {
		return f.Visibility
	}
	return f.URLs[0]
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
