package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// rehearsal is what `postern functions deploy --dry-run --json` prints.
type rehearsal struct {
	DryRun   bool          `json:"dryRun"`
	Function string        `json:"function"`
	Running  int           `json:"runningDeployment"` // 0: none
	Changes  bool          `json:"wouldChange"`
	Artefact string        `json:"artefact"`
	Bytes    int           `json:"artefactBytes"`
	Handlers []string      `json:"handlers"`
	Routes   []routeChange `json:"routes"`
	Settings []settingLine `json:"settings"`
	Missing  []string      `json:"missingSecrets"`
	// Files is null where the version that runs has no sources to compare with.
	Files    *fileChanges `json:"files"`
	Warnings []string     `json:"warnings"`
}

// routeChange is an address as it would be, or was, and what becomes of it.
type routeChange struct {
	Route   string `json:"route"`
	Handler string `json:"handler"`
	Guard   string `json:"guard"`
	Before  string `json:"guardBefore,omitempty"`
	Change  string `json:"change"` // new, changed, same or gone
}

type fileChanges struct {
	New     []string `json:"new"`
	Changed []string `json:"changed"`
	Gone    []string `json:"gone"`
}

// dryRun tells what a deploy would change. The module is loaded here, by a worker
// like those of the server, because only it knows its handlers.
func (j *deployJob) dryRun(ctx context.Context, out printer) error {
	r := rehearsal{DryRun: true, Function: j.manifest.Name, Running: j.before.Deployment.Number, Artefact: j.artefact.Hash, Bytes: len(j.artefact.Archive),
		Handlers: []string{}, Settings: append([]settingLine{}, j.plan.lines...), Missing: append([]string{}, j.plan.missing...)}
	archive, err := bundle.Open(j.artefact.Archive)
	if err != nil {
		return err
	}
	err = j.steps.do("try", func() (string, error) {
		handlers, said, err := try(ctx, j.client, archive, j.resolved)
		for _, w := range said {
			j.notes.add("%s", w)
		}
		for _, h := range handlers {
			if h.Kind != platform.HandlerFile {
				r.Handlers = append(r.Handlers, h.Name)
			}
		}
		r.Routes = compareRoutes(j.before.Routes, function.Describe(handlers))
		return fmt.Sprintf("%d handlers", len(r.Handlers)), err
	})
	if err == nil {
		err = j.steps.do("compare", func() (note string, err error) { r.Files, err = j.compareFiles(ctx, archive); return "", err })
	}
	if err != nil {
		return err
	}
	r.Changes = r.Running == 0 || j.before.Deployment.Artefact != r.Artefact || slices.ContainsFunc(r.Settings, func(s settingLine) bool {
		return s.Change != "same" && s.Change != "kept" && s.Change != "set"
	})
	r.Warnings = j.notes.all
	if j.o.asJSON {
		return out.json(r)
	}
	r.print(out)
	return nil
}

// try loads the module in a worker of this machine, and decides the guards as a
// deploy does.
func try(ctx context.Context, client *api.Client, archive *bundle.Archive, r environ.Resolved) (handlers []platform.Handler, warnings []string, err error) {
	m := archive.Manifest()
	declared := function.ProgramDeclaration()
	if m.Program == nil {
		if declared, err = declaration(ctx, client, archive, r); err != nil {
			return nil, nil, err
		}
	}
	return function.Protect(m, declared, true)
}

// compareRoutes tells what becomes of each address. Those that run are as the
// project's policy has them, the others as the function has.
func compareRoutes(before []api.Route, after []function.RouteRow) []routeChange {
	out, was := []routeChange{}, map[string]api.Route{}
	address := func(method, path string) string { return strings.TrimPrefix(method+" "+path, " ") }
	for _, r := range before {
		was[address(r.Method, r.Path)] = r
	}
	for _, r := range after {
		c := routeChange{Route: address(r.Method, r.Path), Handler: r.Handler, Guard: r.Guard, Change: "same"}
		old, ok := was[c.Route]
		switch {
		case !ok:
			c.Change = "new"
		case old.Guard != r.Guard:
			c.Change, c.Before = "changed", old.Guard
		case old.Handler != r.Handler:
			c.Change = "changed"
		}
		delete(was, c.Route)
		out = append(out, c)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		out = append(out, routeChange{Route: name, Handler: was[name].Handler, Guard: was[name].Guard, Change: "gone"})
	}
	return out
}

// compareFiles compares the project with that of the version that runs.
func (j *deployJob) compareFiles(ctx context.Context, archive *bundle.Archive) (*fileChanges, error) {
	before := map[string][sha256.Size]byte{}
	if j.before.Deployment.Number > 0 {
		data, err := j.client.Sources(ctx, j.manifest.Name, 0)
		if codeOf(err) == "sources_missing" {
			return nil, nil
		}
		if err == nil {
			before, err = digests(data)
		}
		if err != nil {
			return nil, err
		}
	}
	data, err := archive.Sources(nil)
	if err != nil {
		return nil, err
	}
	after, err := digests(data)
	if err != nil {
		return nil, err
	}
	c := &fileChanges{New: []string{}, Changed: []string{}, Gone: []string{}}
	delete(before, environ.DotenvFile)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if was, ok := before[name]; !ok {
			c.New = append(c.New, name)
		} else if was != after[name] {
			c.Changed = append(c.Changed, name)
		}
		delete(before, name)
	}
	c.Gone = append(c.Gone, slices.Sorted(maps.Keys(before))...)
	return c, nil
}

// digests are those of the files of a zip file that the server made.
func digests(data []byte) (map[string][sha256.Size]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("read the sources: %w", err)
	}
	out := map[string][sha256.Size]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("read the sources: %w", err)
		}
		h := sha256.New()
		_, err = io.Copy(h, io.LimitReader(r, bundle.MaxBytes))
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("read the sources: %w", err)
		}
		out[f.Name] = [sha256.Size]byte(h.Sum(nil))
	}
	return out, nil
}

// print tells it to people: what changes, and of the rest how much there is.
func (r rehearsal) print(out printer) {
	var rows [][]string
	for _, c := range r.Routes {
		guard := c.Guard
		if c.Before != "" {
			guard = c.Before + " → " + guard
		}
		rows = append(rows, []string{c.Route, c.Handler, guard, c.Change})
	}
	out.table([]string{"ROUTE", "HANDLER", "GUARD", "CHANGE"}, foldFiles(rows, 0, 1))
	printSettings(out, r.Settings)
	switch f := r.Files; {
	case f == nil:
		out.line("files     the version that runs has no sources to compare with")
	case r.Running > 0:
		for _, c := range []struct {
			what  string
			names []string
		}{{"new", f.New}, {"changed", f.Changed}, {"gone", f.Gone}} {
			if len(c.names) > 0 {
				more := ""
				if n := len(c.names) - 10; n > 0 {
					more = fmt.Sprintf(" and %d more", n)
				}
				out.line("files     %s: %s%s", c.what, clean(strings.Join(c.names[:min(10, len(c.names))], ", ")), more)
			}
		}
	}
	out.line("artefact  %s, %d KiB", r.Artefact[:12], (r.Bytes+1023)>>10)
	switch {
	case r.Running == 0:
		out.line("\n%s would be deployed for the first time. Nothing was changed.", clean(r.Function))
	case r.Changes:
		out.line("\n%s would get another version after %d. Nothing was changed.", clean(r.Function), r.Running)
	default:
		out.line("\n%s would stay as it is: version %d.", clean(r.Function), r.Running)
	}
}
