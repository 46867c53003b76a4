// Package deploy takes an artefact to traffic, and prepares what a
// deployment's workers are started with.
//
// [Deployer.Deploy] is one deploy: open the artefact, start a worker of it (the
// smoke test), decide each handler's guard from what its module declares, and
// record everything in one transaction. Whatever fails before leaves nothing;
// a server that is killed at any moment comes back with the old deployment or
// the new one.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/redact"
	"postern.dev/postern/internal/signature"
	"postern.dev/postern/internal/signin"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// Store keeps functions and deployments. *store.DB is one.
type Store interface {
	Function(ctx context.Context, projectID, name string) (platform.Function, error)
	Deployment(ctx context.Context, id string) (platform.Deployment, error)
	Deploy(ctx context.Context, in platform.DeployInput) (platform.DeployResult, error)
	DeleteFunction(ctx context.Context, projectID, name string, at time.Time) (platform.Function, int64, error)
	Policy(ctx context.Context, projectID string, number int) (platform.Policy, error)
	SecretStore
	Versions
}

// Artefacts gives the bytes of an artefact, checked. *blob.Store is one.
type Artefacts interface {
	Read(ctx context.Context, projectID, hash string) ([]byte, error)
}

// Workers starts and ends workers. *supervisor.Supervisor is one.
type Workers interface {
	Adopt(ctx context.Context, l supervisor.Launch) (platform.Declaration, error)
	Retire(deploymentID string)
	Renewer
	// Hold calls do while none of a function's workers runs.
	Hold(ctx context.Context, functionID string, do func() error) error
}

// Sealer seals the secrets of functions' own keys. *secret.Box is one.
type Sealer interface {
	Seal(ctx context.Context, bind string, plain []byte) ([]byte, error)
	Open(ctx context.Context, bind string, sealed []byte) ([]byte, error)
}

// Options are what a deployer works with.
type Options struct {
	Store     Store
	Artefacts Artefacts
	Sealer    Sealer
	// Node returns the path of the Node to run functions with.
	Node func(context.Context) (string, error)
	// Applied waits until the gateway of this process knows of a change.
	Applied func(ctx context.Context, seq int64) error
	// RunDir is where artefacts are extracted and functions have their
	// temporary files. It may be emptied while the server is stopped.
	RunDir string
	// Token makes what a function shows when it calls others, for its key and
	// project; nil: functions call none.
	Token func(keyID, projectID string, now time.Time) (worker.Token, error)
	// HostCall returns what answers the calls of a function's workers; nil:
	// nothing does. The function's ID is bound here and in no call.
	HostCall func(functionID string) worker.HostCall
	// Forget removes what a function that was deleted has kept; nil: nothing is
	// kept. What it misses is removed later, by itself.
	Forget func(ctx context.Context, functionID string)
	// Told is told that an attempt to deploy a function has begun, has its turn, or
	// has ended; nil: nobody is. It must not block.
	Told func(projectID, name string)
	// Secrets knows what functions keep secret; nil: nobody does.
	Secrets Secrets
	// InstanceID marks the processes of this installation.
	InstanceID string
	// WorkerMemory is what one worker may use where its manifest sets nothing, in
	// bytes; 0: no limit.
	WorkerMemory int64
	// Database is where a function's own database lies.
	Database func(ctx context.Context, functionID string) (string, error)
	// Live is told which values workers are given, from before they start until
	// their deployment is gone. nil: nobody wants to know.
	Live *redact.Live
	// Log is given each line that a function writes.
	Log func(functionID, deploymentID string, l worker.Line)
}

// Deployer is safe for concurrent use. Call Use before the first deploy.
type Deployer struct {
	o       Options
	workers Workers

	mu     sync.Mutex
	locks  map[string]*lock // by project and name; guarded by mu
	behind int              // deploys that nobody waits for; guarded by mu

	attempts   attempts
	background sync.WaitGroup // those deploys
	base       context.Context
	stop       context.CancelFunc // of base

	trees trees

	nodeMu sync.Mutex
	node   string // found Node; guarded by nodeMu
}

// keyGrace is how long the key of a replaced deployment stays valid, for its
// calls in flight.
const keyGrace = time.Minute

// recordTimeout is how long a deploy may take to be written down.
const recordTimeout = 30 * time.Second

// New makes a deployer.
func New(o Options) *Deployer {
	if o.Live == nil {
		o.Live = new(redact.Live)
	}
	if o.Secrets == nil {
		o.Secrets = noSecrets{}
	}
	d := &Deployer{o: o, locks: map[string]*lock{}, trees: trees{dir: filepath.Join(o.RunDir, "artefacts"), users: map[string]map[string]bool{}},
		attempts: attempts{told: o.Told, running: map[string][]*attempt{}, ended: map[string]*attempt{}}}
	d.base, d.stop = context.WithCancel(context.Background())
	return d
}

