package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
)

// SecretStore is what a change of secrets reads and writes. *store.DB is one.
type SecretStore interface {
	ActiveFunction(ctx context.Context, functionID string) (platform.Function, platform.Deployment, error)
	ActiveFunctions(ctx context.Context, projectID string) ([]platform.ActiveFunction, error)
	Secrets(ctx context.Context, ownerID string) ([]platform.Secret, error)
	ChangeSecrets(ctx context.Context, in platform.SecretInput) (seq int64, err error)
}

// Renewer replaces workers by others with another environment.
// *supervisor.Supervisor is one.
type Renewer interface {
	Renew(ctx context.Context, l supervisor.Launch) (*supervisor.Renewal, error)
	Secrets(deploymentID string) (version string, known, settled bool)
	Reset(deploymentID string) bool
}

// SecretsRequest is a change of secrets that is asked for.
type SecretsRequest struct {
	ProjectID string
	Name      string // of the function; empty: of what its project shares
	Set       Values
	Remove    []string
	By        string // the access key that asks
}

// SecretsResult is what became of it.
type SecretsResult struct {
	OwnerID   string
	Restarted []string // the functions whose workers were replaced
	Warnings  []string
}

// ChangeSecrets sets and removes secrets of a function, or those that a project
// shares, without a deploy. A worker of each version that gets other values by
// it is started with them first; where one does not start, nothing is changed.
// Then the change is written, and the workers that have the old values end when
// their calls are done.
func (d *Deployer) ChangeSecrets(ctx context.Context, in SecretsRequest) (SecretsResult, error) {
	if err := cmp.Or(checkValues(in.Set), checkNames(in.Remove)); err != nil {
		return SecretsResult{}, err
	}
	unlock, err := d.lock(ctx, in.ProjectID+"/"+in.Name)
	if err != nil {
		return SecretsResult{}, err
	}
	defer unlock()
	owner := in.ProjectID
	var users []platform.ActiveFunction
	if in.Name != "" {
		f, err := d.o.Store.Function(ctx, in.ProjectID, in.Name)
		if err != nil {
			return SecretsResult{}, err
		}
		owner = f.ID
		users = []platform.ActiveFunction{{Function: f}}
	} else if users, err = d.sharers(ctx, in); err != nil {
		return SecretsResult{}, err
	}
	if err := d.room(ctx, owner, in); err != nil {
		return SecretsResult{}, err
	}
	draft, err := d.o.Secrets.Draft(ctx, owner, in.Set, in.Remove, in.By, time.Now().UTC())
	if err != nil || !draft.Changes() {
		return SecretsResult{OwnerID: owner}, err
	}
	return d.push(ctx, draft, users, in)
}

// sharers are the functions of a project that declare one of the names that are
// changed. One that is deployed meanwhile is brought up to date like those of
// other nodes.
func (d *Deployer) sharers(ctx context.Context, in SecretsRequest) (users []platform.ActiveFunction, err error) {
	all, err := d.o.Store.ActiveFunctions(ctx, in.ProjectID)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		declares := func(dep *platform.Deployment) bool {
			return dep != nil && slices.ContainsFunc(dep.SecretNames, func(name string) bool {
				_, set := in.Set[name]
				return set || slices.Contains(in.Remove, name)
			})
		}
		if declares(&a.Deployment) || declares(a.Candidate) {
			users = append(users, a)
		}
	}
	return users, nil
}

// room refuses what would be too many.
func (d *Deployer) room(ctx context.Context, owner string, in SecretsRequest) error {
	have, err := d.o.Store.Secrets(ctx, owner)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, s := range have {
		names[s.Name] = true
	}
	for _, name := range in.Remove {
		if _, set := in.Set[name]; set {
			return invalidSecret("%.128s is to be set and removed at once", name)
		}
		delete(names, name)
	}
	for name := range in.Set {
		names[name] = true
	}
	if len(names) > maxSecrets && len(names) > len(have) {
		return invalidSecret("there would be %d secrets; at most %d can be", len(names), maxSecrets)
	}
	return nil
}

// push starts the new workers, writes, and lets the old ones go.
func (d *Deployer) push(ctx context.Context, draft platform.SecretInput, users []platform.ActiveFunction, in SecretsRequest) (out SecretsResult, err error) {
	out.OwnerID = draft.OwnerID
	var started []*supervisor.Renewal
	defer func() {
		for _, r := range started {
			r.Abandon()
		}
	}()
	for _, u := range users {
		renewed, warnings, err := d.tryOut(ctx, u.Function, draft, in)
		started = append(started, renewed...)
		if err != nil {
			return out, err
		}
		out.Warnings = append(out.Warnings, warnings...)
		if len(renewed) > 0 {
			out.Restarted = append(out.Restarted, u.Function.Name)
		}
	}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	seq, err := d.o.Store.ChangeSecrets(write, draft)
	if err != nil {
		// It may have been written although the answer was lost. The change log
		// tells then, and the workers are renewed as on any other node.
		return out, err
	}
	for _, r := range started { // before the gateway knows, or the same workers would be renewed once more
		r.Commit()
	}
	started = nil
	if late := d.applied(ctx, seq); late != "" {
		out.Warnings = append(out.Warnings, late)
	}
	return out, nil
}

