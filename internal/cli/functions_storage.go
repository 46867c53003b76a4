package cli

import (
	"context"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/userfile"
)

func newFunctionsStorage(std Stdio) *cobra.Command {
	return group("storage", "Look at, fetch, store and remove what a function has stored",
		newFunctionsStorageList(std),
		newFunctionsStorageDownload(std),
		newFunctionsStorageUpload(std),
		newFunctionsStorageDelete(std),
	)
}

func newFunctionsStorageList(std Stdio) *cobra.Command {
	o := keptOptions{}
	return o.flags(remote(&cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List what a function has stored, by key",
		Long:  "List what a function has stored under keys that begin with PREFIX, in their order.\nWith --json one line for each.",
		Args:  optional("prefix"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, name, err := o.client(cmd)
			if err != nil {
				return err
			}
			return listObjects(cmd.Context(), client, newPrinter(std.Out), name, append(args, "")[0], o.asJSON)
		},
	}, &o.asJSON))
}

// listObjects prints page by page: there may be more than fits into memory.
func listObjects(ctx context.Context, client *api.Client, out printer, name, prefix string, asJSON bool) error {
	for token, first := "", true; first || token != ""; first = false {
		page, err := client.Objects(ctx, name, prefix, token)
		if err != nil {
			return err
		}
		token = page.NextPageToken
		if asJSON {
			for _, o := range page.Objects {
				if err := out.json(o); err != nil {
					return err
				}
			}
			continue
		}
		var rows [][]string
		for _, o := range page.Objects {
			rows = append(rows, []string{amount(o.Bytes), moment(o.UpdateTime), o.Key})
		}
		if len(rows) > 0 {
			out.table([]string{"SIZE", "STORED", "KEY"}, rows)
		} else if first {
			out.line("%s", nothingStored(name, prefix))
		}
	}
	return nil
}

func nothingStored(name, prefix string) string {
	if prefix != "" {
		return clean(name) + " has stored nothing under keys that begin with " + quote(clean(prefix))
	}
	return clean(name) + " has stored nothing"
}

func newFunctionsStorageDownload(std Stdio) *cobra.Command {
	o := keptOptions{}
	cmd := o.flags(remote(&cobra.Command{
		Use:   "download KEY [FILE]",
		Short: "Write an object into a file (default: the end of its key)",
		Args:  between("KEY", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, to := args[0], "./"+filepath.Base(path.Base(args[0]))
			if len(args) == 2 {
				to = args[1]
			}
			if err := userfile.MayTake(to, o.force); err != nil {
				return notWritten(to, orForce, err)
			}
			client, name, err := o.client(cmd)
			if err != nil {
				return err
			}
			from, size, err := client.DownloadObject(cmd.Context(), name, key)
			if err != nil {
				return err
			}
			defer from.Close()
			if err := userfile.Save(to, from, size, o.force); err != nil {
				return notWritten(to, orForce, err)
			}
			return told(std, o.asJSON, map[string]any{"function": name, "key": key, "file": to, "bytes": size}, "%s of %s in %s", amount(size), clean(key), clean(to))
		},
	}, &o.asJSON))
	cmd.Flags().BoolVar(&o.force, "force", false, "replace the file if it is there")
	return cmd
}

func newFunctionsStorageUpload(std Stdio) *cobra.Command {
	o := keptOptions{}
	return o.flags(remote(&cobra.Command{
		Use:   "upload FILE [KEY]",
		Short: "Store a file under a key (default: its name)",
		Args:  between("FILE", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := filepath.Base(args[0])
			if len(args) == 2 {
				key = args[1]
			}
			from, size, err := openRegular(args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			client, name, err := o.client(cmd)
			if err != nil {
				return err
			}
			if _, err := client.UploadObject(cmd.Context(), name, key, from, size); err != nil {
				return err
			}
			return told(std, o.asJSON, map[string]any{"function": name, "key": key, "bytes": size}, "%s stored as %s", amount(size), clean(key))
		},
	}, &o.asJSON))
}

func newFunctionsStorageDelete(std Stdio) *cobra.Command {
	o := keptOptions{}
	cmd := o.flags(remote(&cobra.Command{
		Use:   "delete KEY",
		Short: "Remove an object",
		Args:  exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, name, err := o.client(cmd)
			if err != nil {
				return err
			}
			if !o.yes {
				if err := confirm(cmd.Context(), std, "Remove "+clean(args[0])+" from the storage of "+clean(name)+"?", "yes", "nothing was removed"); err != nil {
					return err
				}
			}
			if err := client.DeleteObject(cmd.Context(), name, args[0]); err != nil {
				return err
			}
			return told(std, o.asJSON, map[string]any{"function": name, "deleted": args[0]}, "%s is removed", clean(args[0]))
		},
	}, &o.asJSON))
	yesFlag(cmd, &o.yes)
	return cmd
}

// between allows an argument, and another one behind it or none.
func between(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 || len(args) == 2 {
			return nil
		}
		return usageError{cmd.CommandPath() + " takes " + first + " [" + second + "]", "see " + cmd.CommandPath() + " --help"}
	}
}
