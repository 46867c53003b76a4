package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
)

// knower is an explainer that knows one request and repeats the last question.
type knower struct {
	asked   audit.Question
	reached audit.Reaching
}

func (k *knower) Explained(projectID, requestID string) (audit.Explanation, bool) {
	return audit.Explanation{RequestID: requestID, Steps: audit.Steps(2, audit.Refused, "why not")}, requestID == "req_known" && strings.HasPrefix(projectID, "prj_")
}

func (k *knower) Explain(q audit.Question) (audit.Explanation, error) {
	if k.asked = q; q.URL == "odd" {
		return audit.Explanation{}, fault.New(fault.Invalid, "the URL is odd")
	}
	return audit.Explanation{Outcome: platform.OutcomeAllowed, Steps: audit.Steps(8, audit.Passed, "")}, nil
}

// Reach implements admin.Explainer: every other door opens.
func (k *knower) Reach(q audit.Reaching) [][]audit.Reach {
	k.reached = q
	out := make([][]audit.Reach, len(q.Keys))
	for i := range q.Keys {
		for j := range q.Doors {
			out[i] = append(out[i], audit.Reach{Opens: j%2 == 0, Reason: audit.ReasonKey, Why: "why not"})
		}
	}
	return out
}

// Rates implements admin.Explainer.
func (k *knower) Rates(string) []audit.Rate {
	return []audit.Rate{{Doors: []audit.Door{{Of: "orders", Handler: "refund"}, {Of: "orders", Handler: "all", Pattern: "GET /a"}}, Left: 3, Limit: platform.RateLimit{Requests: 5, Per: time.Second, By: platform.LimitByRoute}},
		{Doors: []audit.Door{{Of: "orders", Handler: "refund"}}, Callers: 7, Spent: 2, Limit: platform.RateLimit{Requests: 1, Per: time.Hour, By: platform.LimitByKey}}}
}

// Used implements admin.Explainer.
func (k *knower) Used(platform.AccessKey) audit.KeyUse {
	left := int64(4)
	return audit.KeyUse{RateLeft: &left}
}

// unwritable is an audit store that takes nothing.
type unwritable struct{}

func (unwritable) WriteAudit(context.Context, []audit.Event) error {
	return errors.New("the disk says no")
}
func (unwritable) PruneAudit(context.Context, time.Time, int) error { return nil }

