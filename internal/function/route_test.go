package function_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

const (
	custom   = platform.HandlerCustom
	root     = platform.HandlerRoot
	service  = platform.HandlerService
	callback = platform.HandlerCallback
	key      = platform.GuardKey
	open     = platform.GuardOpen
	sig      = platform.GuardSignature
)

func TestTable_Match(t *testing.T) {
	t.Parallel()
	full := function.NewTable([]platform.Handler{
		{Name: "conversationWebhook", Kind: service}, {Name: "health", Kind: custom}, {Name: "home", Kind: root}, {Name: "ice", Kind: callback, Guard: sig},
		{Name: "status", Kind: custom, Guard: open}, {Name: "users", Kind: custom}, {Name: "webhook", Kind: custom}, {Name: "default", Kind: root, Guard: open}})
	bare := function.NewTable([]platform.Handler{{Name: "webhook", Kind: custom}})
	for _, tc := range []struct {
		table *function.Table
		path  string
		want  string // handler name, "-" for built in, "" for none
		guard platform.Guard
	}{
		{full, "/health", "health", open}, {full, "/a/health", "health", key}, {full, "/webhook/health", "health", key},
		{bare, "/health", "-", open}, {bare, "/a/health", "", 0}, {bare, "/webhook/health", "", 0},
		{full, "/", "home", key}, {bare, "/", "", 0}, {full, "/home", "home", key}, {full, "/default", "", 0},
		{full, "/status", "status", open}, {full, "/api/v2/users", "users", key}, {full, "/Status", "", 0}, {full, "/status;v=1", "", 0},
		{full, "/webhook/conversation", "conversationWebhook", key}, {full, "/conversation", "", 0}, {full, "/conversationWebhook", "", 0},
		{full, "/a/webhook/conversation", "", 0}, {full, "/webhook/a/conversation", "", 0}, {full, "/webhook/users", "users", key},
		{full, "/webhook", "webhook", key}, {full, "/health/webhook", "webhook", key}, {full, "/ice/webhook", "webhook", key},
		{full, "/ice", "ice", sig}, {full, "/a/b/ice", "ice", sig}, {full, "/webhook/ice", "ice", sig}, {full, "/ace", "", 0}, {bare, "/ice", "", 0},
		{full, "/constructor", "", 0}, {full, "/__proto__", "", 0}, {full, "/toString", "", 0}, {full, "/auth", "", 0}, {full, "/health/x", "", 0},
	} {
		m, ok := tc.table.Match("GET", tc.path)
		got := ""
		if ok {
			got = "-"
			if m.Handler != nil {
				got = m.Handler.Name
			}
		}
		if got != tc.want || ok && m.Guard != tc.guard {
			t.Errorf("Match(%q) = %q guard %v, want %q guard %v", tc.path, got, m.Guard, tc.want, tc.guard)
		}
	}
}

// Whatever the path, a call is guarded as its handler is, but for exactly /health.
func FuzzTable_Match(f *testing.F) {
	seeds := []string{"/", "/health", "/webhook", "/a/health", "/health/", "//health", "/webhook/conversation", "/ice", "", "/\x00", "/webhook/"}
	for _, s := range seeds {
		f.Add(s)
	}
	hs := []platform.Handler{{Name: "health", Kind: custom}, {Name: "webhook", Kind: custom}, {Name: "ice", Kind: callback, Guard: sig}, {Name: "conversationWebhook", Kind: service}}
	table := function.NewTable(hs)
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		m, ok := table.Match("GET", path)
		if ok && m.Guard == open && path != "/health" {
			t.Fatalf("Match(%q) is open", path)
		}
		if ok && path != "/health" && m.Guard != m.Handler.Guard {
			t.Fatalf("Match(%q): guard %v, the handler's is %v", path, m.Guard, m.Handler.Guard)
		}
	})
}

func TestTable_MatchDoesNotAllocate(t *testing.T) {
	table := function.NewTable([]platform.Handler{{Name: "webhook", Kind: custom}, {Name: "smsWebhook", Kind: service}})
	for _, path := range []string{"/", "/health", "/a/webhook", "/webhook/sms", "/webhook/" + strings.Repeat("x", 100), "/ice"} {
		if n := testing.AllocsPerRun(100, func() { table.Match("GET", path) }); n != 0 {
			t.Errorf("Match(%q) allocates %v times", path, n)
		}
	}
}

func TestProtect_OptOut(t *testing.T) {
	t.Parallel()
	declared := []platform.DeclaredHandler{{Name: "default", Kind: root}, {Name: "ice", Kind: callback}, {Name: "smsWebhook", Kind: service}, {Name: "status"}, {Name: "webhook"}}
	all := func(g platform.Guard) []platform.Guard { return []platform.Guard{g, sig, sig, g, g} }
	for name, tc := range map[string]struct {
		source   string
		auth     platform.AuthDeclaration
		want     []platform.Guard
		warnings int
	}{
		"postern, no auth":    {function.SourcePostern, platform.AuthDeclaration{}, all(key), 0},
		"postern, star":       {function.SourcePostern, platform.AuthDeclaration{Present: true, All: true}, all(key), 0},
		"postern, some":       {function.SourcePostern, platform.AuthDeclaration{Present: true, Names: []string{"webhook"}}, []platform.Guard{open, sig, sig, open, key}, 0},
		"postern, empty list": {function.SourcePostern, platform.AuthDeclaration{Present: true}, all(open), 0},
		"sinch, no auth":      {function.SourceSinch, platform.AuthDeclaration{}, all(open), 1},
		"sinch, star":         {function.SourceSinch, platform.AuthDeclaration{Present: true, All: true}, all(key), 0},
		"sinch, empty list":   {function.SourceSinch, platform.AuthDeclaration{Present: true}, all(open), 0},
		"sinch, some":         {function.SourceSinch, platform.AuthDeclaration{Present: true, Names: []string{"smsWebhook"}}, []platform.Guard{open, sig, key, open, open}, 1},
	} {
		hs, warnings, err := function.Protect(function.Manifest{Source: tc.source}, platform.Declaration{Handlers: declared, Auth: tc.auth}, true)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []platform.Guard
		for _, h := range hs {
			got = append(got, h.Guard)
		}
		if !slices.Equal(got, tc.want) || len(warnings) != tc.warnings {
			t.Errorf("%s: guards %v warnings %q, want %v and %d", name, got, warnings, tc.want, tc.warnings)
		}
	}
}

