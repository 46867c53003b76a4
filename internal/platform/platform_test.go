package platform_test

import (
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
)

func TestAccessKey_LiveAt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 25, 2, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		expires, revoked time.Time
		want             bool
	}{
		"neither":                            {want: true},
		"expires later":                      {expires: now.Add(1), want: true},
		"at the very instant of its expiry":  {expires: now},
		"the same instant in another zone":   {expires: now.In(time.FixedZone("CEST", 7200))},
		"expired":                            {expires: now.Add(-1)},
		"revoked":                            {revoked: now.Add(-time.Hour)},
		"revoked now":                        {revoked: now},
		"revoked by a clock that runs ahead": {revoked: now.Add(time.Hour)},
		"revoked before it would expire":     {expires: now.Add(time.Hour), revoked: now},
	} {
		k := platform.AccessKey{ExpiresAt: c.expires, RevokedAt: c.revoked}
		if got := k.LiveAt(now); got != c.want {
			t.Errorf("%s: live %v, want %v", name, got, c.want)
		}
	}
}

// What nobody decided is closed.
func TestZeroValues_AreClosed(t *testing.T) {
	t.Parallel()
	var h platform.Handler
	if h.Guard != platform.GuardKey || h.Kind != platform.HandlerCustom || h.Body != platform.BodyBuffered {
		t.Errorf("the zero handler is %+v", h)
	}
	var k platform.AccessKey
	if len(k.Scopes) != 0 {
		t.Errorf("the zero key carries %v", k.Scopes)
	}
}

// A worker that declares anything but what was recorded does not serve: Equal
// must see every difference.
func TestDeclaration_Equal(t *testing.T) {
	t.Parallel()
	declare := func(change func(*platform.Declaration)) platform.Declaration {
		d := platform.Declaration{
			Handlers: []platform.DeclaredHandler{{Name: "a"}, {Name: "ice", Kind: platform.HandlerCallback}},
			Auth:     platform.AuthDeclaration{Present: true, Names: []string{"a"}},
		}
		change(&d)
		return d
	}
	same := declare(func(*platform.Declaration) {})
	if !same.Equal(declare(func(*platform.Declaration) {})) || !(platform.Declaration{}).Equal(platform.Declaration{}) {
		t.Error("equal declarations differ")
	}
	for name, change := range map[string]func(*platform.Declaration){
		"a handler more":          func(d *platform.Declaration) { d.Handlers = append(d.Handlers, platform.DeclaredHandler{Name: "z"}) },
		"a handler less":          func(d *platform.Declaration) { d.Handlers = d.Handlers[:1] },
		"a handler renamed":       func(d *platform.Declaration) { d.Handlers[0].Name = "b" },
		"a handler's kind":        func(d *platform.Declaration) { d.Handlers[1].Kind = platform.HandlerCustom },
		"no auth export":          func(d *platform.Declaration) { d.Auth.Present = false },
		"auth of all":             func(d *platform.Declaration) { d.Auth.All = true },
		"auth of none":            func(d *platform.Declaration) { d.Auth.Names = nil },
		"another style":           func(d *platform.Declaration) { d.Style = platform.StyleEvent },
		"auth of another":         func(d *platform.Declaration) { d.Auth.Names = []string{"ice"} },
		"handlers in other order": func(d *platform.Declaration) { d.Handlers[0], d.Handlers[1] = d.Handlers[1], d.Handlers[0] },
	} {
		other := declare(change)
		if same.Equal(other) || other.Equal(same) {
			t.Errorf("%s: not noticed", name)
		}
	}
}
