package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/config"
)

// What init writes type-checks as it stands, with nothing installed, and with
// what a user writes next.
func TestInit_TypeChecks(t *testing.T) {
	t.Parallel()
	tsc, err := filepath.Abs("../../runtime/node/node_modules/typescript/bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tsc); err != nil {
		t.Fatalf("%v: run npm ci --ignore-scripts in runtime/node", err)
	}
	dir := filepath.Join(t.TempDir(), "mine")
	var said strings.Builder
	if err := initFunction(t.Context(), Stdio{Out: &said, Err: &said}, &config.Config{}, []string{"mine"}, initOptions{dir: dir}); err != nil {
		t.Fatal(err)
	}
	const more = `import { ConversationController, createConfig, type FunctionContext, getText, ok } from '@sinch/functions-runtime';
import { testing } from '@postern/functions/testing';
import { status } from './function.js';
import { webhook } from './function.ts'; // as Node itself wants it
export class Bot extends ConversationController {}
export const both = (context: FunctionContext) => ok({ key: createConfig(context).requireSecret('KEY'), getText });
// @ts-expect-error a context is needed
createConfig();
// @ts-expect-error there is no such member
export const bad = (context: FunctionContext) => context.nothing;
export const answer = [await testing.call(status), webhook];
`
	if err := os.WriteFile(filepath.Join(dir, "more.ts"), []byte(more), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "node", tsc, "-p", dir).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