// Use gives the deployer its workers. The supervisor needs the deployer to
// launch, and the deployer the supervisor to adopt: one of them comes second.
func (d *Deployer) Use(w Workers) { d.workers = w }

// Result is what a deploy did.
type Result struct {
	Function   platform.Function
	Deployment platform.Deployment
	Warnings   []string
	// Reused says that the very same artefact was active already, and nothing
	// was done.
	Reused bool
	// Ended is the number of the candidate that was ended, where that was asked for.
	Ended int
}

// Deploy makes the artefact the active deployment of a function, which is made
// when there is none of that name. Deploys of one function come one after
// another. What is active already is deployed again only with Force. A deploy
// that is asked for twice, for its answer was lost, is done once.
func (d *Deployer) Deploy(ctx context.Context, in Request) (Result, error) {
	it, known := d.attempts.begin(in)
	return d.attend(ctx, in, it, known)
}

// attend makes an attempt, or waits for the one that is known. One that has done
// nothing, because its caller went away, is made anew.
func (d *Deployer) attend(ctx context.Context, in Request, it *attempt, known bool) (Result, error) {
	for known {
		r, again, err := it.wait(ctx)
		if !again {
			return r, err
		}
		it, known = d.attempts.begin(in)
	}
	return d.try(ctx, in, it)
}

// try is one attempt.
func (d *Deployer) try(ctx context.Context, in Request, it *attempt) (r Result, err error) {
	err = errors.New("the deploy panicked") // unless it gets to its end
	defer func() { d.attempts.end(it, r, err) }()
	r, err = d.deploy(ctx, in, it)
	return r, err
}

func (d *Deployer) deploy(ctx context.Context, in Request, it *attempt) (Result, error) {
	archive, err := d.open(ctx, in.ProjectID, in.Name, in.Artefact)
	if err != nil {
		return Result{}, err
	}
	unlock, err := d.lock(ctx, in.ProjectID+"/"+in.Name)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	d.attempts.turn(it)
	f, err := d.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Result{}, err
	}
	if err == nil && !in.Force {
		if r, same, err := d.same(ctx, f, in, archive.Manifest()); same || err != nil {
			return r, err
		}
	}
	if f.ID == "" {
		f = platform.Function{ID: function.NewFunctionID(time.Now()), ProjectID: in.ProjectID, Name: in.Name}
	}
	return d.rollOut(ctx, f, in, archive)
}

// open reads an artefact and checks that it is one of this function.
func (d *Deployer) open(ctx context.Context, projectID, name, artefact string) (*bundle.Archive, error) {
	data, err := d.o.Artefacts.Read(ctx, projectID, artefact)
	if err != nil {
		return nil, err
	}
	archive, err := bundle.Open(data)
	if err == nil {
		err = archive.CheckSources()
	}
	if err != nil {
		return nil, err
	}
	if m := archive.Manifest(); m.Name != name {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("the artefact is of the function %q, not of %q", m.Name, name)).WithCode("artefact_invalid")
	}
	return archive, nil
}

// same reports whether what is asked for is active already.
func (d *Deployer) same(ctx context.Context, f platform.Function, in Request, m function.Manifest) (Result, bool, error) {
	active, err := d.o.Store.Deployment(ctx, f.ActiveDeploymentID)
	if err != nil || active.Artefact != in.Artefact || f.CandidateID != "" {
		return Result{}, false, err
	}
	if changes, err := d.changes(ctx, active, in, m); changes || err != nil {
		return Result{}, false, err
	}
	opened, err := d.o.Secrets.Open(ctx, active)
	if err != nil {
		return Result{}, false, err
	}
	handlers, warnings, err := function.Protect(m, active.Declaration, true)
	warnings = append(warnings, warningsOf(handlers, setting(active, opened.Values))...)
	return Result{Function: f, Deployment: active, Warnings: warnings, Reused: true}, err == nil, err
}

// warningsOf says which callbacks will be refused for want of a secret, and what
// keeps the function's own user out.
func warningsOf(handlers []platform.Handler, value func(name string) string) []string {
	warnings := signature.Unset(handlers, value)
	pair, err := signin.Key{}.Pair("", value(signin.UserVariable), value(signin.PasswordVariable))
	if err != nil {
		return append(warnings, err.Error())
	}
	for _, h := range handlers {
		if pair != nil && h.Name == "login" && len(h.Routes) == 0 && h.Guard != platform.GuardOpen {
			warnings = append(warnings, "login is guarded, so nobody could sign in on it: /login is the built-in page. To use your own, leave login out of auth")
		}
	}
	return warnings
}