// newAudited is a world whose API records into its store, or into s; flush
// waits until what was recorded is stored, and end ends the recording.
func newAudited(t *testing.T, s audit.Store) (w *world, k *knower, flush, end func()) {
	t.Helper()
	w, k = newWorld(t), &knower{}
	if s == nil {
		s = w.db
	}
	r := audit.New(audit.Options{}, s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	flush = func() {
		t.Helper()
		if err := r.Commit(t.Context(), audit.Event{Action: "flush"}); err != nil { // what was queued before goes with it
			t.Fatal(err)
		}
	}
	end = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(end)
	w.handler, w.openAPI = admin.New(admin.Options{Version: "test", Store: w.db, Deployer: w, Audit: r, Auth: auth.NewAuthenticator(""), Explainer: k, BasicRate: 100_000, BasicBurst: 100_000,
		Directory: func() *auth.Directory { w.mu.Lock(); defer w.mu.Unlock(); return w.dir },
		Applied:   func(context.Context, int64) error { w.load(t); return nil },
		Status:    func(string) supervisor.Status { return supervisor.Status{} },
		URLs:      func(string) []string { return nil },
		Log:       slog.New(slog.NewJSONHandler(w.log, nil))})
	return w, k, flush, end
}

func (w *world) list(t *testing.T, project, secret, query string) (out api.AuditEvents) {
	t.Helper()
	rec, _ := w.do("GET", "/v1/projects/"+project+"/audit?"+query, secret, "")
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return out
}

// Every decision is one event, in the log of the project that it concerns.
func TestAudit_EveryDecision(t *testing.T) {
	t.Parallel()
	w, _, flush, _ := newAudited(t, nil)
	own := "/v1/projects/" + w.project
	hash := `{"artefact":"` + strings.Repeat("a", 64) + `"}`
	for _, tc := range []struct {
		method, path, secret, body string
		want                       string // outcome, status, code, action, target
		elsewhere                  bool   // whose log
	}{
		{"GET", own + "/functions", w.key["control"], "", "allowed 200  listFunctions functions", false},
		{"GET", "/v1/whoami", w.key["control"], "", "allowed 200  whoAmI whoami", false},
		{"POST", own + "/accessKeys", w.key["control"], `{"displayName":"k","scopes":["control"]}`, "allowed 200  createAccessKey accessKeys", false},
		{"GET", own + "/functions", "", "", "refused 401 unauthenticated listFunctions functions", false},
		{"GET", own + "/functions", w.key["expired"], "", "refused 401 unauthenticated listFunctions functions", false},
		{"GET", own + "/functions", w.key["invoke"], "", "refused 403 not_allowed listFunctions functions", false},
		{"GET", own + "/functions", w.key["elsewhere"], "", "refused 403 not_allowed listFunctions projects/" + w.project + "/functions", true},
		{"GET", own + "/functions/none", w.key["control"], "", "failed 404 function_not_found getFunction functions/none", false},
		{"POST", own + "/functions/broken/deployments", w.key["control"], hash, "failed 422 module_failed deploy functions/broken/deployments", false},
		{"POST", own + "/functions/panics/deployments", w.key["control"], hash, "failed 500 internal deploy functions/panics/deployments", false},
		{"DELETE", own + "/accessKeys/" + w.key["invoke"], w.key["control"], "", "failed 404 not_found revokeAccessKey accessKeys/[hidden]", false},
	} {
		rec, _ := w.do(tc.method, tc.path, tc.secret, tc.body)
		flush()
		project := w.project
		if tc.elsewhere {
			project = w.elsewhere
		}
		id := rec.Header().Get("X-Request-Id")
		events, err := w.db.AuditEvents(t.Context(), project, platform.AuditFilter{RequestID: id}, "", 10)
		if err != nil || len(events) != 1 {
			t.Fatalf("%s %s: %d events, %v", tc.method, tc.path, len(events), err)
		}
		e := events[0]
		if got := fmt.Sprint(e.Outcome, " ", e.Status, " ", e.Code, " ", e.Action, " ", e.Target); strings.Replace(got, "failed 400 ", "failed 422 ", 1) != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.method, tc.path, got, tc.want)
		}
		if e.Door != platform.DoorControl || e.Remote != "192.0.2.1:1234" || e.Count != 1 || (e.KeyID == "") != (e.Status == 401) || (e.KeyID == "") != (e.Method == "") {
			t.Errorf("%s %s: %+v", tc.method, tc.path, e)
		}
		for name, s := range w.key {
			if strings.Contains(fmt.Sprintf("%+v", e), s) {
				t.Errorf("%s %s: the event holds the secret of %s", tc.method, tc.path, name)
			}
		}
	}
}

