package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(std Stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write a manual page of each command into a directory",
		Long:  "Writes a manual page of each command into a directory, which is made:\npostern.1, postern-functions.1 and so on.\nTo read one: man -l DIR/postern.1",
		Args:  exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make the directory: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Title: "POSTERN", Section: "1", Source: "postern " + readVersion().Version, Manual: "Postern"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			newPrinter(std.Out).line("%d pages are in %s", count(root), args[0])
			return nil
		},
	}
}

// count is how many commands people are told of.
func count(cmd *cobra.Command) int {
	n := 1
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			n += count(c)
		}
	}
	return n
}
