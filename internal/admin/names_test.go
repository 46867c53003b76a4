package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// nearsighted is a store in which a search looks through three events at a time.
type nearsighted struct{ *store.DB }

func (n nearsighted) AuditBefore(ctx context.Context, projectID string, since time.Time, after string, _ int) (string, error) {
	return n.DB.AuditBefore(ctx, projectID, since, after, 3)
}

// event stores an event of a project, a second after the one before.
func (w *world) event(t *testing.T, n int, e platform.AuditEvent) {
	t.Helper()
	e.At = time.Now().Add(time.Duration(n)*time.Second - time.Hour).UTC()
	e.ID, e.Door, e.Outcome, e.Count = "evt_"+strings.ToLower(ulid.MustNew(ulid.Timestamp(e.At), ulid.DefaultEntropy()).String()), platform.DoorControl, platform.OutcomeAllowed, 1
	if err := w.db.WriteAudit(t.Context(), []platform.AuditEvent{e}); err != nil {
		t.Fatal(err)
	}
}

// newTenant is a world whose project has a subproject with a key of its own.
func newTenant(t *testing.T, change ...func(*admin.Options)) (w *world, tenant platform.AccessKey) {
	t.Helper()
	w = newWorld(t, change...)
	secret := accesskey.NewSecret()
	tenant = platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: w.subproject(t, w.project), DisplayName: "tenant's", SecretHash: secret.Hash(), Scopes: []platform.Scope{platform.ScopeControl}, CreatedAt: time.Now()}
	if _, err := w.db.CreateKey(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	w.key["tenant"] = secret.Reveal()
	w.load(t)
	return w, tenant
}

