//go:build !windows

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/examples"
	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
)

type demoOptions struct {
	data, listen string
	asJSON       bool
}

// demoLine is what `postern demo --json` prints when it is ready.
type demoLine struct {
	Gateway   string         `json:"gateway"`
	API       string         `json:"api"`
	Console   string         `json:"console"`
	ProjectID string         `json:"projectId"`
	KeyID     string         `json:"keyId"`
	KeySecret string         `json:"keySecret"`
	Functions []demoFunction `json:"functions"`
}

type demoFunction struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

func newDemo(std Stdio) *cobra.Command {
	o := demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything on a throw-away data directory, with an example",
		Long: "Run gateway and control plane on free ports and a throw-away data directory, deploy\n" +
			"the example function \"protect\", print what to try, and serve until interrupted.\n\n" +
			"With --json one line tells everything once it is ready; logs go to standard error.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), std, o)
		},
	}
	cmd.Flags().StringVar(&o.data, "data", "", "directory to keep (default: one that is removed at the end)")
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:0", "address of the gateway")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print one line of JSON when ready")
	return cmd
}

func demo(ctx context.Context, std Stdio, o demoOptions) (err error) {
	scratch, err := os.MkdirTemp("", "postern-demo-")
	if err != nil {
		return fmt.Errorf("make a throw-away directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if o.data == "" {
		o.data = filepath.Join(scratch, "data")
	}
	level := "warn"
	if o.asJSON {
		level = "info"
	}
	cfg, err := config.Load(config.Input{Apart: true, Flags: map[string]string{
		"data": o.data, "listen": o.listen, "control-listen": "127.0.0.1:0", "log-level": level,
	}})
	if err != nil {
		return err
	}
	server, err := app.New(ctx, cfg, readVersion().Version, std.Err)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	select {
	case <-server.Ready():
	case err := <-ended:
		return err
	}
	if err := present(ctx, std, server, scratch, o); err != nil {
		cancel()
		return errors.Join(err, <-ended)
	}
	return <-ended
}

// present deploys the example and says what can be done with it.
func present(ctx context.Context, std Stdio, server *app.Server, scratch string, o demoOptions) error {
	key := server.FirstKey()
	if key == nil { // a directory that was kept: its first secret is gone
		var err error
		if key, err = server.NewKey(ctx, "demo "+time.Now().UTC().Format("2006-01-02 15:04:05.000")); err != nil {
			return err
		}
	}
	dir := filepath.Join(scratch, "protect")
	if err := writeExample(dir, "protect"); err != nil {
		return err
	}
	client := connect(server.ControlURL(), key.ProjectID, key.ID, key.Secret.Reveal())
	artefact, err := bundle.Build(ctx, dir)
	if err != nil {
		return err
	}
	done, err := (&deployJob{client: client, manifest: artefact.Manifest, artefact: artefact, steps: newSteps(io.Discard, true)}).ship(ctx)
	if err != nil {
		return err
	}
	url := server.GatewayURL() + "/fn/" + done.Function.Slug
	out := newPrinter(std.Out)
	if o.asJSON {
		return out.json(demoLine{
			Gateway: server.GatewayURL(), API: server.ControlURL(), Console: server.ConsoleURL(),
			ProjectID: key.ProjectID, KeyID: key.ID, KeySecret: key.Secret.Reveal(),
			Functions: []demoFunction{{done.Function.Name, url}},
		})
	}
	out.line("Postern is running. One function is deployed: %s\n", done.Function.Name)
	out.line("gateway     %s", server.GatewayURL())
	out.line("API         %s", server.ControlURL())
	out.line("console     %s (sign in with the key ID and the key secret)", server.ConsoleURL())
	out.line("project     %s", key.ProjectID)
	out.line("key ID      %s", key.ID)
	out.line("key secret  %s\n", key.Secret.Reveal())
	printRoutes(out, done.Routes)
	out.line("\nTry these lines:")
	for _, try := range demoTries(url, server.ControlURL(), key) {
		out.line("\n# %s\n%s", try.says, try.line)
	}
	out.line("\nCtrl-C ends it%s.", map[bool]string{true: " and leaves nothing behind"}[filepath.Dir(o.data) == scratch])
	return nil
}

type demoTry struct{ says, line string }

func demoTries(url, control string, key *app.Key) []demoTry {
	const post = ` -H 'content-type: application/json' -d '{"hello":"world"}'`
	return []demoTry{
		{"no key: 401, and the handler does not run", "curl -i " + url + "/webhook" + post},
		{"with the key: 200, and the body comes back", "curl -i -u " + key.ID + ":" + key.Secret.Reveal() + " " + url + "/webhook" + post},
		{"the same key as a header: 200", "curl -i -H 'X-API-Key: " + key.Secret.Reveal() + "' " + url + "/webhook" + post},
		{"with an access token, got with the key and good for an hour: 200", `curl -i -H "Authorization: Bearer $(curl -s -u ` + key.ID + ":" + key.Secret.Reveal() + " " + control +
			`/oauth2/token -d grant_type=client_credentials | sed 's/.*"access_token":"\([^"]*\).*/\1/')" ` + url + "/webhook" + post},
		{"an open handler: 200", "curl -i " + url + "/status"},
		{"the health check: 200", "curl -i " + url + "/health"},
		{"no such handler: 404", "curl -i " + url + "/nope"},
	}
}

// writeExample copies an example out of the program.
func writeExample(dir, name string) error {
	tree, err := fs.Sub(examples.Files, name)
	if err == nil {
		err = os.CopyFS(dir, tree)
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "write the example "+name)
	}
	return nil
}
