package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

func newGateway(std Stdio) *cobra.Command {
	cmd := group("gateway", "Show, export and restore the gateway policy of the project",
		newGatewayRoutes(std),
		newGatewayMatrix(std),
		newGatewayExport(std),
		newGatewayHistory(std),
		newGatewayDiff(std),
		newGatewayRestore(std),
		newGatewayKey(std),
	)
	cmd.Long = "The gateway policy is one document that an operator applies above what functions say of\n" +
		"themselves: see postern apply."
	return cmd
}

func newGatewayExport(std Stdio) *cobra.Command {
	var keys bool
	var number int
	var asJSON bool
	cmd := remote(&cobra.Command{
		Use:   "export",
		Short: "Print the policy in force, as it was applied",
		Long: "Print the policy in force, as it was applied; to apply that again changes nothing.\n\n" +
			"With --with-keys the keys that people made are in it as well, by their digests, and\n" +
			"comments are not: another installation that applies it lets the same secrets in.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			p, err := client.GatewayPolicy(cmd.Context(), number, keys)
			if err != nil {
				return err
			}
			if asJSON {
				return newPrinter(std.Out).json(p)
			}
			if isTerminal(std.Out) {
				p.Document = clean(p.Document)
			}
			_, err = io.WriteString(std.Out, p.Document)
			return err
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&keys, "with-keys", false, "the keys that people made as well, by their digests")
	cmd.Flags().IntVar(&number, "number", 0, "an earlier policy: see postern gateway history")
	return cmd
}

func newGatewayHistory(std Stdio) *cobra.Command {
	var asJSON bool
	var limit int
	cmd := remote(&cobra.Command{
		Use:   "history",
		Short: "List the policies that were applied, newest first",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			page, err := client.GatewayHistory(cmd.Context(), "", limit)
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(page)
			}
			var rows [][]string
			for _, p := range page.Policies {
				rows = append(rows, []string{strconv.Itoa(p.Number), moment(value(p.ApplyTime)), cmp.Or(p.AppliedByName, p.AppliedBy)})
			}
			if len(rows) == 0 {
				out.line("no policy was applied yet: functions are guarded as they say themselves")
				return nil
			}
			out.table([]string{"NUMBER", "APPLIED", "BY"}, rows)
			return nil
		},
	}, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many, up to 1000")
	return cmd
}

func newGatewayRestore(std Stdio) *cobra.Command {
	o := applyOptions{}
	cmd := remote(&cobra.Command{
		Use:   "restore NUMBER",
		Short: "Apply an earlier policy again",
		Long:  "Apply an earlier policy again; it gets the next number. A key that it has and that was\nrevoked since does not come back: then export it with --number, remove the key,\nand apply.",
		Args:  exactly("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[0])
			if err != nil || number < 1 {
				return usageError{quote(clean(args[0])) + " is no number of a policy", "list them with: postern gateway history"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			p, err := client.GatewayPolicy(cmd.Context(), number, false)
			if err != nil {
				return err
			}
			return apply(cmd.Context(), std, client, api.ApplyPolicyRequest{Document: p.Document}, o)
		},
	}, &o.asJSON)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what it would change, and change nothing")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return cmd
}

func newGatewayRoutes(std Stdio) *cobra.Command {
	var asJSON, public bool
	var q api.RouteQuery
	cmd := remote(&cobra.Command{
		Use:   "routes",
		Short: "List every address, what is in force there, and who said so",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			if public {
				q.Only = "public"
			}
			table, err := client.AllGatewayRoutes(cmd.Context(), q)
			if err != nil {
				return err
			}
			out := newPrinter(std.Out)
			if asJSON {
				return out.json(table)
			}
			printGateway(out, table)
			return nil
		},
	}, &asJSON)
	cmd.Flags().BoolVar(&public, "public", false, "only those that everybody may call")
	cmd.Flags().StringVar(&q.Query, "query", "", "only those with this text in the address, function, handler, group or guard")
	return cmd
}

func printGateway(out printer, table api.GatewayRoutes) {
	var rows [][]string
	open := 0
	for _, r := range table.Routes {
		guard := r.Guard
		if r.Private {
			guard += ", private"
		}
		if r.Public {
			open++
		}
		rows = append(rows, []string{r.Function + r.Upstream, r.Method, r.Path, r.Handler, guard, from(r, "auth"), r.Group, strings.Join(limitsOf(r), "; ")})
	}
	out.table([]string{"OF", "METHOD", "PATH", "HANDLER", "GUARD", "BY", "GROUP", "LIMITS"}, foldFiles(rows, 2, 3))
	in := "no policy is in force"
	if table.Number > 0 {
		in = fmt.Sprintf("policy number %d is in force", table.Number)
	}
	out.line("\n%d addresses, %d open to everyone; %s", len(rows), open, in)
}

// from says who decided something of a route, and in which line of the policy.
func from(r api.GatewayRoute, field string) string {
	by := r.From[field]
	if by == policy.FromPolicy && r.Line > 0 {
		by += " line " + strconv.Itoa(r.Line)
	}
	return by
}

// limitsOf are what else holds at a route, in words.
func limitsOf(r api.GatewayRoute) (out []string) {
	add := func(what string, list []string) {
		if len(list) > 0 {
			out = append(out, strings.TrimSpace(what+" "+strings.Join(list, ", ")))
		}
	}
	add("", r.Rate)
	add("scopes", r.Scopes)
	add("shown by", r.Credentials)
	add("from", r.Addresses)
	return out
}

type gatewayKeyOptions struct {
	groups, scopes []string
	asJSON         bool
}

func newGatewayKey(std Stdio) *cobra.Command {
	o := gatewayKeyOptions{}
	cmd := &cobra.Command{
		Use:   "key NAME",
		Short: "Make a key here, and print its entry for gateway.yaml",
		Long: "Make a key on this machine: its secret is printed once and is sent nowhere, and the\n" +
			"entry for gateway.yaml has only its digest. The key opens something when that was\n" +
			"applied. For another secret of the same key, replace the digest of its entry and apply.",
		Args: exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			secret := accesskey.NewSecret()
			k := platform.AccessKey{ID: accesskey.NewID(time.Now()), DisplayName: args[0], SecretHash: secret.Hash(), Groups: o.groups}
			for _, s := range o.scopes {
				k.Scopes = append(k.Scopes, platform.Scope(s))
			}
			d := &policy.Document{Keys: []platform.AccessKey{k}}
			text := policy.Render(d)
			if _, err := policy.Parse(policy.File, text); err != nil {
				return usageError{"no such key can be made: " + clean(err.Error()), "see postern gateway key --help"}
			}
			_, entry, _ := strings.Cut(string(text), "keys:\n")
			out := newPrinter(std.Out)
			if o.asJSON {
				return out.json(map[string]string{"accessKeyId": k.ID, "secret": secret.Reveal(), "entry": entry})
			}
			out.line("key ID  %s", k.ID)
			out.line("The secret is shown this once:\n")
			out.line("%s\n", secret.Reveal())
			out.line("In %s, under keys:\n", policy.File)
			out.line("%s", strings.TrimRight(clean(entry), "\n"))
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&o.groups, "group", nil, "group of routes that it opens; may be repeated (default: all)")
	cmd.Flags().StringSliceVar(&o.scopes, "scope", []string{"invoke"}, "what it may be used for: invoke, control")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}
