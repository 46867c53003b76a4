package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newSubprojects(std Stdio) *cobra.Command {
	cmd := group("subprojects", "Make, list, change and end subprojects",
		newSubprojectsCreate(std),
		newSubprojectsList(std),
		newSubprojectsShow(std),
		newSubprojectsUpdate(std),
		newSubprojectsDelete(std),
	)
	cmd.Long = "A subproject is a project of its own below the one that you work with. Keys of the\n" +
		"parent act on it as well: give any command --project-id with the ID of the subproject."
	return cmd
}

// allSubprojects lists the project's subprojects, page by page.
func allSubprojects(ctx context.Context, client *api.Client, deleted bool) ([]api.Subproject, error) {
	return everyPage(func(token string) ([]api.Subproject, string, error) {
		page, err := client.Subprojects(ctx, token, deleted)
		return page.Subprojects, page.NextPageToken, err
	})
}

// namedSubproject is the subproject that a command is about, and the client that found it.
func namedSubproject(cmd *cobra.Command, nameOrID string) (*api.Client, api.Subproject, error) {
	client, err := signedIn(cmd)
	if err != nil {
		return nil, api.Subproject{}, err
	}
	p, err := findSubproject(cmd.Context(), client, nameOrID)
	return client, p, err
}

// findSubproject finds a subproject by its ID or, where one alone has it, by
// its name.
func findSubproject(ctx context.Context, client *api.Client, nameOrID string) (api.Subproject, error) {
	if strings.HasPrefix(nameOrID, "prj_") {
		return client.Subproject(ctx, nameOrID)
	}
	all, err := allSubprojects(ctx, client, false)
	if err != nil {
		return api.Subproject{}, err
	}
	all = slices.DeleteFunc(all, func(p api.Subproject) bool { return p.DisplayName != nameOrID })
	ids := make([]string, len(all))
	for i, p := range all {
		ids[i] = p.SubprojectID
	}
	if err := theOne("subproject", nameOrID, ids, "list them with: postern subprojects list"); err != nil {
		return api.Subproject{}, err
	}
	return all[0], nil
}

// tellSubproject prints one subproject as it was asked for.
func tellSubproject(out printer, p api.Subproject, asJSON bool) error {
	if asJSON {
		return out.json(p)
	}
	printSubproject(out, p)
	return nil
}

func printSubproject(out printer, p api.Subproject) {
	rows := [][]string{{"name", p.DisplayName}, {"parent", p.ParentProjectID}}
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		rows = append(rows, []string{"label", name + " = " + p.Labels[name]})
	}
	rows = append(rows, []string{"created", moment(p.CreateTime)}, []string{"updated", moment(p.UpdateTime)})
	out.table([]string{"project ID", p.SubprojectID}, rows)
}

func newSubprojectsList(std Stdio) *cobra.Command {
	var asJSON, deleted bool
	cmd := remote(&cobra.Command{
		Use:   "list",
		Short: "List the subprojects of the project",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			all, err := allSubprojects(cmd.Context(), client, deleted)
			if err != nil {
				return err
			}
			return listSubprojects(newPrinter(std.Out), all, asJSON)
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&deleted, "deleted", false, "those that were ended, too")
	return cmd
}

func listSubprojects(out printer, all []api.Subproject, asJSON bool) error {
	if asJSON {
		return out.json(all)
	}
	if len(all) == 0 {
		out.line("no subprojects yet; make one: postern subprojects create NAME")
		return nil
	}
	var rows [][]string
	for _, p := range all {
		state := "active"
		if p.Deleted {
			state = "ended"
		}
		rows = append(rows, []string{p.SubprojectID, p.DisplayName, state, moment(p.CreateTime)})
	}
	out.table([]string{"PROJECT ID", "NAME", "STATE", "CREATED"}, rows)
	return nil
}

func newSubprojectsShow(std Stdio) *cobra.Command {
	var asJSON bool
	return remote(&cobra.Command{
		Use:   "show SUBPROJECT",
		Short: "Show one subproject, named by ID or name",
		Args:  exactly("SUBPROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, p, err := namedSubproject(cmd, args[0])
			if err != nil {
				return err
			}
			return tellSubproject(newPrinter(std.Out), p, asJSON)
		},
	}, &asJSON)
}
