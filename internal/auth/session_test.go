package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/platform"
)

// A user controls their project and what is below it, and opens nothing else.
func TestDecide_User(t *testing.T) {
	t.Parallel()
	ann := &auth.User{ID: "usr_a", ProjectID: "prj_a"}
	k, _ := mint(nil)
	key := auth.NewDirectory().With(k).ByID(k.ID)
	control := func(project, parent string) auth.Need {
		return auth.Need{ProjectID: project, ParentID: parent, Scope: platform.ScopeControl, RemoteAddr: "192.0.2.1:1"}
	}
	for name, tc := range map[string]struct {
		p    auth.Principal
		need auth.Need
		want error
	}{
		"own project":         {auth.Principal{User: ann, Method: auth.MethodSession}, control("prj_a", ""), nil},
		"a subproject":        {auth.Principal{User: ann, Method: auth.MethodSession}, control("prj_b", "prj_a"), nil},
		"another project":     {auth.Principal{User: ann, Method: auth.MethodSession}, control("prj_b", ""), auth.ErrProject},
		"the parent":          {auth.Principal{User: &auth.User{ID: "usr_a", ProjectID: "prj_b"}, Method: auth.MethodSession}, control("prj_a", ""), auth.ErrProject},
		"no project":          {auth.Principal{User: ann, Method: auth.MethodSession}, control("", ""), auth.ErrProject},
		"a function":          {auth.Principal{User: ann, Method: auth.MethodSession}, auth.Need{ProjectID: "prj_a", Scope: platform.ScopeInvoke, RemoteAddr: "192.0.2.1:1"}, auth.ErrUser},
		"no scope":            {auth.Principal{User: ann, Method: auth.MethodSession}, auth.Need{ProjectID: "prj_a"}, auth.ErrUser},
		"nobody":              {auth.Principal{User: &auth.User{}, Method: auth.MethodSession}, control("", ""), auth.ErrProject},
		"nobody of a project": {auth.Principal{User: &auth.User{ProjectID: "prj_a"}, Method: auth.MethodSession}, control("prj_a", ""), auth.ErrProject},
		"without a session":   {auth.Principal{User: ann}, control("prj_a", ""), auth.ErrNone},
		"by a header":         {auth.Principal{User: ann, Method: auth.MethodBasic}, control("prj_a", ""), auth.ErrNone},
		"and a key":           {auth.Principal{User: ann, Key: key, Method: auth.MethodSession}, control("prj_a", ""), auth.ErrNone},
		"and a token":         {auth.Principal{User: ann, Token: &auth.Token{}, Method: auth.MethodSession}, control("prj_a", ""), auth.ErrNone},
		"and a function's":    {auth.Principal{User: ann, Admin: &auth.Admin{ProjectID: "prj_a"}, Method: auth.MethodSession}, control("prj_a", ""), auth.ErrNone},
		"a session of nobody": {auth.Principal{Method: auth.MethodSession}, control("", ""), auth.ErrNone},
	} {
		if err := auth.Decide(tc.p, tc.need); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	p := auth.Principal{User: ann, Method: auth.MethodSession}
	if p.ID() != "usr_a" || p.ProjectID() != "prj_a" || p.Scopes() != "invoke control" || p.Packed() == (auth.Principal{User: &auth.User{ID: "usr_b"}}).Packed() {
		t.Errorf("%s of %s may %s", p.ID(), p.ProjectID(), p.Scopes())
	}
	if until := p.Until(now); until.Before(now.Add(time.Second)) || until.After(now.Add(10*time.Second)) {
		t.Errorf("looked at again at %v", until)
	}
}

// A session that was begun with a secret ends with it.
func TestOfKey(t *testing.T) {
	t.Parallel()
	k, _ := mint(func(k *platform.AccessKey) { k.Generation, k.ExpiresAt = 2, now.Add(time.Hour) })
	graced := k
	graced.Generation, graced.PreviousHash, graced.PreviousUntil = 3, k.SecretHash, now.Add(time.Minute)
	bound, _ := mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	for name, tc := range map[string]struct {
		d          *auth.Directory
		id         string
		generation int
		after      time.Duration
		want       error
	}{
		"as it was":           {auth.NewDirectory().With(k), k.ID, 2, 0, nil},
		"within the grace":    {auth.NewDirectory().With(graced), k.ID, 2, time.Second, nil},
		"after the grace":     {auth.NewDirectory().With(graced), k.ID, 2, time.Minute, auth.ErrSession},
		"rotated":             {auth.NewDirectory().With(k), k.ID, 1, 0, auth.ErrSession},
		"a secret to come":    {auth.NewDirectory().With(k), k.ID, 3, 0, auth.ErrSession},
		"expired":             {auth.NewDirectory().With(k), k.ID, 2, time.Hour, auth.ErrSession},
		"revoked":             {auth.NewDirectory().With(k).Without(k.ID), k.ID, 2, 0, auth.ErrSession},
		"no ID":               {auth.NewDirectory().With(k), "", 2, 0, auth.ErrSession},
		"no use by itself":    {auth.NewDirectory().With(bound), bound.ID, 1, 0, auth.ErrBare},
		"a key of nobody's":   {auth.NewDirectory(), "", 0, 0, auth.ErrSession},
		"of no generation":    {auth.NewDirectory().With(k), k.ID, 0, 0, auth.ErrSession},
		"a user's ID instead": {auth.NewDirectory().With(k), "usr_a", 2, 0, auth.ErrSession},
	} {
		p, err := auth.OfKey(tc.d, tc.id, tc.generation, now.Add(tc.after))
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) || (err == nil) != (p.Key != nil && p.Method == auth.MethodSession) {
			t.Errorf("%s: %v %v, want %v", name, p, err, tc.want)
		}
		if err == nil && p.Generation() != tc.generation { // what is sent for the session goes back to its secret
			t.Errorf("%s: of generation %d", name, p.Generation())
		}
	}
}

func TestFromSession(t *testing.T) {
	t.Parallel()
	says := func(p auth.Principal, err error) context.Context {
		return auth.WithSession(t.Context(), func(time.Time) (auth.Principal, error) { return p, err })
	}
	ann := &auth.User{ID: "usr_a", ProjectID: "prj_a"}
	for name, ctx := range map[string]context.Context{
		"ended":           says(auth.Principal{User: ann, Method: auth.MethodSession}, auth.ErrSession),
		"nobody":          says(auth.Principal{Method: auth.MethodSession}, nil),
		"the zero value":  says(auth.Principal{}, nil),
		"no session":      says(auth.Principal{User: ann, Method: auth.MethodBasic}, nil),
		"a function's":    says(auth.Principal{Admin: &auth.Admin{}, Method: auth.MethodSession}, nil),
		"no reader":       auth.WithSession(t.Context(), nil),
		"a session twice": auth.WithSession(says(auth.Principal{User: ann, Method: auth.MethodSession}, nil), nil),
	} {
		if p, there, err := auth.FromSession(ctx, now); !there || !errors.Is(err, auth.ErrSession) || p != (auth.Principal{}) {
			t.Errorf("%s: %v %t %v", name, p, there, err)
		}
	}
	if _, there, err := auth.FromSession(t.Context(), now); there || err != nil {
		t.Errorf("none: %t %v", there, err)
	}
	if p, there, err := auth.FromSession(says(auth.Principal{User: ann, Method: auth.MethodSession}, nil), now); !there || err != nil || p.User != ann {
		t.Errorf("a user's: %v %t %v", p, there, err)
	}
}
