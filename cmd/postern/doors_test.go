package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/keychain/keychaintest"
)

// neighbours are two functions of one project and one developer, the name of one
// of them being the beginning of the other's. Each has secrets of the same names.
type neighbours struct {
	*site
	values map[string][]byte // by whose they are
	dirs   map[string]string
	out    string // where files are written
}

// doored tells all that it knows, to callers and in its log.
const doored = teller + `
export const pid = () => String(process.pid);
`

func newNeighbours(t *testing.T) *neighbours {
	t.Helper()
	n := &neighbours{site: newSite(t), values: map[string][]byte{}, dirs: map[string]string{}, out: t.TempDir()}
	ring, err := keychaintest.Start(t.TempDir(), "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Stop)
	n.env = append(n.env, ring.Env...)
	n.env = append(n.env, "PATH="+os.Getenv("PATH"))
	for name, declares := range map[string]string{"shop": `"SECRET_VALUE","TEAM"`, "shop-two": `"SECRET_VALUE"`} {
		n.values[name] = fmt.Appendf(nil, "value-of-%s-%x", name, rand.Uint64())
		n.dirs[name] = filepath.Join(t.TempDir(), name)
		n.files(n.dirs[name], map[string]string{"postern.json": fmt.Sprintf(`{"name":%q,"runtime":"node","secrets":[%s]}`, name, declares), "function.ts": doored})
		n.in(name, string(n.values[name]), "secrets", "add", "SECRET_VALUE")
	}
	n.values["the project"] = fmt.Appendf(nil, "shared-by-some-%x", rand.Uint64())
	n.in("shop", string(n.values["the project"]), "secrets", "add", "--shared", "TEAM")
	for name := range n.dirs {
		n.in(name, "", "functions", "deploy")
	}
	return n
}

// in runs the real command in a function's directory and returns all that it says.
func (n *neighbours) in(name, stdin string, args ...string) string {
	n.Helper()
	out, err := n.try(name, stdin, args...)
	if err != nil {
		n.Fatalf("%s: postern %v: %v\n%s\n%s", name, args, err, out, n.log())
	}
	return out
}

func (n *neighbours) try(name, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(n.Context(), binary, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = n.dirs[name], n.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// get is what the gateway or the control plane answers.
func (n *neighbours) get(url string) string {
	n.Helper()
	_, body := call(n.T, http.DefaultClient, "GET", url, n.key["POSTERN_KEY_ID"], n.key["POSTERN_KEY_SECRET"], "")
	return body
}

// all is every byte of every file below a directory.
func (n *neighbours) all(dir string) string {
	n.Helper()
	var b bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		b.WriteString(path)
		b.Write(text)
		return err
	})
	if err != nil || b.Len() == 0 {
		n.Errorf("%s: %d bytes, %v", dir, b.Len(), err)
	}
	return b.String()
}

// environs are the whole environments of the workers of a function.
func (n *neighbours) environs(name string) (all string) {
	n.Helper()
	for _, pid := range workers(n.data) {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(env)+"\x00", "POSTERN_FUNCTION_NAME="+name+"\x00") {
			all += string(env) + string(args)
		}
	}
	return all
}

// here is all that `functions dev` shows of a function: its answers, its terminal
// and its page.
func (n *neighbours) here(name string) string {
	n.Helper()
	files := map[string]string{}
	for _, file := range []string{"postern.json", "function.ts"} {
		text, err := os.ReadFile(filepath.Join(n.dirs[name], file))
		if err != nil {
			n.Fatal(err)
		}
		files[file] = string(text)
	}
	w := newWorkshop(n.T, n.env, files)
	defer w.stop()
	seen := ""
	for _, path := range []string{"/all", "/say", "/_postern/settings", "/_postern/logs", "/_postern/"} {
		seen += n.get(w.url + path)
	}
	return seen + w.text()
}

// forged are names that would lead elsewhere if they were taken as they stand.
func (n *neighbours) forged(name, wanted string) (seen string) {
	n.Helper()
	for _, as := range []string{wanted + "/", wanted + "/SECRET_VALUE", name + "/../" + wanted, strings.ToUpper(wanted), wanted + "\x01", wanted + "%2fSECRET_VALUE", "*", " " + wanted} {
		for _, args := range [][]string{{"secrets", "get", "SECRET_VALUE", "--show"}, {"secrets", "list", "--json"}, {"secrets", "push"}} {
			out, err := n.try(name, "", append(args, "--function", as)...)
			if err == nil {
				n.Errorf("%v as %q: %s", args, as, out)
			}
			seen += out
		}
	}
	for _, key := range []string{"../" + wanted + "/SECRET_VALUE", wanted + "/SECRET_VALUE", "/SECRET_VALUE"} {
		out, err := n.try(name, "", "secrets", "get", key, "--show")
		if err == nil {
			n.Errorf("get %q: %s", key, out)
		}
		seen += out
	}
	return seen
}

