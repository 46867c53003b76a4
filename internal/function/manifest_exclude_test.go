package function_test

import (
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/function"
)

func TestExcludes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, name string
		dir, want     bool
	}{
		{"docs", "docs", true, true},
		{"docs", "a/docs", true, true},
		{"docs", "docs", false, true},
		{"docs/", "docs", false, false},
		{"docs/", "a/docs", true, true},
		{"/docs", "docs", true, true},
		{"/docs", "a/docs", true, false},
		{"*.psd", "public/img/a.psd", false, true},
		{"*.psd", "a.psdx", false, false},
		{"test/fixtures", "test/fixtures", true, true},
		{"test/fixtures", "a/test/fixtures", true, false},
		{"test/*.bin", "test/a.bin", false, true},
		{"test/*.bin", "test/a/b.bin", false, false},
		{"**/cache", "cache", true, true},
		{"**/cache", "a/b/cache", true, true},
		{"a/**/z", "a/z", true, true},
		{"a/**/z", "a/b/c/z", true, true},
		{"a/**/z", "b/a/z", true, false},
		{"a/**", "a", true, false},
		{"a/**", "a/b", true, true},
		{"Docs", "docs", true, false},
	} {
		if got := (function.Excludes{tc.pattern}).Match(tc.name, tc.dir); got != tc.want {
			t.Errorf("%q matches %q (directory: %t): %t", tc.pattern, tc.name, tc.dir, got)
		}
	}
}

func TestParseManifest_Exclude(t *testing.T) {
	t.Parallel()
	m, _, err := function.ParseManifest("postern.json", []byte(`{"name":"f","runtime":"node","exclude":["docs/","*.psd"]}`))
	if err != nil || len(m.Exclude) != 2 || strings.Contains(string(m.Encode()), "psd") {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{`"docs"`, `[]`, `[1]`, `["!docs"]`, `["a//b"]`, `["../a"]`, `["a/./b"]`, `["[a"]`, `["a\\b"]`, `[""]`, `["/"]`} {
		if _, _, err := function.ParseManifest("postern.json", []byte(`{"name":"f","runtime":"node","exclude":`+bad+`}`)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// A pattern of many stars takes no time to speak of.
func TestExcludes_Stars(t *testing.T) {
	t.Parallel()
	began := time.Now()
	function.Excludes{strings.Repeat("**/", 200) + "z"}.Match(strings.Repeat("a/", 200)+"y", false)
	if took := time.Since(began); took > 30*time.Second { // who tries all ways takes for ever
		t.Error(took)
	}
}
