package deploy

import (
	"context"
	"errors"
	"fmt"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

// writeTries bounds how often a deploy is checked again because the policy, or the
// function's secrets, were changed meanwhile.
const writeTries = 4

// write checks a deploy against the policy of its project and records it; the
// store refuses it if another policy is in force by then, or if its secrets were
// sealed for what is not there any more: again seals them anew. What else was
// changed of them, the new workers are brought up to like all others.
func (d *Deployer) write(ctx context.Context, in platform.DeployInput, again func(context.Context) (platform.SecretInput, error)) (out platform.DeployResult, err error) {
	for range writeTries {
		if in.ExpectPolicy, err = d.fits(ctx, in); err != nil {
			return out, err
		}
		out, err = d.o.Store.Deploy(ctx, in)
		e, ok := errors.AsType[*fault.Error](err)
		switch {
		case ok && e.Code == "policy_raced":
		case ok && e.Code == "secrets_raced":
			if in.Secrets, err = again(ctx); err != nil {
				return out, err
			}
		default:
			return out, err
		}
	}
	return out, err
}

// fits checks that the policy in force, whose number it returns, can be laid
// over the handlers of a deploy. One that names a handler or a route which is
// gone would guard nothing from then on.
func (d *Deployer) fits(ctx context.Context, in platform.DeployInput) (number int, err error) {
	p, err := d.o.Store.Policy(ctx, in.Function.ProjectID, 0)
	if fault.KindOf(err) == fault.NotFound {
		return 0, nil
	}
	if _, ok := errors.AsType[*platform.UnreadableError](err); ok {
		return 0, fault.Wrap(err, fault.Invalid, "the project's policy cannot be read, so nobody knows what it allows").WithCode("policy_unmet").WithHint("apply it again: postern gateway export, then postern apply")
	}
	if err != nil {
		return 0, err
	}
	_, err = function.Govern(in.Deployment.Handlers, function.PolicyOf(&p, in.Function.Name), p.Groups)
	if e, ok := errors.AsType[*function.PolicyError](err); ok {
		hint := "change that line first, with postern apply, or deploy what it asks for"
		if e.Hint != "" {
			hint = e.Hint + "; or " + hint
		}
		line := ""
		if d, err := policy.Parse(policy.File, p.Document); err == nil && d.Line(e) > 0 {
			line = fmt.Sprintf(", line %d", d.Line(e))
		}
		return 0, fault.New(fault.Invalid, fmt.Sprintf("the project's policy (number %d%s) does not allow this deploy: %s", p.Number, line, e.Text)).WithCode("policy_unmet").WithHint(hint)
	}
	return p.Number, err
}
