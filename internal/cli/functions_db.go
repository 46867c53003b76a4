package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/userfile"
)

// keptOptions are those of the commands about what a function keeps.
type keptOptions struct {
	asJSON, force, yes bool
	function, output   string
}

func (o *keptOptions) flags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&o.function, "function", "", "whose it is (default: the function in this directory)")
	return cmd
}

// client is signed in, and knows which function is meant.
func (o *keptOptions) client(cmd *cobra.Command) (client *api.Client, name string, err error) {
	if name, err = ofFunction(o.function); err != nil {
		return nil, "", err
	}
	client, err = signedIn(cmd)
	return client, name, err
}

func newFunctionsDB(std Stdio) *cobra.Command {
	return group("db", "Fetch and replace a function's own database",
		newFunctionsDBDownload(std),
		newFunctionsDBUpload(std),
	)
}

func newFunctionsDBDownload(std Stdio) *cobra.Command {
	o := keptOptions{}
	cmd := o.flags(remote(&cobra.Command{
		Use:   "download",
		Short: "Write a copy of a function's SQLite database into a file",
		Long: "Write a copy of a function's SQLite database into a file: as one reader sees it at\n" +
			"one moment, while the function goes on writing. The file is readable for you alone.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := userfile.MayTake(o.output, o.force); err != nil {
				return notWritten(o.output, orForce, err)
			}
			client, name, err := o.client(cmd)
			if err != nil {
				return err
			}
			from, size, err := client.DownloadDatabase(cmd.Context(), name)
			if err != nil {
				return err
			}
			defer from.Close()
			if err := userfile.Save(o.output, from, size, o.force); err != nil {
				return notWritten(o.output, orForce, err)
			}
			return told(std, o.asJSON, map[string]any{"function": name, "file": o.output, "bytes": size}, "%s: %s of database in %s", clean(name), amount(size), clean(o.output))
		},
	}, &o.asJSON))
	cmd.Flags().StringVar(&o.output, "output", "./function.db", "file to write")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace the file if it is there")
	return cmd
}

func newFunctionsDBUpload(std Stdio) *cobra.Command {
	o := keptOptions{}
	cmd := o.flags(remote(&cobra.Command{
		Use:   "upload FILE",
		Short: "Replace a function's database by a SQLite file",
		Long: "Replace a function's database by a SQLite file, whole or not at all. The server checks\n" +
			"it first; then the function's workers end, the file takes the place of the one\n" +
			"before, and calls that came meanwhile go on. What the function had is gone: fetch it\n" +
			"before with functions db download.",
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, size, err := openRegular(args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			client, name, err := o.client(cmd)
			if err != nil {
				return err
			}
			if !o.yes {
				if err := confirm(cmd.Context(), std, "Replace the database of "+clean(name)+" by "+clean(args[0])+"?", name, "nothing was changed"); err != nil {
					return err
				}
			}
			if _, err := client.UploadDatabase(cmd.Context(), name, from, size); err != nil {
				return err
			}
			return told(std, o.asJSON, map[string]any{"function": name, "bytes": size}, "%s has the database that is in %s: %s", clean(name), clean(args[0]), amount(size))
		},
	}, &o.asJSON))
	yesFlag(cmd, &o.yes)
	return cmd
}

// told prints what was done, as a line or as JSON.
func told(std Stdio, asJSON bool, done map[string]any, format string, args ...any) error {
	out := newPrinter(std.Out)
	if asJSON {
		return out.json(done)
	}
	out.line(format, args...)
	return nil
}
