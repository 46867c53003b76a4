package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

type deployOptions struct {
	asJSON, force, dryRun, noWait, noTypecheck bool
	percent                                    int // of the calls that it gets beside the active version; 0: all
}

func newFunctionsDeploy(std Stdio) *cobra.Command {
	o := deployOptions{}
	cmd := remote(&cobra.Command{
		Use:   "deploy [DIR]",
		Short: "Bundle a function, try it on a new worker, and move traffic to it",
		Long: "Deploy the function in DIR (default: here), step by step:\n" +
			"  validate   the manifest, .env and the keychain, as far as they concern it\n" +
			"  typecheck  with the project's own TypeScript, where that is installed and configured\n" +
			"  bundle     what runs, and the sources beside it: at most 500 files and 25 MiB\n" +
			"  lint       with the project's own ESLint, where it is installed and configured\n" +
			"  settings   what is set, and where it is from; a secret without a value refuses\n" +
			"  upload     what is not there yet; it goes on where it was when the connection breaks\n" +
			"  deploy     a new worker is started, and gets the traffic when it is ready\n" +
			"Whatever fails changes nothing. Nothing is downloaded for a check.\n\n" +
			"Prints every route with how it is guarded. Progress goes to standard error,\n" +
			"and with --json nowhere.",
		Args: optional("directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPart(cmd, o.percent, 1); err != nil {
				return err
			}
			if o.dryRun && o.noWait {
				return usageError{"--dry-run deploys nothing that could be waited for", "leave out --no-wait"}
			}
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			as := `"$POSTERN_KEY_ID:$POSTERN_KEY_SECRET"`
			if fromProfile(cmd) {
				as = client.KeyID // curl asks for the rest
			}
			return deployCommand(cmd.Context(), std, cfg, client, dir, as, o)
		},
	}, &o.asJSON)
	f := cmd.Flags()
	f.IntVar(&o.percent, "percent", 0, "of the calls that it gets at first, beside the active version (default: all)")
	f.BoolVar(&o.force, "force", false, "deploy again even if nothing changed, with what lint finds and without the secrets that are missing")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what would change, and change nothing")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait for the worker: postern functions status NAME --follow tells what becomes of it")
	f.BoolVar(&o.noTypecheck, "no-typecheck", false, "do not check types")
	return cmd
}

// deployed is what `postern functions deploy --json` prints.
type deployed struct {
	api.DeployResponse
	Settings []settingLine `json:"settings"`
}

func deployCommand(ctx context.Context, std Stdio, cfg *config.Config, client *api.Client, dir, as string, o deployOptions) error {
	j := &deployJob{client: client, dir: dir, o: o, steps: newSteps(std.Err, o.asJSON), notes: warnings{std: std, quiet: o.asJSON, all: []string{}}}
	j.notes.before = j.steps.clear
	if err := j.prepare(ctx, std, cfg); err != nil {
		return err
	}
	out := newPrinter(std.Out)
	if o.dryRun {
		return j.dryRun(ctx, out)
	}
	if !o.asJSON {
		printSettings(j.steps.out, j.plan.lines)
	}
	done, err := j.ship(ctx)
	if err != nil {
		return j.explained(err)
	}
	for _, w := range done.Warnings {
		j.notes.add("%s", w)
	}
	done.Warnings = j.notes.all
	if o.asJSON {
		return out.json(deployed{done, append([]settingLine{}, j.plan.lines...)})
	}
	if o.noWait && done.Function.Attempt != nil {
		out.line("%s is on its way: %s\nSee what becomes of it: postern functions status %s --follow", clean(j.manifest.Name), clean(done.Function.Attempt.State), clean(j.manifest.Name))
		return nil
	}
	printDeployed(out, done, as)
	return nil
}

// firstTime is said of a function that nothing runs of yet.
const firstTime = "not deployed yet"

// deployJob is one deploy from a directory to traffic.
type deployJob struct {
	client   *api.Client
	dir      string
	o        deployOptions
	steps    *steps
	notes    warnings
	manifest function.Manifest
	resolved environ.Resolved
	artefact *bundle.Artefact
	before   api.Function // what runs; of no deployment if nothing does
	plan     plan
}

// prepare does all that changes nothing.
func (j *deployJob) prepare(ctx context.Context, std Stdio, cfg *config.Config) error {
	if err := j.steps.do("validate", func() (string, error) { return j.validate(ctx, std, cfg) }); err != nil {
		return err
	}
	if !j.o.noTypecheck && j.manifest.Program == nil {
		if err := j.check("typecheck", func() (string, error) { return bundle.Typecheck(ctx, j.dir) }); err != nil {
			return err
		}
	}
	err := j.steps.do("bundle", func() (note string, err error) {
		if j.artefact, err = bundle.Build(ctx, j.dir); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %d KiB", j.artefact.Hash[:12], (len(j.artefact.Archive)+1023)>>10), nil
	})
	if err != nil {
		return err
	}
	found, err := leaks(j.artefact.Archive, j.resolved.Secrets())
	if err != nil {
		return err
	}
	for _, w := range append(j.artefact.Warnings, found...) {
		j.notes.add("%s", w)
	}
	if j.manifest.Program == nil {
		err := j.check("lint", func() (string, error) { return bundle.Lint(ctx, j.dir) })
		if err != nil && !(j.o.force && codeOf(err) == "lint_failed") {
			return err
		}
		if err != nil {
			j.notes.add("%s", err.Error())
		}
	}
	return j.steps.do("settings", func() (string, error) { return j.settle(ctx) })
}

