package deploy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/secret"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// Launch prepares the launch of a recorded deployment: it implements
// supervisor.Launcher.
func (d *Deployer) Launch(ctx context.Context, deploymentID string) (supervisor.Launch, error) {
	dep, err := d.o.Store.Deployment(ctx, deploymentID)
	if fault.KindOf(err) == fault.NotFound {
		return supervisor.Launch{}, supervisor.ErrRetired
	}
	if err != nil {
		return supervisor.Launch{}, err
	}
	return d.relaunch(ctx, dep)
}

// relaunch prepares the launch of a recorded deployment with its secrets as they
// would be after changes that are not written yet.
func (d *Deployer) relaunch(ctx context.Context, dep platform.Deployment, after ...platform.SecretInput) (supervisor.Launch, error) {
	data, err := d.o.Artefacts.Read(ctx, dep.ProjectID, dep.Artefact)
	if err != nil {
		return supervisor.Launch{}, err
	}
	archive, err := bundle.Open(data)
	if err != nil {
		return supervisor.Launch{}, err
	}
	opened, err := d.o.Secrets.Open(ctx, dep, after...)
	if err != nil {
		return supervisor.Launch{}, err
	}
	key, err := d.o.Sealer.Open(ctx, dep.ID, dep.SealedKeySecret)
	if err != nil {
		return supervisor.Launch{}, err
	}
	l, err := d.prepare(ctx, dep, archive, given{string(key), opened})
	l.Expect = dep.Declaration
	return l, err
}

// given is what workers get that nobody may see: the secret of the function's
// own key, and its secrets.
type given struct {
	key     string
	secrets secret.Opened
}

func (g given) all() map[string]string {
	all := map[string]string{"PROJECT_ID_API_SECRET": g.key}
	maps.Copy(all, g.secrets.Values)
	return all
}

// prepare extracts an artefact and makes the command of its workers.
func (d *Deployer) prepare(ctx context.Context, dep platform.Deployment, archive *bundle.Archive, has given) (supervisor.Launch, error) {
	m := archive.Manifest()
	node, err := d.findNode(ctx)
	if err != nil && m.Program == nil {
		return supervisor.Launch{}, err
	}
	dir, err := d.extract(dep, archive)
	if err != nil {
		return supervisor.Launch{}, err
	}
	tmp := filepath.Join(d.o.RunDir, "tmp", dep.FunctionID)
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return supervisor.Launch{}, fmt.Errorf("make %s: %w", tmp, err)
	}
	known := has.all()
	d.o.Live.Add(dep.ID, known)
	spec := worker.Spec{
		Argv:   nodeArguments(node, d.memory(m)),
		Dir:    dir,
		Env:    d.environment(dep, m, place{node, tmp}, has),
		Memory: d.memory(m),
		Redact: redact.New(known),
		Log:    func(l worker.Line) { d.o.Log(dep.FunctionID, dep.ID, l) },
	}
	if m.Program != nil {
		d.program(&spec, m)
	}
	if d.o.Token != nil {
		spec.Token = func(now time.Time) (worker.Token, error) { return d.o.Token(dep.KeyID, dep.ProjectID, now) }
	}
	if d.o.Database != nil {
		path, err := d.o.Database(ctx, dep.FunctionID)
		if err != nil {
			return supervisor.Launch{}, err
		}
		spec.Env = append(spec.Env, "POSTERN_DATABASE="+path)
	}
	if d.o.HostCall != nil {
		spec.HostCall = d.o.HostCall(dep.FunctionID)
	}
	return supervisor.Launch{DeploymentID: dep.ID, FunctionID: dep.FunctionID, Spec: spec, Workers: m.Workers.Max, Spare: m.Workers.Spare, Secrets: has.secrets.Version}, nil
}

// memory is what one worker may use, in bytes; 0: no limit.
func (d *Deployer) memory(m function.Manifest) int64 {
	return cmp.Or(m.Workers.Memory, d.o.WorkerMemory)
}

// nodeArguments are how a function's module is run. The heap may be as large as
// the whole process: when only that is full, V8 says so, and with a stack.
func nodeArguments(node string, memory int64) []string {
	argv := []string{node, "--enable-source-maps"}
	if memory > 0 {
		argv = append(argv, fmt.Sprintf("--max-old-space-size=%d", memory>>20))
	}
	return append(argv, bundle.Entry)
}

// place is where a worker runs.
type place struct{ node, tmp string }

// environment is a worker's whole environment, built from nothing: what the
// server was started with is not for functions to see. Secrets win over
// variables, and the platform's own names, which come last, over all.
func (d *Deployer) environment(dep platform.Deployment, m function.Manifest, at place, has given) []string {
	all := maps.Clone(dep.Variables)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, has.secrets.Values)
	maps.DeleteFunc(all, func(name, _ string) bool { return m.PlatformName(name) })
	var env []string
	for k, v := range all {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	if style := m.CallStyle(); style != "" {
		env = append(env, "POSTERN_STYLE="+style)
	}
	if m.EventFormat != "" {
		env = append(env, "POSTERN_EVENT_FORMAT="+m.EventFormat)
	}
	own := Own(dep)
	for _, name := range slices.Sorted(maps.Keys(own)) {
		env = append(env, name+"="+own[name])
	}
	return append(env,
		"PATH="+searchPath(at.node),
		"NODE_COMPILE_CACHE="+d.compiled(tree(dep)), // of Node 22 and newer
		"HOME="+at.tmp, "TMPDIR="+at.tmp, "LANG=C.UTF-8", "TZ=UTC", "PROJECT_ID_API_SECRET="+has.key,
		"POSTERN_FUNCTION_NAME="+m.Name, "POSTERN_DEPLOYMENT_ID="+dep.ID, worker.InstanceVariable+"="+d.o.InstanceID)
}

// Own are the settings that the platform itself gives a version and that its
// owner may see.
func Own(dep platform.Deployment) map[string]string {
	return map[string]string{"NODE_ENV": "production", "PROJECT_ID": dep.ProjectID, "FUNCTION_ID": dep.FunctionID, "PROJECT_ID_API_KEY": dep.KeyID}
}

// searchPath is where commands are looked up. A program may do without Node.
func searchPath(node string) string {
	const system = "/usr/local/bin:/usr/bin:/bin"
	if node == "" {
		return system
	}
	return filepath.Dir(node) + ":" + system
}

// findNode looks for Node until it has found one, and again when that one is
// gone: it may be installed and upgraded while the server runs.
func (d *Deployer) findNode(ctx context.Context) (string, error) {
	d.nodeMu.Lock()
	defer d.nodeMu.Unlock()
	if _, err := os.Stat(d.node); d.node != "" && err == nil {
		return d.node, nil
	}
	node, err := d.o.Node(ctx)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(node); err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "Node is no longer where it was found").WithCode("node_missing")
	}
	d.node = node
	return node, nil
}