// Keys and users are told by name to whom they belong to, and to nobody else.
func TestAudit_Names(t *testing.T) {
	t.Parallel()
	w, tenant := newTenant(t)
	user := platform.User{ID: "usr_" + accesskey.NewID(time.Now())[4:], ProjectID: w.project, Name: "ann", Password: "x", CreatedAt: time.Now()}
	if err := w.db.CreateUser(t.Context(), user, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.RevokeKey(t.Context(), w.project, w.id["invoke"], time.Now()); err != nil {
		t.Fatal(err)
	}
	for n, project := range []string{w.project, tenant.ProjectID} {
		for m, who := range []string{w.id["control"], w.id["invoke"], user.ID, tenant.ID, w.id["elsewhere"], "", "pak_of_nobody"} {
			w.event(t, 10*n+m, platform.AuditEvent{ProjectID: project, Action: "a", KeyID: who, Target: "accessKeys/" + who + "/rotate"})
		}
	}
	names := func(project, as string) (out string) {
		events := w.list(t, project, w.key[as], "action=a").Events
		for i := len(events) - 1; i >= 0; i-- {
			e := events[i]
			if out += fmt.Sprintf("%s %s|", e.AccessKeyName, e.AccessKeyState); e.TargetName != e.AccessKeyName || (e.AccessKeyProjectID == "") != (e.AccessKeyName == "") {
				t.Errorf("to %s the target of %+v has another name", as, e)
			}
		}
		return out
	}
	for _, tc := range []struct{ project, as, want string }{
		{w.project, "control", "control live|invoke revoked|ann live| | | | |"},
		{tenant.ProjectID, "control", "control live|invoke revoked|ann live|tenant's live| | | |"},
		{tenant.ProjectID, "tenant", " | | |tenant's live| | | |"},
	} {
		if got := names(tc.project, tc.as); got != tc.want {
			t.Errorf("to %s: %s, want %s", tc.as, got, tc.want)
		}
	}
	if err := w.db.DeleteUser(t.Context(), w.project, user.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := names(w.project, "control"); !strings.Contains(got, "ann revoked|") {
		t.Errorf("of a user who was removed: %s", got)
	}
	// What a caller is not told they cannot search for either.
	for _, tc := range []struct {
		project, as, query string
		want               int
	}{
		{w.project, "control", "CONTRO", 1}, {w.project, "control", "ann", 1}, {w.project, "control", "tenant's", 0}, {w.project, "control", "elsewhere", 0},
		{tenant.ProjectID, "control", "tenant's", 1}, {tenant.ProjectID, "control", "ann", 1}, {tenant.ProjectID, "tenant", "tenant's", 1}, {tenant.ProjectID, "tenant", "ann", 0}, {tenant.ProjectID, "tenant", "control", 0},
		{w.project, "control", "con%rol", 0}, {w.project, "control", "contr_l", 0}, {w.project, "control", "\x00", 0}, {w.project, "control", "' OR 1=1 --", 0},
	} {
		if got := w.list(t, tc.project, w.key[tc.as], "action=a&query="+url.QueryEscape(tc.query)).Events; len(got) != tc.want {
			t.Errorf("%s finds %d by %q, not %d", tc.as, len(got), tc.query, tc.want)
		}
	}
	if rec, _ := w.do("GET", "/v1/projects/"+w.project+"/audit?query="+strings.Repeat("x", 101), w.key["control"], ""); rec.Code != 422 && rec.Code != 400 {
		t.Errorf("a text without end: %d", rec.Code)
	}
}

// Who applied a policy and who set a secret is told as who did anything is.
func TestNames_OfPoliciesAndSecrets(t *testing.T) {
	t.Parallel()
	w, tenant := newTenant(t)
	own := "/v1/projects/" + tenant.ProjectID
	if rec, _ := w.do("PUT", own+"/gateway", w.key["control"], `{"document": "version: 1\n"}`); rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	if rec, _ := w.do("PUT", own+"/gateway", w.key["tenant"], `{"document": "version: 1\ngroups:\n  a: { rate: 1/s }\n"}`); rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	key := platform.DataKey{ID: "dk_1", OwnerID: tenant.ProjectID, Keeper: "here", Sealed: []byte("sealed"), CreatedAt: time.Now()}
	for i, by := range []string{w.id["control"], tenant.ID} {
		in := platform.SecretInput{OwnerID: tenant.ProjectID, Key: key, Set: []platform.SealedSecret{{Secret: platform.Secret{Name: string("AB"[i]), Version: 1}, Sealed: []byte("sealed")}}, By: by, At: time.Now()}
		if i > 0 {
			in.ExpectKey = key.ID
		}
		if _, err := w.db.ChangeSecrets(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	for as, want := range map[string]string{
		"control": "tenant's|tenant's control|control tenant's",
		"tenant":  "tenant's|tenant's | tenant's",
	} {
		var now api.GatewayPolicy
		var history api.GatewayPolicies
		var secrets api.Secrets
		for path, into := range map[string]any{"/gateway": &now, "/gateway/history": &history, "/secrets": &secrets} {
			if rec, _ := w.do("GET", own+path, w.key[as], ""); json.Unmarshal(rec.Body.Bytes(), into) != nil {
				t.Fatal(rec.Body)
			}
		}
		if len(history.Policies) != 2 || len(secrets.Secrets) != 2 {
			t.Fatal(history, secrets)
		}
		if got := now.AppliedByName + "|" + history.Policies[0].AppliedByName + " " + history.Policies[1].AppliedByName + "|" + secrets.Secrets[0].UpdatedByName + " " + secrets.Secrets[1].UpdatedByName; got != want {
			t.Errorf("to %s: %s, want %s", as, got, want)
		}
		if history.Policies[1].AppliedBy != w.id["control"] || secrets.Secrets[0].UpdatedBy != w.id["control"] {
			t.Errorf("the IDs: %+v %+v", history, secrets)
		}
	}
}

// A search looks through a bounded part of the log, and goes on where it ended.
func TestAudit_SearchGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *admin.Options) { o.Store = nearsighted{o.Store.(*store.DB)} })
	for n := range 10 {
		e := platform.AuditEvent{ProjectID: w.project, Action: "hay", Target: fmt.Sprint(n)}
		if n == 0 || n == 5 || n == 6 {
			e.Action = "needle"
		}
		w.event(t, n, e)
	}
	for name, tc := range map[string]struct{ query, want string }{
		"all":          {"query=NEEDLE", "|65||0"},
		"one a page":   {"query=needle&pageSize=1", "|6|5|0|"},
		"none":         {"query=nothing", "|||"},
		"since":        {"query=needle&since=" + url.QueryEscape(time.Now().Add(7*time.Second-time.Hour).UTC().Format(time.RFC3339Nano)), ""},
		"not searched": {"pageSize=4", "9876|5432|10"},
	} {
		var pages []string
		var page api.AuditEvents
		for len(pages) < 20 {
			page = w.list(t, w.project, w.key["control"], tc.query+"&pageToken="+page.NextPageToken)
			targets := ""
			for _, e := range page.Events {
				targets += e.Target
			}
			pages = append(pages, targets)
			if page.NextPageToken == "" {
				break
			}
		}
		if got := strings.Join(pages, "|"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
