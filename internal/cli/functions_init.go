package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/scaffold"
	noderuntime "postern.dev/postern/runtime/node"
)

type initOptions struct {
	dir    string
	asJSON bool
}

func newFunctionsInit(std Stdio) *cobra.Command {
	o := initOptions{}
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Write a new function with types for the editor",
		Args:  exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			return initFunction(std, args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory to write to (default: NAME)")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func initFunction(std Stdio, name string, o initOptions) error {
	if err := function.ValidName(name); err != nil {
		return err
	}
	if o.dir == "" {
		o.dir = name
	}
	paths, err := scaffold.Write(filepath.Clean(o.dir), name, noderuntime.Types)
	if err != nil {
		return err
	}
	out := newPrinter(std.Out)
	if o.asJSON {
		return out.json(map[string]any{"name": name, "files": paths})
	}
	for _, p := range paths {
		out.line("%s", p)
	}
	out.line("\nDeploy it: postern functions deploy %s", filepath.Clean(o.dir))
	return nil
}
