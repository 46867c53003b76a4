package bundle_test

import (
	"errors"
	"strings"
	"testing"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
)

// What is not installed and configured in the project is not run; what it finds
// there is an error that has its words.
func TestChecks(t *testing.T) {
	t.Parallel()
	fails := "console.log('function.ts(2,7): error TS2322: no \\u001b[31mstring\\u001b[0m'); process.exit(process.argv.length > 2 ? 2 : 0);"
	many := "for (let i = 0; i < 100; i++) console.log('line ' + i); process.exit(1);"
	const tsc, eslint = "node_modules/typescript/bin/tsc", "node_modules/eslint/bin/eslint.js"
	for name, tc := range map[string]struct {
		files               map[string]string
		types, lint         string // why each was skipped
		typesCode, lintCode string
		says                string
	}{
		"nothing":             {map[string]string{}, "no tsconfig.json", "not configured", "", "", ""},
		"tools alone":         {map[string]string{tsc: fails, eslint: fails}, "no tsconfig.json", "not configured", "", "", ""},
		"configuration alone": {map[string]string{"tsconfig.json": "{}", "eslint.config.js": ""}, "typescript is not installed", "eslint is not installed", "", "", ""},
		"both find nothing":   {map[string]string{"tsconfig.json": "{}", "eslint.config.js": "", tsc: "", eslint: ""}, "", "", "", "", ""},
		"both find errors":    {map[string]string{"tsconfig.json": "{}", ".eslintrc.json": "", tsc: fails, eslint: fails}, "", "", "typecheck_failed", "lint_failed", "function.ts(2,7): error TS2322"},
		"without a word":      {map[string]string{"tsconfig.json": "{}", "eslint.config.mjs": "", tsc: "process.exit(3)", eslint: "process.exit(3)"}, "", "", "typecheck_failed", "lint_failed", "exit status 3"},
		"with too many":       {map[string]string{"tsconfig.json": "{}", "eslint.config.mjs": "", tsc: many, eslint: many}, "", "", "typecheck_failed", "lint_failed", "line 39\n… and 60 lines more"},
		"tools that throw":    {map[string]string{"tsconfig.json": "{}", "eslint.config.ts": "", tsc: "throw new Error('no such plugin')", eslint: "throw new Error('no such plugin')"}, "", "", "typecheck_failed", "lint_failed", "no such plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, tc.files)
			check := func(what, skipped string, err error, wantSkipped, code string) {
				e, _ := errors.AsType[*fault.Error](err)
				if skipped != wantSkipped || (err == nil) != (code == "") || e != nil && (e.Code != code || !strings.Contains(e.Text, tc.says) || e.Hint == "") {
					t.Errorf("%s: skipped %q, %v", what, skipped, err)
				}
			}
			skipped, err := bundle.Typecheck(t.Context(), dir)
			check("types", skipped, err, tc.types, tc.typesCode)
			skipped, err = bundle.Lint(t.Context(), dir)
			check("lint", skipped, err, tc.lint, tc.lintCode)
		})
	}
}
