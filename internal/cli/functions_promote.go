package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newFunctionsPromote(std Stdio) *cobra.Command {
	var asJSON bool
	var in api.PromoteRequest
	cmd := remote(&cobra.Command{
		Use:   "promote NAME --percent N",
		Short: "Give a version a part of the calls: 100 makes it active, 0 ends it",
		Long: "Give the candidate of a function, which functions deploy --percent has put beside\n" +
			"the active version, another part of the calls. With 100 it is the active version\n" +
			"from then on; with 0 it is ended.\n\n" +
			"With --version an earlier version is deployed again and gets that part.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("percent") {
				return usageError{"--percent is missing: the part of the calls that it gets", "give --percent N, from 0 to 100"}
			}
			if err := checkPart(cmd, in.Percent, 0); err != nil {
				return err
			}
			if err := checkVersion(cmd, "version", in.Version); err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			done, err := client.Promote(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return printShift(std, done, asJSON)
		},
	}, &asJSON)
	cmd.Flags().IntVar(&in.Percent, "percent", 0, "of the calls that it gets, from 0 to 100")
	cmd.Flags().IntVar(&in.Version, "version", 0, "number of an earlier version to deploy again (default: the candidate)")
	return cmd
}