// TestDoors goes through every door that leads from a function to something it may
// see, or from its developer, and looks for the other function's values there, in
// whatever form. A door with an own value shows that one, or it would prove nothing.
func TestDoors(t *testing.T) {
	n := newNeighbours(t)
	v1 := n.control + "/v1/projects/" + n.key["POSTERN_PROJECT_ID"]
	api := func(name string, paths ...string) (seen string) {
		for _, path := range paths {
			seen += n.get(v1 + path)
		}
		return seen
	}
	doors := []struct {
		name string
		own  bool // the function's own value is there
		open func(me, other string) string
	}{
		{"environment of the process", true, func(me, _ string) string { return n.environs(me) }},
		{"environment, as the code sees it", true, func(me, _ string) string { return n.get(n.gateway + "/fn/" + me + "/all") }},
		{"a candidate's environment, beside the active one's", true, func(me, _ string) string {
			n.files(n.dirs[me], map[string]string{"function.ts": doored + "export const beta = () => process.env;\n"})
			n.in(me, "", "functions", "deploy", "--percent", "50")
			defer n.in(me, "", "functions", "rollback", me)
			seen := n.environs(me)
			for range 20 { // either of them answers
				seen += n.get(n.gateway+"/fn/"+me+"/all") + n.get(n.gateway+"/fn/"+me+"/beta")
			}
			return seen
		}},
		{"logs, through the API and the command", false, func(me, other string) string {
			n.get(n.gateway + "/fn/" + me + "/say")
			n.get(n.gateway + "/fn/" + other + "/say")
			return n.in(me, "", "functions", "logs", me) + n.in(me, "", "functions", "logs", me, "--json") + api(me, "/functions/"+me+"/logs")
		}},
		{"API of the function", false, func(me, _ string) string {
			return api(me, "/functions/"+me, "/functions/"+me+"/secrets", "/functions/"+me+"/deployments", "/secrets", "/functions", "/audit", "/usage")
		}},
		{"keychain, by name", true, func(me, _ string) string {
			return n.in(me, "", "secrets", "get", "SECRET_VALUE", "--show") + n.in(me, "", "secrets", "list", "--json") + n.in(me, "", "secrets", "list", "--remote")
		}},
		{"keychain, by names that lead elsewhere", false, n.forged},
		{"download", false, func(me, _ string) string {
			to := filepath.Join(n.out, me)
			n.in(me, "", "functions", "download", me, "--output", to)
			n.in(me, "", "functions", "download", me, "--output", to+".zip")
			zip, err := os.ReadFile(to + ".zip")
			if err != nil {
				t.Error(err)
			}
			return n.all(to) + string(zip)
		}},
		{"database, artefacts and all else on the server's disk", false, func(string, string) string { return n.all(n.data) }},
		{"dev", true, func(me, _ string) string { return n.here(me) }},
		{"status, as people see it", false, func(me, _ string) string {
			return n.in(me, "", "functions", "status", me) + n.in(me, "", "functions", "list") + n.in(me, "", "functions", "versions", me) + n.in(me, "", "functions", "deploy", "--dry-run")
		}},
		{"the server's own log", false, func(string, string) string { return n.log() }},
	}
	for me, other := range map[string]string{"shop": "shop-two", "shop-two": "shop"} {
		for _, d := range doors {
			t.Run(me+": "+d.name, func(t *testing.T) {
				seen := []byte(d.open(me, other))
				strange := map[string][]byte{other: n.values[other]}
				if me != "shop" || !d.own { // which declares what the project shares
					strange["the project"] = n.values["the project"]
				}
				if has := bytes.Contains(seen, n.values[me]); has != d.own {
					t.Errorf("its own value is there: %v\n%.2000s", has, seen)
				}
				for _, found := range leaks(seen, strange) {
					t.Errorf("the value of %s", found)
				}
			})
		}
	}
	n.pushedApart(t)
}

// pushedApart: a new value of the one starts no worker of the other.
func (n *neighbours) pushedApart(t *testing.T) {
	pid := func(name string) string { return n.get(n.gateway + "/fn/" + name + "/pid") }
	one, two := pid("shop"), pid("shop-two")
	n.in("shop-two", "value-that-is-new", "secrets", "add", "SECRET_VALUE")
	var said struct{ Restarted []string }
	if out := n.in("shop-two", "", "secrets", "push", "--json"); json.Unmarshal([]byte(out), &said) != nil || fmt.Sprint(said.Restarted) != "[shop-two]" {
		t.Errorf("the push says %s", out)
	}
	if pid("shop") != one || pid("shop-two") == two {
		t.Errorf("workers were %s and %s, and are %s and %s", one, two, pid("shop"), pid("shop-two"))
	}
	if env := n.environs("shop"); !strings.Contains(env, string(n.values["shop"])) || strings.Contains(env, "value-that-is-new") {
		t.Error("the other function's environment is not as it was")
	}
	if status, all := n.told("shop-two", "tell"); status != http.StatusOK || all != "value-that-is-new" {
		t.Errorf("%d %s", status, all)
	}
}
