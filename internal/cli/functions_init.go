package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/keychain"
	"postern.dev/postern/internal/scaffold"
	noderuntime "postern.dev/postern/runtime/node"
)

type initOptions struct {
	template, name, dir string
	variables           []string
	list, asJSON        bool
}

// initLine is what `postern functions init --json` prints.
type initLine struct {
	Name     string   `json:"name"`
	Template string   `json:"template"`
	Files    []string `json:"files"`
	Secrets  []string `json:"secrets"`  // that have no value yet
	Packages bool     `json:"packages"` // npm has to install some
	Warnings []string `json:"warnings"`
}

func newFunctionsInit(std Stdio) *cobra.Command {
	o := initOptions{}
	cmd := &cobra.Command{
		Use:   "init [TEMPLATE | NAME]",
		Short: "Write a new function, from a template, with types for the editor",
		Long: "Write a new function. A word that is the name of a template chooses that, and is the\n" +
			"function's name too unless --name gives another; any other word is the name of a\n" +
			"function that begins as the template " + scaffold.Default + ", or as --template says. Where neither is\n" +
			"given they are asked for at a terminal, and so are the template's variables and\n" +
			"secrets; these go to the keychain. Nothing is fetched and nothing is run.",
		Example: "  postern functions init hello\n" +
			"  postern functions init ivr --name hotline --variable COMPANY_NAME='Acme Corp'\n" +
			"  postern functions init --list",
		Args: optional("template or name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.list {
				return listTemplates(newPrinter(std.Out), o.asJSON)
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return initFunction(cmd.Context(), std, cfg, args, o)
		},
	}
	settingFlagsOf(cmd, "profile", "keychain")
	cmd.Flags().StringVar(&o.template, "template", "", "what to begin as (see --list)")
	cmd.Flags().StringVar(&o.name, "name", "", "the function's name (default: the template's)")
	cmd.Flags().StringVar(&o.dir, "dir", "", "directory to write to (default: the name)")
	cmd.Flags().StringArrayVar(&o.variables, "variable", nil, "value of one of the template's variables, NAME=VALUE; may be repeated")
	cmd.Flags().BoolVar(&o.list, "list", false, "list the templates")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	_ = cmd.RegisterFlagCompletionFunc("template", cobra.FixedCompletions(templateNames(), cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	return cmd
}

func templateNames() (names []string) {
	for _, t := range scaffold.Templates() {
		names = append(names, t.Name)
	}
	return names
}

func listTemplates(out printer, asJSON bool) error {
	if asJSON {
		return out.json(scaffold.Templates())
	}
	var rows [][]string
	for _, t := range scaffold.Templates() {
		rows = append(rows, []string{t.Name, t.Runtime, t.About})
	}
	out.table([]string{"TEMPLATE", "RUNTIME", "WHAT IT IS"}, rows)
	return nil
}

func initFunction(ctx context.Context, std Stdio, cfg *config.Config, args []string, o initOptions) error {
	person := terminalOf(std)
	if o.asJSON {
		person = nil
	}
	t, name, err := chooseTemplate(ctx, person, args, o)
	if err != nil {
		return err
	}
	if err := function.ValidName(name); err != nil {
		return err
	}
	files, err := t.Files(name, function.SchemaFile)
	if err != nil {
		return err
	}
	if files[function.SourcePostern], err = fillIn(ctx, person, files[function.SourcePostern], o.variables); err != nil {
		return err
	}
	m, _, err := function.ParseManifest(function.SourcePostern, []byte(files[function.SourcePostern]))
	if err != nil {
		return err
	}
	files[function.SchemaFile] = string(function.Schema)
	files[environ.DotenvFile] = environ.NewText(name, m.Secrets)
	if m.Program == nil {
		files["postern.d.ts"] = noderuntime.Types
	}
	if o.dir == "" {
		o.dir = name
	}
	paths, err := scaffold.Write(filepath.Clean(o.dir), files)
	if err != nil {
		return err
	}
	notes := warnings{std: std, quiet: o.asJSON, all: []string{}}
	done := initLine{Name: name, Template: t.Name, Files: paths, Packages: strings.Contains(files["package.json"], `"dependencies"`)}
	done.Secrets = askSecrets(ctx, std, cfg, person, name, m.Secrets, &notes)
	done.Warnings = notes.all
	return tellInit(newPrinter(std.Out), filepath.Clean(o.dir), done, o.asJSON)
}

// chooseTemplate finds out what to begin as, and under which name.
func chooseTemplate(ctx context.Context, person *terminal, args []string, o initOptions) (t scaffold.Template, name string, err error) {
	wanted, name := o.template, o.name
	if len(args) == 1 {
		_, known := scaffold.Find(args[0])
		switch {
		case wanted == "" && (known || name != ""):
			wanted = args[0]
		case name != "" && name != args[0]:
			return t, "", usageError{"the name was given twice: " + quote(clean(args[0])) + " and " + quote(clean(name)), "leave one of them out"}
		default:
			name = args[0]
		}
	}
	if len(args) == 0 && wanted == "" && name == "" {
		if person == nil {
			return t, "", usageError{"there is nothing to begin with, and no terminal to ask at", "postern functions init NAME, or --template TEMPLATE; see the templates with --list"}
		}
		if wanted, err = askTemplate(ctx, person); err != nil {
			return t, "", err
		}
	}
	if wanted == "" {
		wanted = scaffold.Default
	}
	t, err = findTemplate(wanted)
	if err != nil {
		return t, "", err
	}
	if name == "" && person != nil {
		name, err = person.until(ctx, "Name of the function", t.Name, function.ValidName)
	}
	if name == "" {
		name = t.Name
	}
	return t, name, err
}

func findTemplate(name string) (scaffold.Template, error) {
	t, ok := scaffold.Find(name)
	if ok {
		return t, nil
	}
	hint := "see the templates with: postern functions init --list"
	if near := function.Nearest(name, templateNames()); near != "" {
		hint = "did you mean " + quote(near) + "? " + hint
	}
	return t, usageError{fmt.Sprintf("there is no template %.64q", clean(name)), hint}
}

// askTemplate asks for a template by its number or its name.
func askTemplate(ctx context.Context, person *terminal) (string, error) {
	all := scaffold.Templates()
	var rows [][]string
	for i, t := range all {
		rows = append(rows, []string{strconv.Itoa(i + 1), t.Name, t.About})
	}
	person.out.table([]string{"", "TEMPLATE", "WHAT IT IS"}, rows)
	numbered := func(answer string) string {
		if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(all) {
			return all[n-1].Name
		}
		return answer
	}
	answer, err := person.until(ctx, "Begin as (number or name)", scaffold.Default, func(answer string) error {
		if _, known := scaffold.Find(numbered(answer)); known {
			return nil
		}
		hint := fmt.Sprintf("type a number from 1 to %d, or a name of the list", len(all))
		if near := function.Nearest(answer, templateNames()); near != "" {
			hint = "did you mean " + quote(near) + "?"
		}
		return usageError{fmt.Sprintf("there is no template %.64q", clean(answer)), hint}
	})
	return numbered(answer), err
}

// fillIn gives the manifest's variables the values that were given, and asks for
// the others that the template leaves to be filled in.
func fillIn(ctx context.Context, person *terminal, manifest string, given []string) (string, error) {
	values, err := parsePairs("variable", given)
	if err != nil {
		return "", err
	}
	m, _, err := function.ParseManifest(function.SourcePostern, []byte(manifest))
	if err != nil {
		return "", err
	}
	names := slices.Sorted(maps.Keys(m.Variables))
	for name := range values {
		if !slices.Contains(names, name) {
			return "", usageError{fmt.Sprintf("the template has no variable %.64q", clean(name)), "it has: " + strings.Join(names, ", ")}
		}
	}
	for _, name := range names {
		value, ok := values[name]
		if !ok && person != nil {
			if value, err = person.line(ctx, name, m.Variables[name]); err != nil {
				return "", err
			}
		} else if !ok {
			continue
		}
		if manifest, err = scaffold.SetVariable(manifest, name, value); err != nil {
			return "", err
		}
	}
	return manifest, nil
}

// askSecrets asks for the values of secrets and puts them into the keychain. It
// returns those that have none yet: the function is written by now, and a keychain
// that is away takes nothing back.
func askSecrets(ctx context.Context, std Stdio, cfg *config.Config, person *terminal, name string, secrets []string, notes *warnings) (open []string) {
	open = []string{}
	box, err := openKeychain(ctx, std, cfg)
	if person == nil || err != nil {
		return append(open, secrets...)
	}
	d := &drawer{Keychain: box, cfg: cfg, function: name}
	for i, key := range secrets {
		value, err := person.secret(ctx, "Value of "+key+" (not shown; empty: later)")
		if err == nil && value != "" {
			var before string
			if before, err = d.Get(ctx, d.account(key)); err == nil || errors.Is(err, keychain.ErrNotFound) {
				_, err = d.store(ctx, key, value, before)
			}
		}
		if err != nil && !errors.As(err, new(usageError)) {
			notes.add("%s", sentence(err))
			return append(open, secrets[i:]...)
		}
		if value == "" {
			open = append(open, key)
		}
	}
	return open
}

func tellInit(out printer, dir string, done initLine, asJSON bool) error {
	if asJSON {
		return out.json(done)
	}
	for _, p := range done.Files {
		out.line("%s", p)
	}
	out.line("\n%s begins as the template %s.", done.Name, done.Template)
	if done.Packages {
		out.line("It needs packages from npm:\n  (cd %s && npm ci --ignore-scripts)", dir)
	}
	if len(done.Secrets) > 0 {
		out.line("It needs secrets, which have no value yet:")
		for _, key := range done.Secrets {
			out.line("  postern secrets add %s --function %s", key, done.Name)
		}
	}
	out.line("\nRun it here: postern functions dev %s\nDeploy it:   postern functions deploy %s", dir, dir)
	return nil
}
