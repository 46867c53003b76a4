package deploy

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Versions keeps which deployments of a function get its calls. *store.DB does.
type Versions interface {
	// Version gives a deployment of a function by its number, and VersionBefore
	// the newest below a number that was the active one.
	Version(ctx context.Context, functionID string, number int) (platform.Deployment, error)
	VersionBefore(ctx context.Context, functionID string, number int) (platform.Deployment, error)
	Promote(ctx context.Context, in platform.PromoteInput) (platform.DeployResult, error)
}

// Shift is what is asked for of the versions of a function.
type Shift struct {
	ProjectID, Name string
	Version         int // its number; 0: the candidate, and of a roll-back the one before
	Percent         int // of the calls that a promoted version gets
	By              string
}

var (
	errNoCandidate = fault.New(fault.Conflict, "no version is beside the active one").WithCode("candidate_missing")
	errFirst       = fault.New(fault.Conflict, "the version that serves is the first: none has served before it").WithCode("version_first")
)

// Promote gives a version so many of a hundred calls: the candidate, or an earlier
// version, which becomes one again as a new deployment. With 100 it is the active
// one from then on, with 0 a candidate is ended.
func (d *Deployer) Promote(ctx context.Context, in Shift) (Result, error) {
	return d.shift(ctx, in, func(f platform.Function) (Result, error) {
		if in.Version == 0 {
			return d.move(ctx, f, in.Percent)
		}
		v, err := d.version(ctx, f, in.Version)
		if err != nil {
			return Result{}, err
		}
		if v.ID == f.CandidateID {
			return d.move(ctx, f, in.Percent)
		}
		if in.Percent == 0 {
			return Result{}, fault.New(fault.Conflict, fmt.Sprintf("version %d is no candidate: it gets no calls", v.Number)).WithCode("candidate_missing")
		}
		return d.again(ctx, f, v, in)
	})
}

// RollBack ends the candidate of a function; of one that has none, and where a
// version is named, an earlier version serves again, as a new deployment.
func (d *Deployer) RollBack(ctx context.Context, in Shift) (Result, error) {
	return d.shift(ctx, in, func(f platform.Function) (Result, error) {
		if in.Version == 0 && f.CandidateID != "" {
			return d.move(ctx, f, 0)
		}
		v, err := d.before(ctx, f, in.Version)
		if err != nil {
			return Result{}, err
		}
		in.Percent = 100
		return d.again(ctx, f, v, in)
	})
}

// shift calls do with the function, while no deploy of it is under way here.
func (d *Deployer) shift(ctx context.Context, in Shift, do func(platform.Function) (Result, error)) (Result, error) {
	unlock, err := d.lock(ctx, in.ProjectID+"/"+in.Name)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	f, err := d.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return Result{}, err
	}
	return do(f)
}

// version is a version of a function by its number, but for the active one.
func (d *Deployer) version(ctx context.Context, f platform.Function, number int) (platform.Deployment, error) {
	v, err := d.o.Store.Version(ctx, f.ID, number)
	if err == nil && v.ID == f.ActiveDeploymentID {
		err = fault.New(fault.Conflict, fmt.Sprintf("version %d is the active one already", number)).WithCode("version_active")
	}
	return v, err
}

// before is the version to go back to: the one named, or that which served before
// the active one. Of an active one that is an earlier version again it is the one
// before that: to roll back twice is to go back twice, and not to and fro.
func (d *Deployer) before(ctx context.Context, f platform.Function, number int) (platform.Deployment, error) {
	if number > 0 {
		return d.version(ctx, f, number)
	}
	active, err := d.o.Store.Deployment(ctx, f.ActiveDeploymentID)
	if err != nil {
		return platform.Deployment{}, err
	}
	v, err := d.o.Store.VersionBefore(ctx, f.ID, cmp.Or(active.RestoredFrom, active.Number))
	if fault.KindOf(err) == fault.NotFound {
		err = errFirst
	}
	return v, err
}

// again deploys what a version was: its artefact, its variables and the names of
// its secrets, with a key of its own, a smoke test and the policy of now. The
// secrets have the values that they have now.
func (d *Deployer) again(ctx context.Context, f platform.Function, v platform.Deployment, in Shift) (Result, error) {
	archive, err := d.open(ctx, in.ProjectID, in.Name, v.Artefact)
	if fault.KindOf(err) == fault.NotFound {
		err = fault.Wrap(err, fault.NotFound, fmt.Sprintf("the artefact of version %d is not there any more", v.Number)).WithCode("artefact_missing").WithHint("deploy its source again: postern functions deploy")
	}
	if err != nil {
		return Result{}, err
	}
	return d.rollOut(ctx, f, Request{ProjectID: in.ProjectID, Name: in.Name, Artefact: v.Artefact, Variables: v.Variables, Declares: v.SecretNames,
		Percent: in.Percent, By: in.By, restores: cmp.Or(v.RestoredFrom, v.Number)}, archive)
}

// move gives the candidate of a function another part of the calls.
func (d *Deployer) move(ctx context.Context, f platform.Function, percent int) (Result, error) {
	if f.CandidateID == "" {
		return Result{}, errNoCandidate
	}
	out, err := d.promote(ctx, f, percent, "")
	if err != nil {
		return Result{}, err
	}
	r := Result{Function: out.Function, Deployment: out.Deployment}
	if percent == 0 {
		r.Ended = out.Deployment.Number
		r.Deployment, err = d.o.Store.Deployment(ctx, out.Function.ActiveDeploymentID)
	}
	if late := d.applied(ctx, out.Seq); late != "" {
		r.Warnings = append(r.Warnings, late)
	}
	return r, err
}

// EndFailing ends the candidate of a function as it was judged, because its calls
// fail. It waits for no deploy that is under way. When the versions are others by
// now the error has the code versions_raced: another node was faster, or somebody.
func (d *Deployer) EndFailing(ctx context.Context, f platform.Function, because string) error {
	_, err := d.promote(ctx, f, 0, because)
	return err
}

func (d *Deployer) promote(ctx context.Context, f platform.Function, percent int, because string) (platform.DeployResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	now := time.Now()
	return d.o.Store.Promote(ctx, platform.PromoteInput{FunctionID: f.ID, ExpectActive: f.ActiveDeploymentID, ExpectCandidate: f.CandidateID, Percent: percent, Because: because,
		OldKeyExpiresAt: now.Add(keyGrace), At: now})
}

// applied waits until the gateway has taken a change over. Recorded is recorded: one
// that takes longer will still get there, and the text says so.
func (d *Deployer) applied(ctx context.Context, seq int64) (late string) {
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if d.o.Applied(wait, seq) != nil {
		return "the gateway has not taken the change over yet; it will"
	}
	return ""
}

// Still calls do while no worker of a function runs and no deploy of it is under way
// here. The function is known by its ID as well: one of its name that was made anew
// meanwhile is another.
func (d *Deployer) Still(ctx context.Context, f platform.Function, do func() error) error {
	unlock, err := d.lock(ctx, f.ProjectID+"/"+f.Name)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := d.o.Store.Function(ctx, f.ProjectID, f.Name)
	if err != nil {
		return err
	}
	if now.ID != f.ID {
		return fault.New(fault.Conflict, "the function was made anew meanwhile").WithCode("deploy_raced")
	}
	return d.workers.Hold(ctx, f.ID, do)
}
