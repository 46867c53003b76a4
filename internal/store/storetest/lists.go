package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// named are the display names of a list of keys.
func named(t *testing.T, db *store.DB, projectID string, q platform.KeyQuery) (names []string) {
	t.Helper()
	q.Limit = 100
	ks, err := db.FindKeys(t.Context(), projectID, q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	for _, k := range ks {
		names = append(names, k.DisplayName)
	}
	if n, err := db.CountKeys(t.Context(), projectID, q, 100); err != nil || n != len(names) {
		t.Errorf("%+v: counted %d of %d, %v", q, n, len(names), err)
	}
	return names
}

func testKeySearch(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	other := platform.Project{ID: "prj_other", CreatedAt: at}
	if err := db.CreateProject(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for i, name := range []string{"Zürich BILLING", "100% sure", "snake_case", `back\slash`, "it's \"quoted\"", "ΣΊΣΥΦΟΣ", "日本 key", "a--b; DROP"} {
		k := newKey(p.ID, name)
		k.ID = accesskey.NewID(at.Add(time.Duration(i) * time.Minute))
		ids[name] = k.ID
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreateKey(t.Context(), newKey(other.ID, name)); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string][]string{
		"billing": {"Zürich BILLING"}, "ZÜRICH": {"Zürich BILLING"}, "h b": {"Zürich BILLING"}, "zurich": nil,
		"%": {"100% sure"}, "100%": {"100% sure"}, "1%sure": nil, "_": {"snake_case"}, "sn_ke": nil, `\`: {`back\slash`}, `\\`: nil, `\_`: nil,
		"'": {"it's \"quoted\""}, `"`: {"it's \"quoted\""}, "' OR 1=1 --": nil, "--B;": {"a--b; DROP"}, "σίσυφος": {"ΣΊΣΥΦΟΣ"}, "本": {"日本 key"}, "日": {"日本 key"},
		"\x00": nil, "key\x00": nil, "\xff": nil, "b\xc3": nil, "*": nil, "?": nil, "[a-z]": nil, "$1": nil,
		ids["snake_case"]: {"snake_case"}, ids["snake_case"][:20]: {"snake_case"}, "PAK_" + ids["snake_case"][4:20]: {"snake_case"}, ids["snake_case"][4:20]: nil, ids["snake_case"] + "0": nil,
	} {
		if got := named(t, db, p.ID, platform.KeyQuery{Text: text}); !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
	for i, projectID := range []string{p.ID, p.ID, other.ID} {
		k := newKey(projectID, fmt.Sprint("of a plan ", i))
		k.ServicePlanID = "plan"
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if _, err := db.RevokeKey(t.Context(), p.ID, k.ID, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range []platform.KeyQuery{{Plans: true}, {Plans: true, Text: "A PLAN"}, {Plans: true, State: platform.KeyLive, Now: at, Newest: true}} {
		if got := named(t, db, p.ID, q); !slices.Equal(got, []string{"of a plan 0"}) {
			t.Errorf("%+v finds %q", q, got)
		}
	}
	if _, _, err := db.UpdateKey(t.Context(), p.ID, ids["snake_case"], at, func(k *platform.AccessKey) error { k.DisplayName = "ÉTÉ"; return nil }); err != nil {
		t.Fatal(err)
	}
	for text, n := range map[string]int{"snake": 0, "été": 1, "": 10} {
		if got := named(t, db, p.ID, platform.KeyQuery{Text: text}); len(got) != n {
			t.Errorf("after a change of name %q finds %q", text, got)
		}
	}
}

func testKeyStates(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	for name, end := range map[string]time.Time{"for ever": {}, "now": at, "next": at.Add(time.Microsecond), "month": at.Add(platform.ExpiringWithin), "later": at.Add(platform.ExpiringWithin + time.Microsecond), "gone": {}, "gone, ended": at.Add(-time.Hour)} {
		k := newKey(p.ID, name)
		k.ExpiresAt = end
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if name == "gone" || name == "gone, ended" {
			if _, err := db.RevokeKey(t.Context(), p.ID, k.ID, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	in := deployInput(p.ID, "", "f", "")
	if _, err := db.Deploy(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[platform.KeyState][]string{
		"":                   {"first", "for ever", "later", "month", "next", "now"},
		platform.KeyLive:     {"first", "for ever", "later", "month", "next"},
		platform.KeyExpiring: {"month", "next"},
		platform.KeyExpired:  {"now"},
		platform.KeyRevoked:  {"gone", "gone, ended"},
	} {
		q := platform.KeyQuery{State: state, Now: at}
		got := named(t, db, p.ID, q)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", state, got, want)
		}
		q.Functions = true
		own := 0
		if state == "" || state == platform.KeyLive {
			own = 1
		}
		if got := named(t, db, p.ID, q); len(got) != len(want)+own {
			t.Errorf("%q, with those of functions: %q", state, got)
		}
		q.Text = "e"
		for _, name := range named(t, db, p.ID, q) {
			if name == "now" || name == "month" {
				t.Errorf("%q, searched: %q", state, name)
			}
		}
		ks, _ := db.FindKeys(t.Context(), p.ID, platform.KeyQuery{State: state, Now: at, Limit: 10})
		for _, k := range ks {
			if got := k.StateAt(at); got != state && state != "" && !(state == platform.KeyLive && got == platform.KeyExpiring) {
				t.Errorf("%q is %q, and listed as %q", k.DisplayName, got, state)
			}
		}
	}
}

// A page follows the one before, in either order, whatever is made and ended
// meanwhile: no key comes twice, and none that was there all the time is missing.
func testKeyPages(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	make := func(i int, name string) string {
		k := newKey(p.ID, name)
		k.ID = accesskey.NewID(at.Add(time.Duration(i) * time.Second))
		if _, err := db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	var ids []string
	for i := range 25 {
		ids = append(ids, make(i+1, fmt.Sprintf("there %02d", i)))
	}
	for _, newest := range []bool{false, true} {
		var seen []string
		for after, round := "", 0; ; round++ {
			ks, err := db.FindKeys(t.Context(), p.ID, platform.KeyQuery{Text: "THERE", Newest: newest, After: after, Limit: 4})
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range ks {
				seen, after = append(seen, k.ID), k.ID
			}
			if len(ks) < 4 {
				break
			}
			late := make(1000+round, fmt.Sprintf("there late %v %d", newest, round))
			if _, err := db.RevokeKey(t.Context(), p.ID, late, at); round%2 == 0 && err != nil {
				t.Fatal(err)
			}
		}
		if newest {
			slices.Reverse(seen)
		}
		seen = slices.DeleteFunc(seen, func(id string) bool { return !slices.Contains(ids, id) })
		if !slices.Equal(seen, ids) {
			t.Errorf("newest first %v: %d of %d keys, or in another order", newest, len(seen), len(ids))
		}
	}
	if n, err := db.CountKeys(t.Context(), p.ID, platform.KeyQuery{}, 10); n != 10 || err != nil {
		t.Errorf("counted to 10: %d, %v", n, err)
	}
}

func testFunctionSearch(t *testing.T, db *store.DB) {
	p := newProject(t, db)
	other := platform.Project{ID: "prj_other", CreatedAt: at}
	if err := db.CreateProject(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, name := range []string{"orders", "order-mail", "refunds"} {
		out, err := db.Deploy(t.Context(), deployInput(p.ID, "", name, ""))
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = out.Function.ID
		if _, err := db.Deploy(t.Context(), deployInput(other.ID, "", name, "")); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string][]string{
		"": {"order-mail", "orders", "refunds"}, "order": {"order-mail", "orders"}, "ORDER": {"order-mail", "orders"}, "-": {"order-mail"}, "fund": {"refunds"},
		"%": nil, "_": nil, `\`: nil, "'": nil, "\x00": nil, "\xff": nil, "ö": nil, ids["orders"]: {"orders"}, "FN-" + ids["orders"][3:]: {"orders"}, ids["orders"][3:]: nil,
	} {
		fs, err := db.FindFunctions(t.Context(), p.ID, text, "", 10)
		var got []string
		for _, f := range fs {
			got = append(got, f.Function.Name)
			if f.Deployment.ID != f.Function.ActiveDeploymentID || f.Newest != f.Deployment.Number {
				t.Errorf("%q finds %+v", text, f)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q; %v", text, got, want, err)
		}
		if n, err := db.CountFunctions(t.Context(), p.ID, text, 2); n != min(2, len(want)) || err != nil {
			t.Errorf("%q: counted %d, %v", text, n, err)
		}
	}
	if fs, err := db.FindFunctions(t.Context(), p.ID, "order", "order-mail", 10); err != nil || len(fs) != 1 || fs[0].Function.Name != "orders" {
		t.Errorf("the second page: %v, %v", fs, err)
	}
}
