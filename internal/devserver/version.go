package devserver

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// bootModule is what a process runs that waits for its module.
//
//go:embed boot.mjs
var bootModule []byte

const bootFile = "boot.mjs"

// version is one state of the project, as it serves or did.
type version struct {
	number     int
	key        string // what it was made of: of the same another one is not made
	dir        string // where its files lie
	files      string // the directory of its public/ and assets/
	deployment platform.Deployment
	launch     supervisor.Launch
	settings   Settings
	routes     []Route
	told       *Function
	skipped    bool            // guarded handlers are open
	unguarded  map[string]bool // names of handlers and patterns of routes that are
	closed     map[string]bool // likewise: that nobody reaches without credentials when deployed
}

// Launch implements supervisor.Launcher: of the version that serves, a worker that
// ended is started again.
func (s *Server) Launch(_ context.Context, deploymentID string) (supervisor.Launch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.versions[deploymentID]
	if v == nil || s.current != v {
		return supervisor.Launch{}, supervisor.ErrRetired
	}
	return v.launch, nil
}

// gone removes a version that nobody asks for any more.
func (s *Server) gone(deploymentID string) {
	s.mu.Lock()
	v := s.versions[deploymentID]
	shared := v == nil
	if v != nil && v != s.current {
		delete(s.versions, deploymentID)
		for _, o := range s.versions {
			shared = shared || o.files == v.files
		}
	}
	s.mu.Unlock()
	if v == nil || v == s.current {
		return
	}
	os.RemoveAll(v.dir)
	if !shared {
		os.RemoveAll(v.files)
	}
}

// prepare writes what a version is started from and says how.
func (s *Server) prepare(ctx context.Context, number int, t *bundle.Tree, set Settings) (*version, error) {
	dep := platform.Deployment{ID: function.NewDeploymentID(time.Now()), FunctionID: s.functionID, ProjectID: cmp.Or(set.ProjectID, localProject), Number: number,
		Artefact: t.Hash, Runtime: t.Manifest.Runtime, Variables: map[string]string{}, Visibility: t.Manifest.Visibility, CreatedAt: time.Now()}
	for _, v := range set.Settings {
		dep.Variables[v.Name] = v.Value.Reveal()
	}
	v := &version{number: number, deployment: dep, dir: filepath.Join(s.runDir, dep.ID)}
	if err := s.write(v, t); err != nil {
		return nil, err
	}
	spec, err := s.spec(ctx, v, t.Manifest, set)
	if err != nil {
		return nil, err
	}
	w := t.Manifest.Workers
	v.launch = supervisor.Launch{DeploymentID: dep.ID, FunctionID: dep.FunctionID, Spec: spec, Workers: w.Max, Spare: w.Spare}
	if s.o.Inspect > 0 {
		v.launch.Workers, v.launch.Spare = 1, 0
	}
	return v, nil
}

// localProject is the project of a function whose developer has none.
const localProject = "prj_development"

// spec says how a worker of a version is started.
func (s *Server) spec(ctx context.Context, v *version, m function.Manifest, set Settings) (worker.Spec, error) {
	memory := cmp.Or(m.Workers.Memory, s.o.WorkerMemory)
	tmp := filepath.Join(s.runDir, "tmp")
	data := filepath.Join(s.project.Dir(), dataDir)
	for _, dir := range []string{tmp, data} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return worker.Spec{}, fmt.Errorf("make a directory for the function: %w", err)
		}
	}
	secrets := set.Secrets()
	if set.Pair != nil {
		secrets["PROJECT_ID_API_SECRET"] = set.Pair.Secret.Reveal()
	}
	spec := worker.Spec{Dir: v.dir, Memory: memory, Redact: redact.New(secrets), HostCall: s.kept.For(s.functionID), Token: s.token(v.deployment.ProjectID), Log: s.line,
		Env: s.environment(m, set, tmp), Late: []string{"POSTERN_DEPLOYMENT_ID=" + v.deployment.ID}}
	if m.Program != nil {
		spec.Argv, spec.Dir = m.Program.Command, s.project.Dir()
		spec.Env = append(spec.Env, "ASPNETCORE_ENVIRONMENT=Development", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "HOME="+s.o.Home, "POSTERN_DEPLOYMENT_ID="+v.deployment.ID)
		spec.Program = &worker.Program{Name: m.Name, TCP: m.Program.Port == function.PortTCP, Ready: m.Program.Ready, Dir: filepath.Join(s.runDir, "programs"), Declares: function.ProgramDeclaration()}
		return spec, nil
	}
	node, err := s.findNode(ctx)
	if err != nil {
		return worker.Spec{}, err
	}
	spec.Env = append(spec.Env, "HOME="+tmp, "NODE_COMPILE_CACHE="+filepath.Join(s.runDir, "compiled"))
	spec.Argv = []string{node, "--enable-source-maps"}
	if memory > 0 {
		spec.Argv = append(spec.Argv, fmt.Sprintf("--max-old-space-size=%d", memory>>20))
	}
	if s.o.Inspect > 0 {
		spec.Argv = append(spec.Argv, fmt.Sprintf("--inspect=127.0.0.1:%d", s.o.Inspect))
	} else {
		spec.Ahead, spec.Boot = s.ahead, filepath.Join(s.runDir, bootFile)
	}
	spec.Argv = append(spec.Argv, bundle.Entry)
	return spec, nil
}

