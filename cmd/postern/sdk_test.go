package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// The SDK of a function, pointed at Postern itself: the function's own key gets
// a token here, and opens another function with it. The variable that names the
// API is enough to point it elsewhere, and without it nobody is shown the key.
func TestSDK_PointedAtPostern(t *testing.T) {
	t.Parallel()
	in := install(t, nil)
	modules, err := filepath.Abs(filepath.Join(clients, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	function := func(name, variables, source string) string {
		dir := t.TempDir()
		for file, text := range map[string]string{
			"postern.json": fmt.Sprintf(`{"name":%q,"runtime":"node","variables":{%s}}`, name, variables), "function.ts": source,
			"package.json": `{"type":"module","dependencies":{"@sinch/sdk-core":"1.4.0"}}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	in.deploy(t, function("provider", "", "export const activeNumbers = (_: any, r: any) => ({ activeNumbers: [{ phoneNumber: '+15550001', displayName: r.identity.method }] });\n"))
	const caller = `export const auth = [];
export const list = async ({ numbers }: any) => numbers && (await numbers.list({ regionCode: 'US', type: 'LOCAL' })).data.map((n: any) => [n.phoneNumber, n.displayName]);
`
	hosts := fmt.Sprintf(`"ENABLE_NUMBERS_API":"true","SINCH_AUTH_HOSTNAME":%q`, in.ControlURL())
	in.deploy(t, function("caller", hosts+fmt.Sprintf(`,"SINCH_NUMBERS_HOSTNAME":"%s/fn/provider"`, in.GatewayURL()), caller))
	in.deploy(t, function("halfway", hosts, caller))
	for name, want := range map[string]string{"caller": `200 [["+15550001","bearer"]]`, "halfway": "204 "} {
		res, err := http.Get(in.GatewayURL() + "/fn/" + name + "/list")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if got := fmt.Sprintf("%d %s", res.StatusCode, body); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
