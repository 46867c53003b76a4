package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// people are a project with a live key, one that expires, one that is revoked, a user
// and one who was removed, and another project with a key.
type people struct {
	project, other                                   string
	live, expiring, revoked, user, removed, stranger string
}

func newPeople(t *testing.T, db *store.DB) (p people) {
	t.Helper()
	project := newProject(t, db)
	p.project, p.other = project.ID, "prj_other"
	if err := db.CreateProject(t.Context(), platform.Project{ID: p.other, ParentID: p.project, Name: "other", CreatedAt: at}); err != nil {
		t.Fatal(err)
	}
	key := func(project, name string, expires time.Time) string {
		k := newKey(project, name)
		k.ExpiresAt = expires
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	user := func(name string) string {
		u := newUser(p.project, name)
		if err := db.CreateUser(t.Context(), u, false); err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	p.live, p.expiring, p.revoked = key(p.project, "Straße_100%", time.Time{}), key(p.project, "ends", at.Add(time.Hour)), key(p.project, "gone", time.Time{})
	p.stranger, p.user, p.removed = key(p.other, "Straße elsewhere", time.Time{}), user("ann"), user("bob")
	if _, err := db.RevokeKey(t.Context(), p.project, p.revoked, at); err != nil {
		t.Fatal(err)
	}
	if err := db.DeleteUser(t.Context(), p.project, p.removed, at); err != nil {
		t.Fatal(err)
	}
	return p
}

func testNames(t *testing.T, db *store.DB) {
	p := newPeople(t, db)
	all := []string{p.live, p.expiring, p.revoked, p.user, p.removed, p.stranger, "pak_none", "usr_none", "fn-x", "", "pak_\x00", "pak_' OR ''='", p.live}
	own := map[string]platform.Named{p.live: {Name: "Straße_100%", ProjectID: p.project, State: platform.KeyLive}, p.expiring: {Name: "ends", ProjectID: p.project, State: platform.KeyExpiring}, p.revoked: {Name: "gone", ProjectID: p.project, State: platform.KeyRevoked},
		p.user: {Name: "ann", ProjectID: p.project, State: platform.KeyLive}, p.removed: {Name: "bob", ProjectID: p.project, State: platform.KeyRevoked}}
	for name, tc := range map[string]struct {
		projects, ids []string
		want          map[string]platform.Named
	}{
		"nobody":          {[]string{p.project}, nil, map[string]platform.Named{}},
		"of no project":   {nil, all, map[string]platform.Named{}},
		"of none that is": {[]string{"prj_none", "' OR ''='"}, all, map[string]platform.Named{}},
		"of another":      {[]string{p.other}, all, map[string]platform.Named{p.stranger: {Name: "Straße elsewhere", ProjectID: p.other, State: platform.KeyLive}}},
		"of one":          {[]string{p.project}, all, own},
		"some":            {[]string{p.project, p.other}, []string{p.stranger, p.user}, map[string]platform.Named{p.stranger: {Name: "Straße elsewhere", ProjectID: p.other, State: platform.KeyLive}, p.user: own[p.user]}},
	} {
		got, err := db.Names(t.Context(), tc.projects, tc.ids, at)
		if d := cmp.Diff(tc.want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
	if got, err := db.Names(t.Context(), []string{p.project}, all, at.Add(2*time.Hour)); err != nil || got[p.expiring].State != platform.KeyExpired {
		t.Errorf("two hours later: %v, %v", got, err)
	}
}

// A text is looked for in what an event says and in the names of who caused it,
// and stands for nothing but itself.
func testAuditText(t *testing.T, db *store.DB) {
	p := newPeople(t, db)
	var all []platform.AuditEvent
	for n, who := range []string{p.live, p.user, p.stranger, "", p.live} {
		e := event(p.project, n)
		e.KeyID, e.Action, e.Target = who, "updateAccessKey", "accessKeys/pak_target"
		switch n {
		case 1:
			e.Action, e.Target = "deploy", `functions/Shop_1\%`
		case 3:
			e.Code, e.Target = "rate_limited", "functions/über 'x'"
		}
		all = append(all, e)
	}
	if err := db.WriteAudit(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	own := []string{p.project}
	for name, tc := range map[string]struct {
		filter platform.AuditFilter
		want   []int
	}{
		"of the action":             {platform.AuditFilter{Text: "ACCESSKEYS/pak"}, []int{4, 2, 0}},
		"of the target":             {platform.AuditFilter{Text: "sHOP_"}, []int{1}},
		"of both":                   {platform.AuditFilter{Text: "DEPLOY functions"}, []int{1}},
		"of the code":               {platform.AuditFilter{Text: "limited"}, []int{3}},
		"the ID of who":             {platform.AuditFilter{Text: strings.ToUpper(p.user)}, []int{1}},
		"the name of who":           {platform.AuditFilter{Text: "STRASSE", NamesOf: own}, nil},
		"the name in capitals":      {platform.AuditFilter{Text: "STRAßE", NamesOf: own}, []int{4, 0}},
		"the name of a user":        {platform.AuditFilter{Text: "Ann", NamesOf: own}, []int{1}},
		"a name of another project": {platform.AuditFilter{Text: "elsewhere", NamesOf: own}, nil},
		"of two projects":           {platform.AuditFilter{Text: "straße", NamesOf: []string{p.project, p.other}}, []int{4, 2, 0}},
		"nobody's names":            {platform.AuditFilter{Text: "straße"}, nil},
		"percent is a character":    {platform.AuditFilter{Text: "100%", NamesOf: own}, []int{4, 0}},
		"percent is no wildcard":    {platform.AuditFilter{Text: "d%y", NamesOf: own}, nil},
		"underscore is none":        {platform.AuditFilter{Text: "d_ploy", NamesOf: own}, nil},
		"a backslash":               {platform.AuditFilter{Text: `\%`}, []int{1}},
		"a quote":                   {platform.AuditFilter{Text: "'x'"}, []int{3}},
		"no SQL of yours":           {platform.AuditFilter{Text: "' OR ''='", NamesOf: own}, nil},
		"NUL":                       {platform.AuditFilter{Text: "\x00", NamesOf: own}, nil},
		"no UTF-8":                  {platform.AuditFilter{Text: "\xff", NamesOf: own}, nil},
		"with other filters":        {platform.AuditFilter{Text: "straße", NamesOf: own, Since: all[1].At, Without: []string{"deploy"}}, []int{4}},
		"not beyond":                {platform.AuditFilter{Text: "straße", NamesOf: own, From: all[1].ID}, []int{4}},
	} {
		got, err := db.AuditEvents(t.Context(), p.project, tc.filter, "", 10)
		var want []platform.AuditEvent
		for _, n := range tc.want {
			want = append(want, all[n])
		}
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
	for name, tc := range map[string]struct {
		since time.Time
		after string
		n     int
		want  string
	}{"from the newest": {at, "", 2, all[3].ID}, "from one": {at, all[3].ID, 2, all[1].ID}, "the last": {time.Time{}, "", 5, all[0].ID}, "fewer": {at, "", 6, ""}, "fewer since": {all[2].At, "", 4, ""}, "none before": {at, all[0].ID, 1, ""}} {
		if got, err := db.AuditBefore(t.Context(), p.project, tc.since, tc.after, tc.n); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