// rollOut starts the new deployment, then makes it the active one.
func (d *Deployer) rollOut(ctx context.Context, f platform.Function, in Request, archive *bundle.Archive) (Result, error) {
	now := time.Now()
	m := archive.Manifest()
	secret := accesskey.NewSecret()
	key := platform.AccessKey{ID: accesskey.NewID(now), ProjectID: f.ProjectID, DisplayName: "function:" + f.Name, SecretHash: secret.Hash(),
		Scopes: []platform.Scope{platform.ScopeInvoke}, FunctionID: f.ID, CreatedAt: now}
	dep := platform.Deployment{ID: function.NewDeploymentID(now), FunctionID: f.ID, ProjectID: f.ProjectID, Artefact: in.Artefact, Runtime: m.Runtime,
		Variables: in.variables(m.Variables), SecretNames: declared(m, in), Visibility: m.Visibility, KeyID: key.ID, RestoredFrom: in.restores, CreatedAt: now}
	var err error
	if dep.SealedKeySecret, err = d.o.Sealer.Seal(ctx, dep.ID, []byte(secret.Reveal())); err != nil {
		return Result{}, err
	}
	plan, err := d.plan(ctx, dep, in)
	if err != nil {
		return Result{}, err
	}
	launch, err := d.prepare(ctx, dep, archive, given{secret.Reveal(), plan.opened})
	if err == nil {
		dep.Declaration, err = d.workers.Adopt(ctx, launch)
	}
	if err != nil {
		d.Gone(dep.ID)
		return Result{}, smokeTestFault(err)
	}
	handlers, warnings, err := function.Protect(m, dep.Declaration, true)
	if err != nil {
		d.workers.Retire(dep.ID)
		return Result{}, err
	}
	warnings = slices.Concat(warnings, plan.warnings, warningsOf(handlers, setting(dep, plan.opened.Values)))
	dep.Handlers = handlers
	percent, why := in.beside(f)
	warnings = append(warnings, why...)
	out, err := d.record(ctx, platform.DeployInput{Function: f, Deployment: dep, Key: key, ExpectActive: f.ActiveDeploymentID, ExpectCandidate: f.CandidateID, Percent: percent,
		Secrets: plan.write, OldKeyExpiresAt: now.Add(keyGrace)}, plan.again)
	if err != nil {
		return Result{}, err
	}
	if late := d.applied(ctx, out.Seq); late != "" {
		warnings = append(warnings, late)
	}
	return Result{Function: out.Function, Deployment: out.Deployment, Warnings: warnings}, nil
}

// record writes a deploy down, and ends the new workers when that failed. A
// caller who goes away does not cut it off half-way. A commit may have happened
// although its answer was lost: to end the workers then would end the function,
// so the store is asked, and while it does not answer they stay, unused.
func (d *Deployer) record(ctx context.Context, in platform.DeployInput, again func(context.Context) (platform.SecretInput, error)) (platform.DeployResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	out, err := d.write(ctx, in, again)
	if err == nil {
		return out, nil
	}
	dep, lookup := d.o.Store.Deployment(ctx, in.Deployment.ID)
	if fault.KindOf(lookup) == fault.NotFound {
		d.workers.Retire(in.Deployment.ID)
	}
	if lookup != nil {
		return platform.DeployResult{}, err
	}
	f, err := d.o.Store.Function(ctx, in.Function.ProjectID, in.Function.Name)
	return platform.DeployResult{Function: f, Deployment: dep}, err
}

// Delete ends a function: its address, its deployments, its keys, its workers,
// and what it has kept.
func (d *Deployer) Delete(ctx context.Context, projectID, name string) (platform.Function, error) {
	unlock, err := d.lock(ctx, projectID+"/"+name)
	if err != nil {
		return platform.Function{}, err
	}
	defer unlock()
	d.attempts.forget(projectID + "/" + name) // also of one that never came to be
	f, seq, err := d.o.Store.DeleteFunction(ctx, projectID, name, time.Now())
	if err != nil {
		return platform.Function{}, err
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if d.o.Applied(wait, seq) != nil {
		// The gateway is late; what was ended must not run meanwhile.
		for _, id := range []string{f.ActiveDeploymentID, f.CandidateID} {
			if id != "" {
				d.workers.Retire(id)
			}
		}
	}
	if d.o.Forget != nil {
		d.o.Forget(wait, f.ID)
	}
	return f, nil
}
