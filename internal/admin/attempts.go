package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/platform"
)

// What a function can be in, beside the states of its first deploy.
const (
	stateRunning = "Running"
	stateStopped = "Stopped"
	stateFailed  = string(deploy.Failed)
)

// attemptOf is a deploy that is under way, or that failed, as the API shows it.
func attemptOf(a deploy.Attempt) *api.Attempt {
	out := &api.Attempt{ID: a.ID, Artefact: a.Artefact, State: string(a.State), StartTime: a.BeganAt.UTC()}
	if !a.EndedAt.IsZero() {
		at := a.EndedAt.UTC()
		out.EndTime = &at
	}
	if a.Err != nil {
		p := httpx.ProblemOf(a.Err, "")
		if out.Error, out.Code, out.Hint = p.Detail, p.Code, p.Hint; out.Error == "" {
			out.Error = p.Title
		}
	}
	return out
}

// unborn is a function of which there has been nothing but attempts.
func unborn(projectID, name string, a deploy.Attempt) api.Function {
	return api.Function{Name: name, ProjectID: projectID, URLs: []string{}, Routes: []api.Route{}, Status: api.Status{State: "idle"},
		State: string(a.State), Attempt: attemptOf(a), CreateTime: a.BeganAt.UTC(), UpdateTime: a.BeganAt.UTC()}
}

// stateOf is whether calls to a function are answered: by workers that run or
// that start for the next one.
func stateOf(s api.Status) string {
	if s.State == "circuit open" || s.State == "backing off" && s.Workers == 0 {
		return stateFailed
	}
	return stateRunning
}

// attempted are the functions of a project that are no more than attempts, by
// name: those that have a text in it.
func (s *service) attempted(ctx context.Context, projectID, text string) (out []api.Function, err error) {
	all := s.o.Deployer.Attempts(projectID)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !strings.Contains(name, strings.ToLower(text)) {
			continue
		}
		_, err := s.o.Store.Function(ctx, projectID, name)
		if fault.KindOf(err) == fault.NotFound {
			out = append(out, unborn(projectID, name, all[name]))
		} else if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// start begins a deploy that its caller does not wait for. What becomes of it is
// one more event of the audit log.
func (s *service) start(ctx context.Context, in deploy.Request) (*body[api.DeployResponse], error) {
	event, _ := eventOfAction(ctx)
	err := s.o.Deployer.Start(ctx, in, func(r deploy.Result, err error) {
		event.Outcome, event.Status = platform.OutcomeAllowed, 200
		if err != nil {
			problem := httpx.ProblemOf(err, event.RequestID)
			event.Outcome, event.Status, event.Code = platform.OutcomeFailed, problem.Status, problem.Code
			if problem.Status >= 500 {
				s.o.Log.Error("a deploy that nobody waits for", "function", in.Name, "requestId", event.RequestID, "code", problem.Code, "error", err)
			}
		}
		event.Detail = guardDetail(r.Deployment.Handlers)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		defer cancel()
		if err := s.o.Audit.Record(ctx, event); err != nil {
			s.o.Log.Error("a decision is not in the audit log", "requestId", event.RequestID, "operation", event.Action, "error", err)
		}
	})
	if err != nil {
		return nil, err
	}
	f, err := s.function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	return &body[api.DeployResponse]{api.DeployResponse{Function: f, Routes: f.Routes, Warnings: []string{}}}, nil
}

// guardDetail is what the audit log says of the handlers of a deploy: those that
// a policy or the manifest opened, and callbacks that are not checked.
func guardDetail(handlers []platform.Handler) map[string]string {
	detail := map[string]string{}
	for name, open := range map[string][]string{"authNone": function.Loosened(handlers), "unsigned": function.Unsigned(handlers)} {
		if len(open) > 0 {
			detail[name] = fmt.Sprintf("%d: %s", len(open), strings.Join(open, ", ")) // a long list is cut, its number not
		}
	}
	return detail
}