// environment is a worker's whole environment but for what differs by runtime.
// The platform's own names come last, and win.
func (s *Server) environment(m function.Manifest, set Settings, tmp string) []string {
	env := set.Environ()
	slices.Sort(env)
	if style := m.CallStyle(); style != "" {
		env = append(env, "POSTERN_STYLE="+style)
	}
	if m.EventFormat != "" {
		env = append(env, "POSTERN_EVENT_FORMAT="+m.EventFormat)
	}
	env = append(env, "PATH="+s.o.Search, "TMPDIR="+tmp, "LANG=C.UTF-8", "TZ=UTC", "NODE_ENV=development",
		"FUNCTION_ID="+s.functionID, "POSTERN_FUNCTION_NAME="+m.Name, worker.InstanceVariable+"="+s.Instance(),
		"POSTERN_DATABASE="+filepath.Join(s.project.Dir(), dataDir, "function.db"))
	if set.ProjectID != "" {
		env = append(env, "PROJECT_ID="+set.ProjectID)
	}
	if set.Pair != nil {
		env = append(env, "PROJECT_ID_API_KEY="+set.Pair.KeyID, "PROJECT_ID_API_SECRET="+set.Pair.Secret.Reveal())
	}
	return env
}

// findNode looks for Node until it has found one: it may be installed meanwhile.
func (s *Server) findNode(ctx context.Context) (string, error) {
	s.mu.Lock()
	node := s.node
	s.mu.Unlock()
	if node != "" {
		return node, nil
	}
	node, err := worker.FindNode(ctx, s.o.Node)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = node
	return node, err
}

// write lays a version's files down, its public/ and assets/ beside it where an
// earlier version has the same.
func (s *Server) write(v *version, t *bundle.Tree) error {
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", v.dir, err)
	}
	if boot := filepath.Join(s.runDir, bootFile); !there(boot) {
		if err := os.WriteFile(boot, bootModule, 0o600); err != nil {
			return err
		}
	}
	v.files = filepath.Join(s.runDir, "files-"+t.StaticHash)
	fresh := !there(v.files)
	for name, data := range t.Files {
		path, static := filepath.Join(v.dir, name), strings.Contains(name, "/")
		if static {
			if path = filepath.Join(v.files, filepath.FromSlash(name)); !fresh {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	for _, dir := range []string{function.PublicDir, function.AssetsDir} {
		if dir = strings.TrimSuffix(dir, "/"); there(filepath.Join(v.files, dir)) {
			if err := os.Symlink(filepath.Join(v.files, dir), filepath.Join(v.dir, dir)); err != nil {
				return fmt.Errorf("write %s: %w", dir, err)
			}
		}
	}
	return nil
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// OpenFile implements gateway.Files.
func (s *Server) OpenFile(_ context.Context, dep platform.Deployment, name string) (*os.File, error) {
	s.mu.Lock()
	v := s.versions[dep.ID]
	s.mu.Unlock()
	rest, ok := strings.CutPrefix(name, function.PublicDir)
	if v == nil || !ok || !fs.ValidPath(rest) {
		return nil, fmt.Errorf("open %.100q: it is not served", name)
	}
	root, err := os.OpenRoot(filepath.Join(v.files, filepath.FromSlash(function.PublicDir)))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(filepath.FromSlash(rest))
}

// guard decides how a version's handlers are guarded: as it would be deployed,
// but for callbacks, and with guarded handlers open where nobody could show a
// credential.
func guard(v *version, m function.Manifest, d platform.Declaration, skip bool) ([]string, error) {
	handlers, warnings, err := function.Protect(m, d, false)
	if err != nil {
		return nil, err
	}
	v.deployment.Declaration, v.skipped, v.unguarded, v.closed = d, skip, map[string]bool{}, closedBy(m, d)
	deployed := function.Describe(handlers)
	for i := range handlers {
		h := &handlers[i]
		h.Routes = slices.Clone(h.Routes)
		if skip && h.Guard == platform.GuardKey {
			h.Guard = platform.GuardOpen
			if len(h.Routes) == 0 {
				v.unguarded[h.Name] = true
			}
		}
		for j := range h.Routes {
			if r := &h.Routes[j]; skip && r.Guard == platform.GuardKey {
				r.Guard = platform.GuardOpen
				v.unguarded[r.Pattern] = true
			}
		}
	}
	v.deployment.Handlers = handlers
	for i, row := range function.Describe(handlers) {
		r := Route{RouteRow: row}
		if was := deployed[i].Guard; was != row.Guard {
			r.Deployed = was
		}
		v.routes = append(v.routes, r)
	}
	return warnings, nil
}

// closedBy are the names of the handlers and the patterns of the routes that are
// not open when the function is deployed.
func closedBy(m function.Manifest, d platform.Declaration) map[string]bool {
	closed := map[string]bool{}
	handlers, _, _ := function.Protect(m, d, true) // what is wrong has been told
	for _, h := range handlers {
		closed[h.Name] = h.Guard != platform.GuardOpen
		for _, r := range h.Routes {
			closed[r.Pattern] = r.Guard != platform.GuardOpen
		}
	}
	return closed
}

// missing reports whether there is no manifest at all.
func missing(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == "manifest_missing"
}
