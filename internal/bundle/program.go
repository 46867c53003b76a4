package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// ProgramDir is the directory of an artefact in which a program's files are.
const ProgramDir = "program"

// leftOut is taken only where it is named: the manifest is in the artefact
// already, and packages are too many.
var leftOut = []string{function.SourcePostern, function.SourceSinch, "node_modules"}

// compiled is what a run of Python leaves behind. It would make each artefact
// another one.
const compiled = "__pycache__"

// program builds the program in dir and takes its files, by their names in the
// artefact: those that the manifest includes, or else all but what is left out and
// what begins with a dot.
func program(ctx context.Context, dir string, m function.Manifest) (map[string][]byte, error) {
	p := m.Program
	if err := runBuild(ctx, dir, p.Build); err != nil {
		return nil, err
	}
	t := taken{dir: dir, exclude: m.Exclude, known: names{}, files: map[string][]byte{}}
	if err := t.include(p.Include); err != nil {
		return nil, err
	}
	if name := p.File(); name != "" {
		if t.files[ProgramDir+"/"+name] == nil {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("the command is %s, which is not among the files that are deployed", p.Command[0])).WithCode("entry_missing").
				WithHint("make it first (\"build\" in postern.json does so at each deploy), or name it in \"include\"")
		}
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil && info.Mode()&0o111 == 0 {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("the command is %s, which is not executable", p.Command[0])).WithCode("entry_missing").
				WithHint("make it so: chmod +x " + p.Command[0] + "; or name what runs it: [\"python3\", \"app.py\"]")
		}
	}
	return t.files, nil
}

// keepOutput is how much is told of what a build wrote before it failed.
const keepOutput = 8 << 10

// runBuild runs the manifest's build on this machine, in the project's directory
// and with the environment of who deploys. No server ever does.
func runBuild(ctx context.Context, dir string, command []string) error {
	if len(command) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second // what it started may keep its output open
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(err, fault.Invalid, fmt.Sprintf("the build command %q was not found on this machine", command[0])).WithCode("bundle_failed").
			WithHint("install it, or correct \"build\" in postern.json; no shell reads it")
	}
	out = bytes.TrimSpace(out[max(0, len(out)-keepOutput):])
	return fault.Wrap(err, fault.Invalid, fmt.Sprintf("the build failed (%v)\n%s", err, strings.ToValidUTF8(string(out), "\ufffd"))).WithCode("bundle_failed").
		WithHint("it was run in " + dir + ": " + strings.Join(command, " "))
}

// taken are files of a project that go into an artefact.
type taken struct {
	dir     string
	exclude function.Excludes
	known   names
	files   map[string][]byte
	size    int
}

// include takes what the patterns name; without any, everything.
func (t *taken) include(patterns []string) error {
	if len(patterns) == 0 {
		return t.below(".")
	}
	for _, p := range patterns {
		found, err := fs.Glob(os.DirFS(t.dir), path.Clean(p))
		if err != nil || len(found) == 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("include names %q, and there is nothing of that name", p)).WithCode("entry_missing").
				WithHint("correct it, or make it first: \"build\" in postern.json does so at each deploy")
		}
		for _, name := range found {
			if err := t.below(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// below takes a file, or what is in a directory, but for what is hidden.
func (t *taken) below(root string) error {
	return filepath.WalkDir(filepath.Join(t.dir, filepath.FromSlash(root)), func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read the project: %w", err)
		}
		rel, err := filepath.Rel(t.dir, file)
		if err != nil {
			return fmt.Errorf("read the project: %w", err)
		}
		name := filepath.ToSlash(rel)
		out := name != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == compiled || root == "." && (slices.Contains(leftOut, d.Name()) || keptHere(name)) || name != "." && t.exclude.Match(name, d.IsDir())
		switch {
		case out && d.IsDir():
			return filepath.SkipDir
		case out || d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fault.New(fault.Invalid, fmt.Sprintf("%s is no regular file: links and devices are not deployed", name)).WithCode("bundle_failed").
				WithHint("copy what it leads to, or leave it out by naming the others in \"include\"")
		}
		return t.take(file, name)
	})
}

func (t *taken) take(file, name string) error {
	key := ProgramDir + "/" + name
	if t.files[key] != nil {
		return nil
	}
	if err := t.known.add(key); err != nil {
		return fault.New(fault.Invalid, "the file cannot be deployed: "+err.Error()).WithCode("bundle_failed").WithHint("rename it, or leave it out by naming the others in \"include\"")
	}
	if len(t.files)+1 >= MaxFiles { // and the manifest
		return fault.New(fault.Invalid, fmt.Sprintf("the project has more than %d files", MaxFiles-1)).WithCode("bundle_failed").
			WithHint("name what is needed in \"include\", or bundle it into fewer files in \"build\"")
	}
	if real, err := filepath.EvalSymlinks(file); err != nil || real != file {
		return fault.New(fault.Invalid, fmt.Sprintf("%s lies behind a link, which is not deployed", name)).WithCode("bundle_failed")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the project: %w", err)
	}
	if t.size += len(data); t.size > MaxBytes {
		return fault.New(fault.Invalid, fmt.Sprintf("the files have more than %d MiB, counted up to %s", MaxBytes>>20, name)).WithCode("bundle_failed").
			WithHint("name what is needed in \"include\"; binaries are smaller without symbols (of Go: -ldflags=-s)")
	}
	t.files[key] = append(make([]byte, 0, len(data)+1), data...) // never nil, also when empty
	return nil
}

// fits checks that an artefact has the files of its runtime, and no others.
func (a *Archive) fits() error {
	p := a.manifest.Program
	if p == nil && a.files[Entry] == nil {
		return invalid("%s is missing", Entry)
	}
	for name := range a.files { // the sources are of both
		of := strings.HasPrefix(name, ProgramDir+"/")
		if of != (p != nil) && name != manifestFile {
			return invalid("%.100q does not belong to its runtime", name)
		}
	}
	if file := a.executable(); file != "" && a.files[file] == nil {
		return invalid("the command's file is missing")
	}
	return nil
}

// executable is the one file that may be run; empty: none.
func (a *Archive) executable() string {
	if p := a.manifest.Program; p != nil && p.File() != "" {
		return ProgramDir + "/" + p.File()
	}
	return ""
}
