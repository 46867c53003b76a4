// Package cli is the command line: flags in, exit code out.
//
// [Main] is all that the program calls. A command is one file with an options
// struct, a constructor and a run; [root] lists them. Failures come back as
// errors and are told in one place, as "postern: error: …" and "postern: hint:
// …" on standard error, or, where --json was given, as one JSON object on one
// line there. Standard output holds results only.
//
// Exit codes: 0 done, 1 it failed, 2 the command line or the settings are
// wrong, 3 no such thing, 4 not signed in or not allowed, 5 a part that is
// needed is away, 130 interrupted.
//
// Text that came over the network is stripped of control sequences before it
// is printed. No secret is taken from a flag.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/function"
)

// Stdio is what a command reads and writes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command line without the program's name and returns the exit
// code. An interrupt or SIGTERM ends the running command in good order; a
// second one ends the process at once.
func Main(args []string, std Stdio) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // from here on a signal has its usual, deadly effect
	}()
	if hasFlag(args, "--non-interactive") || config.NonInteractive() {
		std.In = unasked(std.In)
	}
	cmd := root(std)
	cmd.SetArgs(args)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return noSecret(args) }
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return report(ctx, std, err, hasJSON(args))
}

// root lists the commands.
func root(std Stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "postern",
		Short: "Run functions behind a locked door",
		Long: "Postern runs functions behind a locked door: it deploys a handler, gives it a URL,\n" +
			"and checks who is calling before a line of its code runs.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetIn(std.In)
	cmd.SetOut(std.Out)
	cmd.SetErr(std.Err)
	cmd.SetFlagErrorFunc(wrongFlag)
	cmd.PersistentFlags().String("config", "", "YAML file with settings (POSTERN_CONFIG)")
	cmd.PersistentFlags().Bool("non-interactive", false, "ask nothing, also at a terminal; what would be asked has to be given (POSTERN_NON_INTERACTIVE)")
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "FlagUsages", "FlagUsagesWrapped 80"))
	functions := newFunctions(std)
	completeNames(functions)
	cmd.AddCommand(
		newServe(std),
		newDemo(std),
		functions,
		newSecrets(std),
		newEnv(std),
		newKeys(std),
		newSubprojects(std),
		newUsers(std),
		newApply(std),
		newGateway(std),
		newAudit(std),
		newExplain(std),
		newUsage(std),
		newSigningKeys(std),
		newAuth(std),
		newConfig(std),
		newMan(std),
		newVersion(std),
	)
	cmd.InitDefaultCompletionCmd()
	for _, c := range cmd.Commands() {
		if c.Name() == "completion" {
			tellCompletion(c)
		}
	}
	return cmd
}

// tellCompletion says in our words what cobra's command does.
func tellCompletion(cmd *cobra.Command) {
	cmd.Short = "Write a script for the shell's tab key"
	cmd.Long = "Write a script that lets the shell's tab key complete commands, flags and, where the\n" +
		"environment has a key, the names of functions. --help of each says where it belongs."
	cmd.Example = "  source <(postern completion bash)"
	for _, c := range cmd.Commands() {
		c.Short = "Write it for " + c.Name()
	}
}

// group makes a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(children...)
	return cmd
}

// noCommand refuses the name of a command that is none, with those it is like.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if err := noSecret(args); err != nil { // which comes later otherwise, and would be in the message
		return err
	}
	hint := "see " + cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = "did you mean " + quote(cmd.CommandPath()+" "+like[0]) + "?"
	}
	return usageError{"there is no command " + quote(cmd.CommandPath()+" "+args[0]), hint}
}

// wrongFlag tells of a flag that cobra does not take. A group has no flags of its
// own: what is wrong there is the name of the command before it.
func wrongFlag(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() {
		if wrong := noCommand(cmd, cmd.Flags().Args()); wrong != nil {
			return wrong
		}
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := function.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			hint = "did you mean --" + near + "?"
		}
	}
	return usageError{err.Error(), hint}
}

// settingFlags gives cmd a flag for each setting of these parts.
func settingFlags(cmd *cobra.Command, parts ...config.Part) {
	var keys []string
	for _, f := range config.Fields() {
		if slices.Contains(parts, f.Part) {
			keys = append(keys, f.Key)
		}
	}
	settingFlagsOf(cmd, keys...)
}

// settingFlagsOf gives cmd the flags of these settings only.
func settingFlagsOf(cmd *cobra.Command, keys ...string) {
	for _, f := range config.Fields() {
		if f.Flag && slices.Contains(keys, f.Key) {
			cmd.Flags().String(f.Key, "", f.Usage)
		}
	}
	completeSettings(cmd)
}

// settings resolves the configuration with the flags that cmd was given. A
// command that knows profiles sees what they remember.
func settings(cmd *cobra.Command) (*config.Config, error) {
	in := config.Input{Flags: map[string]string{}, Profiles: cmd.Flags().Lookup("profile") != nil}
	in.File, _ = cmd.Flags().GetString("config")
	for _, f := range config.Fields() {
		if cmd.Flags().Lookup(f.Key) != nil && cmd.Flags().Changed(f.Key) {
			in.Flags[f.Key], _ = cmd.Flags().GetString(f.Key)
		}
	}
	return config.Load(in)
}

// exactly is cobra.ExactArgs with our way of telling what is wrong.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		want := "no arguments"
		if len(names) > 0 {
			want = strings.Join(names, " ")
		}
		hint := "see " + cmd.CommandPath() + " --help"
		if m, _, err := function.LoadManifest("."); err == nil && len(args) == 0 && want == "NAME" && cmd.Parent().Name() == "functions" {
			hint = "of the function in this directory: " + cmd.CommandPath() + " " + clean(m.Name)
		}
		return usageError{cmd.CommandPath() + " takes " + want, hint}
	}
}

// optional allows one argument or none.
func optional(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= 1 {
			return nil
		}
		return usageError{cmd.CommandPath() + " takes at most one " + name, "see " + cmd.CommandPath() + " --help"}
	}
}

// noSecret refuses a secret that was pasted where a name or an ID belongs,
// before it is repeated in a message or sent to where logs are written.
func noSecret(args []string) error {
	if slices.ContainsFunc(args, accesskey.Within) {
		return usageError{"something on the command line looks like a secret, and none belongs there", "other users can read a command line: give that key another secret with postern keys rotate"}
	}
	return nil
}

// hasJSON looks for --json without parsing, because the parsing may be what failed.
func hasJSON(args []string) bool { return hasFlag(args, "--json") }

// hasFlag looks for a flag that is true or false without parsing.
func hasFlag(args []string, flag string) bool {
	for _, a := range args {
		switch a {
		case flag, flag + "=true":
			return true
		case "--":
			return false
		}
	}
	return false
}
