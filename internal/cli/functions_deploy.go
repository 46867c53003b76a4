package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/function"
)

type deployOptions struct {
	asJSON, force bool
	percent       int // of the calls that it gets beside the active version; 0: all
}

func newFunctionsDeploy(std Stdio) *cobra.Command {
	o := deployOptions{}
	cmd := remote(&cobra.Command{
		Use:   "deploy [DIR]",
		Short: "Bundle a function, try it on a new worker, and move traffic to it",
		Long: "Bundle the function in DIR (default: here), upload it, start a new worker of it, and\n" +
			"move traffic when that worker is ready. Whatever fails before changes nothing.\n\n" +
			"Prints every route with how it is guarded. Progress goes to standard error,\n" +
			"and with --json nowhere.",
		Args: optional("directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPart(cmd, o.percent, 1); err != nil {
				return err
			}
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			as := `"$POSTERN_KEY_ID:$POSTERN_KEY_SECRET"`
			if fromProfile(cmd) {
				as = client.KeyID // curl asks for the rest
			}
			return deployCommand(cmd.Context(), std, client, dir, as, o)
		},
	}, &o.asJSON)
	cmd.Flags().IntVar(&o.percent, "percent", 0, "of the calls that it gets at first, beside the active version (default: all)")
	cmd.Flags().BoolVar(&o.force, "force", false, "deploy again even if nothing changed")
	return cmd
}

func deployCommand(ctx context.Context, std Stdio, client *api.Client, dir, as string, o deployOptions) error {
	progress := newPrinter(std.Err)
	if o.asJSON {
		progress.w = io.Discard // programs read an error there, and nothing else
	}
	done, err := deployDir(ctx, client, dir, o, progress)
	if err != nil {
		return err
	}
	out := newPrinter(std.Out)
	if o.asJSON {
		return out.json(done)
	}
	for _, w := range done.Warnings {
		progress.line("postern: %s %s", progress.paint(yellow, "warning:"), clean(w))
	}
	printDeployed(out, done, as)
	return nil
}

// deployDir takes the project in dir to traffic, and tells each step.
func deployDir(ctx context.Context, client *api.Client, dir string, o deployOptions, progress printer) (api.DeployResponse, error) {
	progress.line("bundling %s", clean(dir))
	artefact, err := bundle.Build(ctx, dir)
	if err != nil {
		return api.DeployResponse{}, err
	}
	known, err := client.HasArtefact(ctx, artefact.Hash)
	if err != nil {
		return api.DeployResponse{}, err
	}
	if !known {
		progress.line("uploading %s (%d KiB)", artefact.Hash[:12], (len(artefact.Archive)+1023)>>10)
		if err := client.PutArtefact(ctx, artefact.Hash, artefact.Archive); err != nil {
			return api.DeployResponse{}, err
		}
	}
	progress.line("starting a worker of %s", artefact.Manifest.Name)
	done, err := client.Deploy(ctx, artefact.Manifest.Name, api.DeployRequest{Artefact: artefact.Hash, Force: o.force, Percent: o.percent})
	done.Warnings = append(append([]string{}, artefact.Warnings...), done.Warnings...) // never null in JSON
	return done, err
}

func printDeployed(out printer, done api.DeployResponse, as string) {
	f := done.Function
	says := "is live"
	if done.Reused {
		says = "was live already; nothing changed"
	}
	if c := f.Candidate; c != nil && c.Number == f.Deployment.Number {
		says = fmt.Sprintf("is live with %d%% of the calls; all of them with: postern functions promote %s --percent 100", c.Percent, clean(f.Name))
	}
	out.line("%s deployment %d %s\n", clean(f.Name), f.Deployment.Number, says)
	printRoutes(out, done.Routes)
	out.line("")
	for _, u := range f.URLs {
		out.line("%s", clean(u))
	}
	if len(f.URLs) == 0 {
		out.line("%s: it has no public URL; functions of the project call it with context.functions.call('%s')", clean(where(f)), clean(f.Name))
	}
	if line := tryLine(f, done.Routes, as); line != "" {
		out.line("\nTry it:\n  %s", line)
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
		case r.Handler == "built in", r.Handler == "WebSocket", r.Method != "" && r.Method != http.MethodGet, strings.Contains(r.Path, "{"):
		case r.Guard == "access key":
			return "curl -u " + clean(as+" "+url+r.Path)
		case r.Guard == "open" && open == "":
			open = "curl " + clean(url+r.Path)
		}
	}
	return open
}
