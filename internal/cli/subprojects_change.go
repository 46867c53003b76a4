package cli

import (
	"reflect"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newSubprojectsCreate(std Stdio) *cobra.Command {
	var asJSON bool
	var labels []string
	cmd := remote(&cobra.Command{
		Use:   "create NAME",
		Short: "Make a subproject of the project",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.CreateSubprojectRequest{DisplayName: args[0]}
			var err error
			if in.Labels, err = parsePairs("label", labels); err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			p, err := client.CreateSubproject(cmd.Context(), in)
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(p)
			}
			printSubproject(out, p)
			out.line("\nTo make a key of it:\n  postern keys create NAME --project-id %s", clean(p.SubprojectID))
			return nil
		},
	}, &asJSON)
	cmd.Flags().StringArrayVar(&labels, "label", nil, "label of the form NAME=VALUE; may be repeated")
	return cmd
}

func newSubprojectsUpdate(std Stdio) *cobra.Command {
	var asJSON bool
	var name string
	var labels []string
	cmd := remote(&cobra.Command{
		Use:   "update SUBPROJECT",
		Short: "Change the name or the labels of a subproject",
		Long:  "Change a subproject, named by ID or name. The labels given take the place of all\nthat it has; --label '' takes them away.",
		Args:  exactly("SUBPROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.UpdateSubprojectRequest{}
			if cmd.Flags().Changed("name") {
				in.DisplayName = &name
			}
			if cmd.Flags().Changed("label") {
				var err error
				if in.Labels, err = parsePairs("label", labels); err != nil {
					return err
				}
			}
			if reflect.ValueOf(in).IsZero() {
				return usageError{"nothing to change was named", "give --name or --label"}
			}
			client, p, err := namedSubproject(cmd, args[0])
			if err != nil {
				return err
			}
			if p, err = client.UpdateSubproject(cmd.Context(), p.SubprojectID, in); err != nil {
				return err
			}
			return tellSubproject(newPrinter(std.Out), p, asJSON)
		},
	}, &asJSON)
	cmd.Flags().StringVar(&name, "name", "", "another name")
	cmd.Flags().StringArrayVar(&labels, "label", nil, "label of the form NAME=VALUE; may be repeated")
	return cmd
}

func newSubprojectsDelete(std Stdio) *cobra.Command {
	var asJSON, yes bool
	cmd := remote(&cobra.Command{
		Use:   "delete SUBPROJECT",
		Short: "End a subproject and its keys; its functions must be gone",
		Args:  exactly("SUBPROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, p, err := namedSubproject(cmd, args[0])
			if err != nil {
				return err
			}
			if err := askUnlessSure(cmd.Context(), std, yes, "End the subproject "+quote(clean(p.DisplayName))+" ("+clean(p.SubprojectID)+") and its keys for good?", "nothing was ended"); err != nil {
				return err
			}
			if err := client.DeleteSubproject(cmd.Context(), p.SubprojectID); err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(map[string]string{"deleted": p.SubprojectID})
			}
			out.line("%s (%s) is ended, and so are its keys", clean(p.SubprojectID), clean(p.DisplayName))
			return nil
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
