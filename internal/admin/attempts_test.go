package admin_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
)

// A function of which there is an attempt and nothing else is told of, to its
// own project only; what went wrong inside the server is not.
func TestAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	w.attempts = map[string]map[string]deploy.Attempt{
		w.project: {
			"first":  {ID: "one", State: deploy.Deploying, Artefact: strings.Repeat("a", 64), BeganAt: now},
			"broken": {State: deploy.Failed, BeganAt: now, EndedAt: now, Err: fault.New(fault.Invalid, "it threw").WithCode("module_failed")},
			"inside": {State: deploy.Failed, BeganAt: now, EndedAt: now, Err: errors.New("disk sda1 is full")},
		},
		w.elsewhere: {"theirs": {State: deploy.Queued, BeganAt: now}},
	}
	one := func(name string) (f api.Function) {
		rec, _ := w.do("GET", "/v1/projects/"+w.project+"/functions/"+name, w.key["control"], "")
		if err := json.Unmarshal(rec.Body.Bytes(), &f); err != nil || rec.Code != 200 {
			t.Fatalf("%s: %d %s", name, rec.Code, rec.Body)
		}
		return f
	}
	if f := one("first"); f.State != "Deploying" || f.Attempt.ID != "one" || f.Attempt.EndTime != nil || f.Deployment.Number != 0 || f.URLs == nil || f.Routes == nil {
		t.Errorf("%+v", f)
	}
	if f := one("broken"); f.State != "Failed" || f.Attempt.Error != "it threw" || f.Attempt.Code != "module_failed" || f.Attempt.Hint == "" || f.Attempt.EndTime == nil {
		t.Errorf("%+v", f.Attempt)
	}
	if f := one("inside"); f.Attempt.Code != "internal" || strings.Contains(f.Attempt.Error, "sda1") {
		t.Errorf("%+v", f.Attempt)
	}
	for _, name := range []string{"theirs", "nobody"} {
		if rec, p := w.do("GET", "/v1/projects/"+w.project+"/functions/"+name, w.key["control"], ""); rec.Code != 404 || p.Code != "function_not_found" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	rec, _ := w.do("GET", "/v1/projects/"+w.project+"/functions", w.key["control"], "")
	var list api.Functions
	if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || len(list.Functions) != 3 || list.Functions[0].Name != "broken" {
		t.Errorf("%v %s", err, rec.Body)
	}
}
