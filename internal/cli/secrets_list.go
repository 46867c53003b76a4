package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
)

type listSecretsOptions struct {
	function               string
	remote, shared, asJSON bool
}

// secretLine is one secret as `postern secrets list --json` prints it: where its
// value is, and never the value.
type secretLine struct {
	Name     string      `json:"name"`
	In       string      `json:"in"` // keychain, .env:<line>, missing or unknown
	Declared []string    `json:"declared"`
	Platform *api.Secret `json:"platform,omitempty"`
}

const (
	inKeychain = "keychain"
	inNone     = "missing"
	inUnknown  = "unknown"
)

func newSecretsList(std Stdio) *cobra.Command {
	o := listSecretsOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the names of a function's secrets, and where each has a value",
		Long: "List the names of the secrets that the function in this directory declares, or that\n" +
			"the keychain holds for it, and where each has a value: in the keychain, in .env, or\n" +
			"nowhere here. With --remote also what the platform has. Values are never shown.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			var client *api.Client
			if o.remote || o.shared {
				if client, err = signedIn(cmd); err != nil {
					return err
				}
			}
			if o.shared {
				return listShared(cmd.Context(), newPrinter(std.Out), client, o)
			}
			return listSecrets(cmd.Context(), std, cfg, client, o)
		},
	}
	settingFlags(cmd, config.Calling)
	functionFlag(cmd, &o.function)
	cmd.Flags().BoolVar(&o.remote, "remote", false, "ask the platform too")
	sharedFlag(cmd, &o.shared)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

func listSecrets(ctx context.Context, std Stdio, cfg *config.Config, client *api.Client, o listSecretsOptions) error {
	d, err := openDrawer(ctx, std, cfg, o.function)
	if err != nil {
		return err
	}
	notes := warnings{std: std}
	lines, err := d.lines(ctx, &notes)
	if err != nil {
		return err
	}
	if client != nil {
		if lines, err = withPlatform(ctx, client, d.function, lines); err != nil {
			return err
		}
	}
	out := newPrinter(std.Out)
	if o.asJSON {
		return out.json(lines)
	}
	if len(lines) == 0 {
		out.line("%s has no secrets; store one: postern secrets add KEY", clean(d.function))
		return nil
	}
	out.table(headings(client), rows(lines, client != nil))
	if client == nil && slices.ContainsFunc(lines, func(l secretLine) bool { return l.In == inNone }) {
		out.line("\nWhat is missing here may be on the platform: postern secrets list --remote")
	}
	return nil
}

// lines are the secrets of the drawer. A keychain that is away hides no names.
func (d *drawer) lines(ctx context.Context, notes *warnings) ([]secretLine, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	lines, away := []secretLine{}, false
	for _, name := range names {
		l := secretLine{Name: name, In: inNone, Declared: append([]string{}, d.declared(name)...)}
		var there bool
		switch e, _ := d.entry(name); {
		case e.Value.Reveal() != "":
			l.In = fmt.Sprintf("%s:%d", environ.DotenvFile, e.Line)
		case away:
			l.In = inUnknown
		default:
			there, err = d.held(ctx, name)
			switch {
			case fault.KindOf(err) == fault.Unavailable:
				notes.add("%s", sentence(err))
				l.In, away = inUnknown, true
			case err != nil:
				return nil, err
			case there:
				l.In = inKeychain
			case len(l.Declared) == 0: // nothing but a name that a crash has left in the index
				continue
			}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// sentence is what a failure says, with its hint.
func sentence(err error) string {
	told, _ := explain(context.Background(), err)
	return strings.TrimSuffix(told[0].Error+"; "+told[0].Hint, "; ")
}

// withPlatform adds what the platform has.
func withPlatform(ctx context.Context, client *api.Client, function string, lines []secretLine) ([]secretLine, error) {
	there, err := client.Secrets(ctx, function)
	if err != nil {
		return nil, err
	}
	for _, s := range there.Secrets {
		i := slices.IndexFunc(lines, func(l secretLine) bool { return l.Name == s.Name })
		if i < 0 {
			i = len(lines)
			lines = append(lines, secretLine{Name: s.Name, In: inNone, Declared: []string{}})
		}
		lines[i].Platform = &s
	}
	slices.SortFunc(lines, func(a, b secretLine) int { return strings.Compare(a.Name, b.Name) })
	return lines, nil
}

func headings(client *api.Client) []string {
	h := []string{"NAME", "VALUE", "DECLARED IN"}
	if client != nil {
		h = append(h, "PLATFORM")
	}
	return h
}

func rows(lines []secretLine, remote bool) (rows [][]string) {
	for _, l := range lines {
		row := []string{l.Name, l.In, strings.Join(l.Declared, ", ")}
		if row[2] == "" {
			row[2] = "-"
		}
		if remote {
			row = append(row, onPlatform(l.Platform))
		}
		rows = append(rows, row)
	}
	return rows
}

func onPlatform(s *api.Secret) string {
	switch {
	case s == nil:
		return inNone
	case s.Shared:
		return "shared by the project, version " + strconv.Itoa(s.Version) + " of " + moment(s.UpdateTime)
	default:
		return "version " + strconv.Itoa(s.Version) + " of " + moment(s.UpdateTime)
	}
}

// listShared lists the secrets that the project's functions share.
func listShared(ctx context.Context, out printer, client *api.Client, o listSecretsOptions) error {
	all, err := client.Secrets(ctx, "")
	if err != nil {
		return err
	}
	if o.asJSON {
		return out.json(append([]api.Secret{}, all.Secrets...))
	}
	if len(all.Secrets) == 0 {
		out.line("the project's functions share no secrets; set one: postern secrets add --shared KEY")
		return nil
	}
	var rows [][]string
	for _, s := range all.Secrets {
		rows = append(rows, []string{s.Name, strconv.Itoa(s.Version), moment(s.UpdateTime), cmp.Or(s.UpdatedByName, s.UpdatedBy)})
	}
	out.table([]string{"NAME", "VERSION", "SET", "BY"}, rows)
	return nil
}
