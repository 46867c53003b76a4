package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

type explainOptions struct {
	url, method, key, from string
	noCredentials, asJSON  bool
}

func newExplain(std Stdio) *cobra.Command {
	o := explainOptions{}
	cmd := remote(&cobra.Command{
		Use:   "explain [REQUEST-ID]",
		Short: "Show which step allowed or refused a request, or would",
		Long: "Show which step allowed or refused a request.\n\n" +
			"With the ID of a request (it is in the answer's X-Request-Id and in the logs) it tells\n" +
			"what became of it. With --url it tells what would become of one: no worker is called\n" +
			"and no limit is used up. The exit code is then 0 if it would be allowed, 3 if nothing\n" +
			"is found at the URL, 4 if the credentials do not open it, 5 if a limit or the server's\n" +
			"state is in the way, and 1 for any other refusal.",
		Args: optional("REQUEST-ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			const see = "see postern explain --help"
			switch {
			case (len(args) == 1) == (o.url != ""):
				return usageError{"postern explain takes a REQUEST-ID or --url", see}
			case len(args) == 1 && (o.method != "" || o.key != "" || o.from != "" || o.noCredentials):
				return usageError{"--method, --key, --no-credentials and --from go with --url", see}
			case len(args) == 1 && strings.Contains(args[0], "/"):
				return usageError{"a REQUEST-ID has no slash in it", "for a URL write: postern explain --url URL"}
			case o.key != "" && o.noCredentials:
				return usageError{"--key and --no-credentials exclude one another", see}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return explainRequest(cmd.Context(), client, newPrinter(std.Out), args[0], o.asJSON)
			}
			if o.key, err = keyID(cmd.Context(), client, o.key); err != nil {
				return err
			}
			return explainURL(cmd.Context(), client, newPrinter(std.Out), o)
		},
	}, &o.asJSON)
	cmd.Flags().StringVar(&o.url, "url", "", "where the request would be sent: a URL, or a path")
	cmd.Flags().StringVar(&o.method, "method", "", "its method (default GET)")
	cmd.Flags().StringVar(&o.key, "key", "", "access key that would be shown, named by ID or display name, with its right secret")
	cmd.Flags().BoolVar(&o.noCredentials, "no-credentials", false, "it would show none (the default)")
	cmd.Flags().StringVar(&o.from, "from", "", "address that it would come from (default: that of this machine)")
	return cmd
}

func explainRequest(ctx context.Context, client *api.Client, out printer, id string, asJSON bool) error {
	e, err := client.ExplainRequest(ctx, id)
	if err != nil {
		return err
	}
	return printExplanation(out, e, asJSON)
}

func explainURL(ctx context.Context, client *api.Client, out printer, o explainOptions) error {
	e, err := client.Explain(ctx, api.ExplainRequest{URL: o.url, Method: o.method, AccessKeyID: o.key, From: o.from})
	if err != nil {
		return err
	}
	if err := printExplanation(out, e, o.asJSON); err != nil || e.Outcome == "allowed" {
		return err
	}
	return fault.New(kindOfStatus(e.Status), fmt.Sprintf("this request would be refused: %d %s", e.Status, e.Code)).WithCode("would_be_refused")
}

// kindOfStatus is the class of a refusal, as the exit codes tell it.
func kindOfStatus(status int) fault.Kind {
	switch status {
	case 401, 403:
		return fault.Denied
	case 404:
		return fault.NotFound
	case 429, 503:
		return fault.Unavailable
	}
	return fault.Invalid
}

func printExplanation(out printer, e api.Explanation, asJSON bool) error {
	if asJSON {
		return out.json(e)
	}
	head := e.Outcome
	for _, part := range []string{number(e.Status), e.Code} {
		if part != "" {
			head += " " + part
		}
	}
	if e.RequestID != "" {
		head = moment(e.Time) + " " + e.RequestID + " " + head
	}
	out.line("%s\n", inLine(head))
	var rows [][]string
	for _, s := range e.Steps {
		rows = append(rows, []string{strconv.Itoa(s.Number) + " " + s.Name, s.Verdict, s.Why})
	}
	out.table([]string{"STEP", "VERDICT", "WHY"}, rows)
	return nil
}