// tryOut starts a worker of each version of a function with the values that it
// would have after a change. What was started is returned also beside an error.
func (d *Deployer) tryOut(ctx context.Context, f platform.Function, draft platform.SecretInput, in SecretsRequest) (started []*supervisor.Renewal, warnings []string, err error) {
	if in.Name == "" { // else it is held already
		unlock, err := d.lock(ctx, f.ProjectID+"/"+f.Name)
		if err != nil {
			return nil, nil, err
		}
		defer unlock()
	}
	deps, err := d.versions(ctx, f.ID)
	if err != nil {
		return nil, nil, err
	}
	for i, dep := range deps {
		if in.Name != "" {
			if err := oneMeaning(dep.Variables, nil, in.Set); err != nil {
				return started, nil, err
			}
		}
		before, err := d.o.Secrets.Open(ctx, dep)
		if err != nil {
			return started, nil, err
		}
		after, err := d.o.Secrets.Open(ctx, dep, draft)
		if err == nil {
			err = fits(after.Values)
		}
		if err != nil {
			return started, nil, err
		}
		for _, name := range lacking(dep.SecretNames, after.Values) {
			if before.Values[name] != "" && i == 0 {
				warnings = append(warnings, fmt.Sprintf("%s declares %s, which has no value from now on", f.Name, name))
			}
		}
		if after.Version == before.Version {
			continue // another value wins, or it is not given to this one
		}
		r, err := d.renew(ctx, dep, draft)
		if err != nil {
			return started, nil, notWith(f, err)
		}
		started = append(started, r)
	}
	return started, warnings, nil
}

// versions are the deployments of a function that take calls, the active one
// first.
func (d *Deployer) versions(ctx context.Context, functionID string) ([]platform.Deployment, error) {
	f, active, err := d.o.Store.ActiveFunction(ctx, functionID)
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil || f.CandidateID == "" {
		return []platform.Deployment{active}, err
	}
	candidate, err := d.o.Store.Deployment(ctx, f.CandidateID)
	if fault.KindOf(err) == fault.NotFound {
		return []platform.Deployment{active}, nil
	}
	return []platform.Deployment{active, candidate}, err
}

// renew starts a worker of a deployment with its secrets as they would be after
// changes.
func (d *Deployer) renew(ctx context.Context, dep platform.Deployment, after ...platform.SecretInput) (*supervisor.Renewal, error) {
	launch, err := d.relaunch(ctx, dep, after...)
	if err != nil {
		return nil, err
	}
	return d.workers.Renew(ctx, launch)
}

// notWith says that a function does not start with what it was to be given.
func notWith(f platform.Function, err error) error {
	err = smokeTestFault(err)
	if e, ok := err.(*fault.Error); ok && e.Kind == fault.Invalid {
		return fault.Wrap(err, fault.Invalid, f.Name+" does not start with these values, and nothing was changed: "+e.Text).WithCode(e.Code).WithHint(e.Hint)
	}
	return err
}

// Refresh brings the workers of this node that a function has up to the secrets
// that it has now, which another node may have changed; known is false while a
// first worker is being started, of which nobody knows yet what it was given.
func (d *Deployer) Refresh(ctx context.Context, functionID string) (known bool, err error) {
	f, _, err := d.o.Store.ActiveFunction(ctx, functionID)
	if err != nil {
		return true, ignoreGone(err)
	}
	unlock, err := d.lock(ctx, f.ProjectID+"/"+f.Name)
	if err != nil {
		return true, err
	}
	defer unlock()
	deps, err := d.versions(ctx, functionID)
	if err != nil {
		return true, err
	}
	known = true
	for _, dep := range deps {
		version, launched, settled := d.workers.Secrets(dep.ID)
		if known = known && settled; !launched {
			continue
		}
		now, err := d.o.Secrets.Open(ctx, dep)
		if err != nil {
			return true, err
		}
		if now.Version == version || d.workers.Reset(dep.ID) {
			continue
		}
		r, err := d.renew(ctx, dep)
		if err != nil {
			return true, err
		}
		r.Commit()
	}
	return known, nil
}

func ignoreGone(err error) error {
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}