// validate reads what the project says of itself, and looks at what runs: who may
// not deploy is told so before anything is built.
func (j *deployJob) validate(ctx context.Context, std Stdio, cfg *config.Config) (note string, err error) {
	if j.dir, err = bundle.Directory(j.dir); err != nil {
		return "", err
	}
	if j.manifest, _, err = function.LoadManifest(j.dir); err != nil { // the bundle brings its warnings
		return "", err
	}
	if j.resolved, err = resolve(ctx, std, cfg, j.dir, j.manifest, nil); err != nil {
		return "", err
	}
	for _, w := range j.resolved.Warnings {
		j.notes.add("%s", w)
	}
	j.before, err = j.client.Function(ctx, j.manifest.Name)
	if fault.KindOf(err) == fault.NotFound {
		return firstTime, nil
	}
	if err != nil || j.before.Deployment.Number == 0 {
		return firstTime, err
	}
	return fmt.Sprintf("version %d runs", j.before.Deployment.Number), nil
}

// check runs a tool of the project's own.
func (j *deployJob) check(name string, run func() (skipped string, err error)) error {
	return j.steps.do(name, func() (string, error) {
		skipped, err := run()
		if skipped != "" {
			skipped = "skipped: " + skipped
		}
		return skipped, err
	})
}

// settle finds out which settings are set, and refuses where one is missing.
func (j *deployJob) settle(ctx context.Context) (note string, err error) {
	if j.plan, err = planSettings(ctx, j.client, j.manifest, j.resolved); err != nil {
		return "", err
	}
	if missing := j.plan.missing; len(missing) > 0 {
		err := secretsMissing(missing, j.resolved.Unasked)
		if !j.o.force && !j.o.dryRun {
			return "", err
		}
		if j.o.dryRun || j.resolved.Unasked != "" { // else the server says it
			j.notes.add("%s", err.Error())
		}
	}
	return plural(len(j.plan.lines), "setting"), nil
}

// ship uploads what was built and asks for its deployment.
func (j *deployJob) ship(ctx context.Context) (done api.DeployResponse, err error) {
	err = j.steps.do("upload", func() (string, error) {
		sent, all := int64(-1), int64(len(j.artefact.Archive))
		err := j.client.Upload(ctx, j.artefact.Hash, j.artefact.Archive, func(at int64) {
			if sent < 0 {
				sent = at
			}
			j.steps.at(fmt.Sprintf("%d of %d KiB", at>>10, all>>10))
		})
		if sent < 0 || sent == all {
			return "there already", err
		}
		return fmt.Sprintf("%d KiB", (all-sent+1023)>>10), err
	})
	if err != nil {
		return done, err
	}
	err = j.steps.do("deploy", func() (note string, err error) {
		done, err = j.client.Deploy(ctx, j.manifest.Name, api.DeployRequest{Artefact: j.artefact.Hash, Force: j.o.force, Variables: j.resolved.Variables(), Secrets: j.resolved.Secrets(),
			Declares: j.resolved.Declares, Percent: j.o.percent, NoWait: j.o.noWait, Attempt: rand.Text()})
		if err != nil || j.o.noWait {
			return "", err
		}
		return fmt.Sprintf("version %d", done.Function.Deployment.Number), nil
	})
	return done, err
}

// explained adds to why a deploy failed what goes on meanwhile.
func (j *deployJob) explained(err error) error {
	f, ok := err.(*fault.Error)
	if !ok || f.Kind != fault.Invalid {
		return err
	}
	text := f.Text + "\n" + goesOn(j.manifest.Name, j.before.Deployment.Number)
	return fault.Wrap(err, f.Kind, text).WithCode(f.Code).WithHint(f.Hint)
}

func printDeployed(out printer, done api.DeployResponse, as string) {
	f := done.Function
	says := "is live"
	if done.Reused {
		says = "was live already; nothing changed"
	}
	if c := f.Candidate; c != nil && c.Number == f.Deployment.Number {
		says = fmt.Sprintf("is live with %d%% of the calls%s", c.Percent, toAll(f))
	}
	out.line("%s version %d %s\n", clean(f.Name), f.Deployment.Number, says)
	printRoutes(out, done.Routes)
	if line := tryLine(f, done.Routes, as); line != "" {
		asks := ""
		if strings.HasPrefix(line, "curl -u pak_") {
			asks = " (curl asks for the key's secret)"
		}
		out.line("\nTry it%s:\n  %s", asks, line)
	}
	out.line("")
	block := [][]string{{"Version", version(f)}, {"Status", stateWord(f)}}
	for _, u := range f.URLs {
		block = append(block, []string{"URL", u})
	}
	out.table([]string{"Function", f.Name}, block)
	if len(f.URLs) == 0 {
		out.line("\n%s: it has no public URL; functions of the project call it with context.functions.call('%s')", clean(where(f)), clean(f.Name))
	}
}

// tryLine is a curl line that answers: for a guarded route if there is one,
// with the credential as it is to be typed: without a secret.
func tryLine(f api.Function, routes []api.Route, as string) string {
	url := first(f.URLs)
	if url == "" {
		return ""
	}
	open := ""
	for _, r := range routes {
		if r.Path == function.ProgramRoute {
			r.Path = "/"
		}
		switch {
		case r.Handler == function.BuiltIn, r.Handler == "WebSocket", r.Method != "" && r.Method != http.MethodGet, strings.Contains(r.Path, "{"):
		case r.Guard == "access key":
			return "curl -u " + clean(as+" "+url+r.Path)
		case r.Guard == "open" && open == "":
			open = "curl " + clean(url+r.Path)
		}
	}
	return open
}
