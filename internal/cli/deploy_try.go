//go:build !windows

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/worker"
)

// declaration is what the module declares when it is loaded.
func declaration(ctx context.Context, client *api.Client, archive *bundle.Archive, r environ.Resolved) (out platform.Declaration, err error) {
	node, err := worker.FindNode(ctx, "")
	if err != nil {
		return out, err
	}
	tmp, err := os.MkdirTemp("", "postern-try-*")
	if err != nil {
		return out, fmt.Errorf("make a directory to try the function in: %w", err)
	}
	defer os.RemoveAll(tmp)
	dir, home := filepath.Join(tmp, "function"), filepath.Join(tmp, "home")
	if err := errors.Join(archive.Extract(dir), os.Mkdir(home, 0o700)); err != nil {
		return out, err
	}
	m := archive.Manifest()
	env := append(r.Environ(), "PATH="+filepath.Dir(node)+":/usr/local/bin:/usr/bin:/bin", "HOME="+home, "TMPDIR="+home, "LANG=C.UTF-8", "TZ=UTC", "NODE_ENV=production",
		"PROJECT_ID="+client.ProjectID, "POSTERN_FUNCTION_NAME="+m.Name, "POSTERN_DATABASE="+filepath.Join(home, "try.db"))
	if style := m.CallStyle(); style != "" {
		env = append(env, "POSTERN_STYLE="+style)
	}
	w, err := worker.Start(ctx, worker.Spec{Argv: []string{node, "--enable-source-maps", bundle.Entry}, Dir: dir, Env: env, StartTimeout: 20 * time.Second})
	if e, ok := errors.AsType[*worker.StartError](err); ok {
		return out, fault.Wrap(err, fault.Invalid, strings.TrimRight(e.Message+"\n"+strings.Join(e.LastLines, "\n"), "\n")).WithCode("smoke_test_failed").
			WithHint("correct the code; it was tried on this machine, and nothing was deployed")
	}
	if err != nil {
		return out, err
	}
	out = w.Declaration()
	w.Kill("it was tried")
	<-w.Done()
	return out, nil
}