func TestProtect_Refuses(t *testing.T) {
	t.Parallel()
	handlers := []platform.DeclaredHandler{{Name: "ice", Kind: callback}, {Name: "webhook"}}
	for name, tc := range map[string]struct {
		m    function.Manifest
		d    platform.Declaration
		code string
		hint string
	}{
		"no handlers":        {function.Manifest{}, platform.Declaration{}, "no_handlers", ""},
		"unknown in auth":    {function.Manifest{}, platform.Declaration{Handlers: handlers, Auth: platform.AuthDeclaration{Present: true, Names: []string{"webhok"}}}, "auth_unknown_handler", `"webhook"`},
		"health, not here":   {function.Manifest{}, platform.Declaration{Handlers: handlers, Auth: platform.AuthDeclaration{Present: true, Names: []string{"health"}}}, "auth_unknown_handler", ""},
		"callback in auth":   {function.Manifest{}, platform.Declaration{Handlers: handlers, Auth: platform.AuthDeclaration{Present: true, Names: []string{"ice"}}}, "auth_unknown_handler", "signature"},
		"route to none":      {function.Manifest{Source: "postern.json", Routes: []function.RouteSpec{{Path: "GET /a", Handler: "webhok"}}}, platform.Declaration{Handlers: handlers}, "manifest_invalid", `"webhook"`},
		"route to callback":  {function.Manifest{Routes: []function.RouteSpec{{Path: "GET /a", Handler: "ice", Auth: "none"}}}, platform.Declaration{Handlers: handlers}, "manifest_invalid", "signature"},
		"event streamed":     {function.Manifest{Handlers: map[string]function.HandlerOptions{"webhook": {Body: platform.BodyStream}}}, platform.Declaration{Handlers: handlers, Style: platform.StyleEvent}, "manifest_invalid", "context"},
		"option for none":    {function.Manifest{Handlers: map[string]function.HandlerOptions{"upload": {}}}, platform.Declaration{Handlers: handlers}, "manifest_invalid", ""},
		"reserved name":      {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "__proto__"}}}, "module_failed", ""},
		"reserved as root":   {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "__proto__", Kind: root}}}, "module_failed", ""},
		"callback as custom": {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "ice", Kind: custom}}}, "module_failed", ""},
		"custom as callback": {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "webhook", Kind: callback}}}, "module_failed", ""},
		"custom as service":  {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "smsWebhook", Kind: custom}}}, "module_failed", ""},
		"unknown kind":       {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "webhook", Kind: 9}}}, "module_failed", ""},
		"declared twice":     {function.Manifest{}, platform.Declaration{Handlers: []platform.DeclaredHandler{{Name: "webhook"}, {Name: "webhook"}}}, "module_failed", ""},
		"1 MiB in auth":      {function.Manifest{}, platform.Declaration{Handlers: handlers, Auth: platform.AuthDeclaration{Present: true, Names: []string{strings.Repeat("w", 1<<20)}}}, "auth_unknown_handler", ""},
	} {
		_, _, err := function.Protect(tc.m, tc.d, true)
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Invalid || f.Code != tc.code || !strings.Contains(f.Hint, tc.hint) {
			t.Errorf("%s: err = %v, hint %q", name, err, hintOf(f))
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	got := function.Describe([]platform.Handler{{Name: "health", Kind: custom}, {Name: "home", Kind: root, Guard: open}, {Name: "ice", Kind: callback, Guard: sig},
		{Name: "smsWebhook", Kind: service}, {Name: "webhook", Kind: custom}})
	want := []function.RouteRow{{Path: "/health", Handler: "health", Guard: "open"}, {Path: "/", Handler: "home", Guard: "open"}, {Path: "/ice", Handler: "ice", Guard: "signature", Asks: "voice-v1"},
		{Path: "/webhook", Handler: "webhook", Guard: "access key"}, {Path: "/webhook/sms", Handler: "smsWebhook", Guard: "access key"}, {Path: "/…/health", Handler: "health", Guard: "access key"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDescribe_LeavesOutWhatNothingLeadsTo(t *testing.T) {
	t.Parallel()
	got := function.Describe([]platform.Handler{{Name: "default", Kind: root, Guard: open}, {Name: "home", Kind: root}})
	want := []function.RouteRow{{Path: "/health", Handler: "built in", Guard: "open"}, {Path: "/", Handler: "home", Guard: "access key"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestProtect_SaysThatHealthStaysOpen(t *testing.T) {
	t.Parallel()
	_, warnings, err := function.Protect(function.Manifest{Source: function.SourcePostern}, platform.Declaration{
		Handlers: []platform.DeclaredHandler{{Name: "health"}}, Auth: platform.AuthDeclaration{Present: true, Names: []string{"health"}}}, true)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "/health") {
		t.Errorf("warnings %q, err %v", warnings, err)
	}
}
