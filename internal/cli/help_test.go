package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// What --help says fits a terminal of 88 columns, the list of a group's commands
// one of 80.
func TestHelp_Fits(t *testing.T) {
	t.Parallel()
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if line := "  " + strings.Repeat(" ", c.NamePadding()) + " " + c.Short; utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: %d columns in the list: %s", c.CommandPath(), utf8.RuneCountInString(line), c.Short)
			}
			check(c)
		}
		if cmd.HasParent() && cmd.Parent().Name() == "completion" { // cobra's own words
			return
		}
		var b bytes.Buffer
		cmd.SetOut(&b)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 88 {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
	}
	check(root(Stdio{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}))
}
