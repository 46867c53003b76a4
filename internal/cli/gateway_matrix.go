package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newGatewayMatrix(std Stdio) *cobra.Command {
	var asJSON, all bool
	q := api.MatrixQuery{PageSize: 50, RoutePageSize: 200}
	cmd := remote(&cobra.Command{
		Use:   "matrix",
		Short: "Show which access keys open which routes, and why not",
		Long: "Show which access keys open which routes, and why not: 50 keys and 200 routes at most,\n" +
			"so narrow it where there are more. The gateway decides, by the steps that a request\n" +
			"takes, and before any limit. Without --from a key is used from where it may be.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			q.Guarded = !all
			m, err := client.GatewayMatrix(cmd.Context(), q)
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(m)
			}
			printMatrix(out, m)
			return nil
		},
	}, &asJSON)
	cmd.Flags().StringVar(&q.Query, "key", "", "only keys with this in their name, or at the beginning of their ID")
	cmd.Flags().StringVar(&q.RouteQuery, "route", "", "only routes with this in their address, function or group")
	cmd.Flags().StringVar(&q.From, "from", "", "address that the keys are used from")
	cmd.Flags().BoolVar(&all, "all", false, "routes that are open or signed as well")
	return cmd
}

func printMatrix(out printer, m api.GatewayMatrix) {
	var rows [][]string
	for _, k := range m.Keys {
		for i, at := range k.Cells {
			r, v := m.Routes[i], m.Verdicts[at]
			word := "no"
			if v.Opens {
				word = "yes"
			}
			why := v.Why
			if len(v.From) > 0 {
				why += "; from " + strings.Join(v.From, ", ")
				if v.More > 0 {
					why += fmt.Sprintf(" and %d more", v.More)
				}
			}
			rows = append(rows, []string{k.DisplayName, strings.TrimSpace(r.Function + r.Upstream + " " + strings.TrimSpace(r.Method+" "+r.Path)), word, why})
		}
	}
	if len(rows) == 0 {
		out.line("there is no such key, or no such route that asks for one")
		return
	}
	out.table([]string{"KEY", "ROUTE", "OPENS", "WHY"}, rows)
	if m.NextPageToken != "" || m.NextRoutePageToken != "" {
		out.line("\nthere are more: narrow it with --key and --route")
	}
}