// A caller who hangs up leaves the same trace.
func TestAudit_CallerGone(t *testing.T) {
	t.Parallel()
	w, _, _, end := newAudited(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		r := httptest.NewRequest("GET", "/v1/whoami", nil).WithContext(ctx)
		r.Header.Set("X-API-Key", w.key["control"])
		w.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	end()
	events, err := w.db.AuditEvents(t.Context(), w.project, platform.AuditFilter{Action: "whoAmI"}, "", 100)
	sum := int64(0)
	for _, e := range events {
		sum += e.Count
	}
	if err != nil || sum != 50 {
		t.Errorf("%d of 50 calls are recorded, %v", sum, err)
	}
}

// Whoever reads without end is summed up; changes are there one by one.
func TestAudit_FloodOfReads(t *testing.T) {
	t.Parallel()
	w, _, _, end := newAudited(t, nil)
	began := time.Now()
	for i := range 300 {
		w.do("GET", "/v1/whoami", w.key["control"], "")
		if i%10 == 0 {
			w.do("POST", "/v1/projects/"+w.project+"/accessKeys", w.key["control"], fmt.Sprintf(`{"displayName":"k%d","scopes":["control"]}`, i))
		}
	}
	end()
	took := time.Since(began)
	atMost := 20*(1+int(took.Minutes())) + int(took.Seconds()) + 2 // singles, and a sum for each second
	for action, want := range map[string]struct{ decisions, rows int }{"whoAmI": {300, atMost}, "createAccessKey": {30, 30}} {
		events, err := w.db.AuditEvents(t.Context(), w.project, platform.AuditFilter{Action: action}, "", 1000)
		sum := 0
		for _, e := range events {
			sum += int(e.Count)
		}
		if err != nil || sum != want.decisions || len(events) > want.rows || action == "createAccessKey" && len(events) != want.rows {
			t.Errorf("%s: %d events stand for %d calls, want %v; %v", action, len(events), sum, want, err)
		}
	}
}

// A change that cannot be recorded is not answered as if nothing were amiss,
// and gives no secret away; reading and being refused go on.
func TestAudit_ChangeWaitsForItsEvent(t *testing.T) {
	t.Parallel()
	w, _, _, _ := newAudited(t, unwritable{})
	keys := "/v1/projects/" + w.project + "/accessKeys"
	rec, p := w.do("POST", keys, w.key["control"], `{"displayName":"k","scopes":["control"]}`)
	if rec.Code != 503 || p.Code != "audit_unavailable" && !strings.Contains(rec.Body.String(), "audit_unavailable") || strings.Contains(rec.Body.String(), "psk_") || strings.Count(rec.Body.String(), "\n") != 1 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec, _ := w.do("GET", keys, w.key["control"], ""); rec.Code != 200 {
		t.Errorf("reading: %d %s", rec.Code, rec.Body)
	}
	if rec, _ := w.do("GET", keys, "", ""); rec.Code != 401 {
		t.Errorf("a refusal: %d %s", rec.Code, rec.Body)
	}
}

// A flood of strangers is summed up, and hides nothing.
func TestAudit_FloodOfStrangers(t *testing.T) {
	t.Parallel()
	w, _, _, end := newAudited(t, nil)
	for i := range 2000 {
		w.do("GET", "/v1/projects/"+w.project+"/functions", "", "")
		if i == 1000 {
			w.do("GET", "/v1/projects/"+w.project+"/functions", w.key["control"], "")
		}
	}
	end() // which tells the last sums
	events := w.list(t, w.project, w.key["control"], "pageSize=1000&outcome=refused").Events
	sum := int64(0)
	for _, e := range events {
		sum += e.Count
	}
	if sum != 2000 || len(events) > 40 {
		t.Errorf("%d events stand for %d refusals of 2000", len(events), sum)
	}
	if got := w.list(t, w.project, w.key["control"], "action=listFunctions&outcome=allowed").Events; len(got) != 1 {
		t.Errorf("%d allowed calls are recorded", len(got))
	}
}

func TestAudit_List(t *testing.T) {
	t.Parallel()
	w, _, flush, _ := newAudited(t, nil)
	for range 5 {
		w.do("GET", "/v1/whoami", w.key["control"], "")
	}
	w.do("GET", "/v1/whoami", w.key["elsewhere"], "")
	w.do("GET", "/v1/whoami", "", "") // nobody's
	flush()
	var seen []string
	for token := ""; ; {
		page := w.list(t, w.project, w.key["control"], "action=whoAmI&pageSize=2&pageToken="+token)
		for _, e := range page.Events {
			if e.ProjectID != w.project || e.Action != "whoAmI" {
				t.Errorf("%+v", e)
			}
			seen = append(seen, e.ID)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] >= seen[i-1] {
			t.Errorf("%s comes after %s", seen[i], seen[i-1])
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d events, want 5", len(seen))
	}
	if got := w.list(t, w.elsewhere, w.key["elsewhere"], "action=whoAmI").Events; len(got) != 1 {
		t.Errorf("the other project: %v", got)
	}
	if got := w.list(t, w.project, w.key["control"], "since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)).Events; len(got) != 0 {
		t.Errorf("of the future: %v", got)
	}
	for query, want := range map[string]int{"changes=true": 0, "code=not_allowed": 0, "until=2020-01-01T00:00:00Z": 0, "changes=false&action=whoAmI": 5} {
		if got := w.list(t, w.project, w.key["control"], query).Events; len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
	for _, query := range []string{"outcome=maybe", "code=Not%20a%20code", "since=yesterday", "pageSize=0", "pageSize=100000", "requestId=%00", "accessKeyId=a%20b", "pageToken=%00", "action=" + strings.Repeat("a", 65)} {
		if rec, _ := w.do("GET", "/v1/projects/"+w.project+"/audit?"+query, w.key["control"], ""); rec.Code != 422 {
			t.Errorf("%s: %d", query, rec.Code)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w, k, flush, _ := newAudited(t, nil)
	path := "/v1/projects/" + w.project + "/explain"
	told := func(method, path, secret, body string) (status int, code string, e api.Explanation) {
		rec, p := w.do(method, path, secret, body)
		json.Unmarshal(rec.Body.Bytes(), &e)
		return rec.Code, p.Code, e
	}
	if status, _, e := told("GET", path+"/req_known", w.key["control"], ""); status != 200 || len(e.Steps) != 8 || e.Steps[1].Verdict != "refused" || e.Steps[1].Why != "why not" {
		t.Errorf("of the gateway's memory: %d %+v", status, e)
	}
	refused, _ := w.do("GET", "/v1/projects/"+w.project+"/functions", w.key["invoke"], "")
	nobodys, _ := w.do("GET", "/v1/whoami", "", "")
	theirs, _ := w.do("GET", "/v1/whoami", w.key["elsewhere"], "")
	flush()
	if status, _, e := told("GET", path+"/"+refused.Header().Get("X-Request-Id"), w.key["control"], ""); status != 200 || e.Door != "control" || e.Status != 403 || e.Steps[1].Verdict != "refused" {
		t.Errorf("of the log: %d %+v", status, e)
	}
	if status, _, e := told("GET", path+"/"+nobodys.Header().Get("X-Request-Id"), w.key["control"], ""); status != 200 || e.Steps[0].Verdict != "refused" {
		t.Errorf("nobody's: %d %+v", status, e)
	}
	for _, id := range []string{theirs.Header().Get("X-Request-Id"), "req_none", "x"} {
		if status, code, _ := told("GET", path+"/"+id, w.key["control"], ""); status != 404 || code != "request_unknown" {
			t.Errorf("%s: %d %s", id, status, code)
		}
	}

	if status, code, _ := told("GET", path+"/%00", w.key["control"], ""); status != 422 || code != "invalid_request" {
		t.Errorf("NUL: %d %s", status, code)
	}
	ks, err := w.db.Keys(t.Context(), w.project, "", 10, false)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := w.db.Keys(t.Context(), w.elsewhere, "", 10, false)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, e := told("POST", path, w.key["control"], `{"url":"/fn/a/b","method":"PUT","accessKeyId":"`+ks[0].ID+`","from":"2001:db8::7"}`); status != 200 || e.Outcome != "allowed" {
		t.Errorf("%d %+v", status, e)
	}
	if q := k.asked; q.ProjectID != w.project || q.CallerID != w.project || q.Method != "PUT" || q.Remote != "[2001:db8::7]:0" || q.Key == nil || q.Key.ID != ks[0].ID {
		t.Errorf("asked %+v", q)
	}
	told("POST", path, w.key["control"], `{"url":"/fn/a/b","accessKeyId":"`+foreign[0].ID+`"}`)
	if q := k.asked; q.Key != nil || q.Remote != "192.0.2.1:1234" {
		t.Errorf("a foreign key is looked up: %+v", q)
	}
	for body, want := range map[string]int{`{"url":"odd"}`: 400, `{}`: 422, `{"url":""}`: 422, `{"url":"/x","from":"10.0.0.0/8"}`: 400, `{"url":"/x","secret":"y"}`: 422, `{"url":"/` + strings.Repeat("a", 9000) + `"}`: 422} {
		if status, _, _ := told("POST", path, w.key["control"], body); status != want {
			t.Errorf("%.40s: %d, want %d", body, status, want)
		}
	}
	if status, _, _ := told("POST", path, w.key["elsewhere"], `{"url":"/x"}`); status != 403 {
		t.Errorf("a question about another project: %d", status)
	}
}
