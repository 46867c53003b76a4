package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// trees are the artefacts as they lie extracted, each for as long as a
// deployment needs it. The same artefact may be that of several, but not of two
// projects: a tree is where its workers run, and what one writes there without
// an absolute path the others find.
type trees struct {
	dir   string
	mu    sync.Mutex
	users map[string]map[string]bool // tree → IDs of deployments; guarded by mu
}

// tree is the name of a deployment's tree.
func tree(dep platform.Deployment) string { return dep.Artefact + "." + dep.ProjectID }

// extract makes the tree of a deployment's artefact, and keeps it until Gone.
func (d *Deployer) extract(dep platform.Deployment, archive *bundle.Archive) (dir string, err error) {
	t := &d.trees
	t.use(dep)
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return "", fmt.Errorf("make %s: %w", t.dir, err)
	}
	dir = filepath.Join(t.dir, tree(dep))
	return dir, archive.Extract(dir)
}

func (t *trees) use(dep platform.Deployment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := tree(dep)
	if t.users[name] == nil {
		t.users[name] = map[string]bool{}
	}
	t.users[name][dep.ID] = true
}

// Gone removes the tree of a deployment that nobody starts or asks for files
// any more, unless another one has the same artefact. Whoever has opened a file
// of it reads on.
func (d *Deployer) Gone(deploymentID string) {
	d.o.Live.Remove(deploymentID)
	name, last := d.trees.leave(deploymentID)
	if !last {
		return
	}
	os.RemoveAll(filepath.Join(d.trees.dir, name+asideOf(deploymentID))) // what stays is removed at the next start
	os.RemoveAll(d.compiled(name))
}

// leave ends a deployment's use of its artefact. Of the last one that has it, the
// tree is put aside at once, or half of it could be taken for a whole one.
func (t *trees) leave(deploymentID string) (name string, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, users := range t.users {
		if !users[deploymentID] {
			continue
		}
		if delete(users, deploymentID); len(users) > 0 {
			return "", false
		}
		delete(t.users, name)
		old := filepath.Join(t.dir, name)
		return name, os.Rename(old, old+asideOf(deploymentID)) == nil
	}
	return "", false
}

// asideOf is what stands behind the name of a tree that a deployment was the last to use.
func asideOf(deploymentID string) string { return "." + deploymentID + ".gone" }

// compiled is where Node keeps what it has made of the code in a tree.
func (d *Deployer) compiled(tree string) string {
	return filepath.Join(d.o.RunDir, "compiled", tree)
}

// OpenFile opens a file of a deployment by its name in the artefact, which is
// extracted if it does not lie there yet: on a node that has not run it. It
// implements gateway.Files.
func (d *Deployer) OpenFile(ctx context.Context, dep platform.Deployment, name string) (*os.File, error) {
	rest, ok := strings.CutPrefix(name, function.PublicDir)
	if !ok || !fs.ValidPath(rest) {
		return nil, fmt.Errorf("open %.100q: it is not served", name)
	}
	public := filepath.Join(d.trees.dir, tree(dep), filepath.FromSlash(function.PublicDir))
	d.trees.use(dep)
	f, err := openFile(public, rest)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	data, err := d.o.Artefacts.Read(ctx, dep.ProjectID, dep.Artefact)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the function's files cannot be read at the moment")
	}
	archive, err := bundle.Open(data)
	if err != nil {
		return nil, err
	}
	if _, err := d.extract(dep, archive); err != nil {
		return nil, err
	}
	return openFile(public, rest)
}

// openFile opens a file below a directory, and nothing else: a function can
// write where its artefact lies. It does not wait for whoever writes into a
// pipe, and follows no link that leads out.
func openFile(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("open %.100q: it is no regular file any more", name)
	}
	return f, nil
}
