package devserver_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern.dev/postern/internal/devserver"
)

// What breaks a function is told to whoever calls it, with its place, and the
// next save mends it.
func TestBroken_IsToldAndMended(t *testing.T) {
	t.Parallel()
	good := open(`"good"`)
	w := newWorld(t, map[string]string{"function.ts": good, "postern.json": manifest}, nil)
	for name, tc := range map[string]struct {
		file, text string
		says       string // in the problem
		where      string // file:line of the frame; empty: none
	}{
		"a syntax error":              {"function.ts", "export const a = () => 1;\nexport const b = ;\n", "Unexpected", "function.ts:2"},
		"a package that is not there": {"function.ts", "import x from 'left-pad';\nexport const a = () => x;\n", "left-pad", "function.ts:1"},
		"a file that is not there":    {"function.ts", "import { x } from './gone.ts';\nexport const a = () => x;\n", "gone.ts", "function.ts:1"},
		"it throws when it is loaded": {"function.ts", "export const a = () => 1;\nfunction fail(): never {\n  throw new Error('no config');\n}\nfail();\n", "no config", "function.ts:3"},
		"it is rejected at the top":   {"function.ts", "export const a = () => 1;\nawait Promise.reject(new Error('no database'));\n", "no database", "function.ts:2"},
		"it has no handler":           {"function.ts", "const a = 1;\n", "no function", ""},
		"it is empty":                 {"function.ts", "", "no function", ""},
		"auth names nothing":          {"function.ts", "export const auth = ['nothing'];\nexport const a = () => 1;\n", "nothing", ""},
		"auth is no list":             {"function.ts", "export const auth = 7;\nexport const a = () => 1;\n", "auth", ""},
		"setup throws":                {"function.ts", "export const a = () => 1;\nexport function setup() {\n  throw new Error('no port');\n}\n", "no port", "function.ts:3"},
		"it calls process.exit":       {"function.ts", "export const a = () => 1;\nprocess.exit(3);\n", "process.exit(3)", "function.ts:2"},
		"the manifest does not parse": {"postern.json", `{"name":"f",`, "postern.json", "postern.json:1"},
		"the manifest names no route": {"postern.json", `{"name":"f","runtime":"node","routes":[{"path":"/x","handler":"nothing"}]}`, "nothing", ""},
		".env does not parse":         {".env", "this is no setting\n", ".env", ""},
		"a variable is a secret too":  {"postern.json", `{"name":"f","runtime":"node","variables":{"A":"1"},"secrets":["A"]}`, "A", "postern.json:1"},
		"a link in public/":           {"public", "", "public", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadFile(filepath.Join(w.dir, tc.file))
			if err != nil {
				before = nil
			}
			defer func() {
				if before == nil {
					err = os.Remove(filepath.Join(w.dir, tc.file))
				} else {
					w.save(tc.file, string(before))
				}
				if got := w.get("/a"); got.body != "good" || err != nil {
					t.Errorf("mended: %v, %d %s", err, got.StatusCode, got.body)
				}
			}()
			w.save(tc.file, tc.text)
			got := w.get("/a")
			if got.StatusCode != http.StatusInternalServerError || got.code() != "development_failed" || !strings.Contains(got.body, tc.says) {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if strings.Contains(got.body, "/postern-dev-") || strings.Contains(got.body, w.dir+"/function.ts") {
				t.Errorf("it has paths that are not the developer's: %s", got.body)
			}
			var f *devserver.Failure
			until(t, "the build is told as failed", func() bool { f = w.builds()[len(w.builds())-1].Failure; return f != nil })
			at := ""
			if f.Frame != nil {
				at = fmt.Sprintf("%s:%d", f.Frame.File, f.Frame.Line)
			}
			if at != tc.where {
				t.Errorf("at %q, want %q: %s", at, tc.where, f.Text)
			}
			page := w.get("/a", header("Accept", "text/html,*/*;q=0.8"))
			if page.StatusCode != 500 || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") || strings.Contains(page.body, "<script") {
				t.Errorf("to a browser: %d %s", page.StatusCode, page.Header.Get("Content-Type"))
			}
		})
	}
}

// A module that hangs while it is loaded does not keep the next save waiting.
func TestBroken_HangsAndIsSavedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": open(`"good"`)}, nil)
	w.save("function.ts", open(`"never"`)+"await new Promise(() => { setInterval(() => {}, 1000); });\n")
	answered := make(chan answer, 1)
	go func() { answered <- w.get("/a") }()
	until(t, "it is being started", func() bool { return len(w.children()) > 1 })
	began := time.Now()
	w.save("function.ts", open(`"mended"`))
	if got := <-answered; got.body != "mended" {
		t.Errorf("who waited: %d %s", got.StatusCode, got.body)
	}
	if d := time.Since(began); d > 8*time.Second { // the start timeout is 10 s
		t.Errorf("after %v", d)
	}
}

// A handler that throws is told with its stack, in the developer's own lines.
func TestHandler_Throws(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": "export const auth = [];\nexport const a = () => deeper();\nfunction deeper(): string {\n  throw new TypeError('<b>odd</b> input');\n}\n"}, nil)
	got := w.get("/a")
	for _, want := range []string{`"code":"handler_failed"`, "function.ts:4:", "deeper", `"line":4`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got.body)
		}
	}
	if got.StatusCode != 500 || strings.Contains(got.body, "worker.mjs") || strings.Contains(got.body, "postern-dev-") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	page := w.get("/a", header("Accept", "text/html"))
	if !strings.Contains(page.body, "&lt;b&gt;odd&lt;/b&gt; input") || strings.Contains(page.body, "<b>odd") {
		t.Errorf("the page: %s", page.body)
	}
}

// children are the processes of Node below this one that belong to the server.
func (w *world) children() (pids []int) {
	w.t.Helper()
	mark := []byte("POSTERN_FUNCTION_NAME=f\x00")
	envs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range envs {
		env, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(env), string(mark)) && strings.Contains(string(env), "POSTERN_DATABASE="+w.dir+"/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// After many saves there is one worker, and one process that waits to be the next.
func TestReload_LeavesOneWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": open(`"0"`)}, nil)
	for i := range 50 {
		w.save("function.ts", "setInterval(() => {}, 10);\n"+open(fmt.Sprintf("%q", fmt.Sprint(i))))
		if i%10 == 9 { // the others come too fast for a worker of their own
			if got := w.get("/a"); got.body != fmt.Sprint(i) {
				t.Errorf("save %d: %d %s", i, got.StatusCode, got.body)
			}
		}
	}
	until(t, "one worker is left", func() bool { return len(w.children()) == 2 })
}

// Nothing of a server is left when it ends.
func TestRun_LeavesNothing(t *testing.T) {
	t.Parallel()
	var w *world
	t.Run("runs", func(t *testing.T) {
		w = newWorld(t, map[string]string{"function.ts": open(`"0"`)}, nil)
		w.get("/a")
	})
	w.t = t
	if pids := w.children(); len(pids) != 0 {
		t.Errorf("processes %v", pids)
	}
	if dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("postern-dev-%d-*", os.Getpid()))); slices.ContainsFunc(dirs, func(d string) bool { return strings.HasSuffix(d, w.d.Instance()) }) {
		t.Errorf("%v", dirs)
	}
}

// A call in flight ends on the code that it began with; then that code is gone.
func TestReload_CallsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": "export const auth = [];\nexport const pid = () => process.pid;\nlet go: () => void;\nexport const slow = async () => { await new Promise<void>((f) => { go = f; console.log('waits'); }); return 'old ' + process.pid; };\nprocess.on('SIGUSR2', () => go());\nsetInterval(() => console.log('tick'), 20);\n"}, nil)
	pid, err := strconv.Atoi(w.get("/pid").body)
	if err != nil {
		t.Fatal(err)
	}
	slow := make(chan answer, 1)
	go func() { slow <- w.get("/slow") }()
	until(t, "it waits", func() bool { return w.wrote("waits") > 0 })
	w.save("function.ts", open(`"new"`))
	if got := w.get("/a"); got.body != "new" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		t.Fatal("the old worker is gone before its call: ", err)
	}
	if got := <-slow; got.body != fmt.Sprint("old ", pid) {
		t.Errorf("the call in flight: %d %s", got.StatusCode, got.body)
	}
	until(t, "the old worker is gone", func() bool { return !slices.Contains(w.children(), pid) })
	ticks := w.wrote("tick")
	w.get("/a")
	time.Sleep(100 * time.Millisecond) // five ticks, if anybody still ticked
	if now := w.wrote("tick"); now != ticks {
		t.Errorf("%d ticks after it was gone", now-ticks)
	}
}

// wrote is how often a line was written.
func (w *world) wrote(text string) (n int) {
	for _, e := range w.events() {
		if e.Line != nil && e.Line.Text == text {
			n++
		}
	}
	return n
}

// What a function keeps outlives its code, and is where a person looks for it.
func TestReload_KeepsState(t *testing.T) {
	t.Parallel()
	code := func(n string) string {
		return "export const auth = [];\nexport const put = async (c) => { await c.cache.set('k', 'cached'); await c.storage.write('notes/a.txt', 'stored'); return '" + n + "'; };\n" +
			"export const got = async (c) => [await c.cache.get('k'), String(await c.storage.read('notes/a.txt')), c.database, process.env.NODE_ENV, process.env.PROJECT_ID, c.config.environment].join(' ');\n"
	}
	w := newWorld(t, map[string]string{"function.ts": code("1")}, nil)
	if got := w.get("/put"); got.body != "1" {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	builds := len(w.builds())
	w.save("function.ts", code("2"))
	want := "cached stored " + filepath.Join(w.dir, "data", "function.db") + " development prj_test development"
	if got := w.get("/got"); got.body != want {
		t.Errorf("%d %s, want %s", got.StatusCode, got.body, want)
	}
	if data, err := os.ReadFile(filepath.Join(w.dir, "storage", "notes", "a.txt")); err != nil || string(data) != "stored" {
		t.Errorf("the file: %q, %v", data, err)
	}
	w.save("data/function.db", "x")
	w.save("storage/other.txt", "x")
	w.get("/got")
	if n := len(w.builds()) - builds; n != 1 {
		t.Errorf("%d builds, want 1: state is no code", n)
	}
}

// Variables, .env and files count from the next request on.
func TestReload_SettingsAndFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{
		"function.ts":     "export const auth = [];\nexport const a = async (c) => [process.env.A, process.env.B, await c.assets('x.txt').catch(() => 'none')].join(' ');\n",
		"postern.json":    `{"name":"f","runtime":"node","variables":{"A":"1"}}`,
		"assets/x.txt":    "asset",
		"public/logo.txt": "logo 1",
	}, nil)
	check := func(path, want string) {
		t.Helper()
		if got := w.get(path); got.body != want {
			t.Errorf("%s: %d %q, want %q", path, got.StatusCode, got.body, want)
		}
	}
	check("/a", "1  asset")
	check("/logo.txt", "logo 1")
	w.save("postern.json", `{"name":"f","runtime":"node","variables":{"A":"2"}}`)
	check("/a", "2  asset")
	w.save(".env", "B=from-env\n")
	check("/a", "2 from-env asset")
	w.save("assets/x.txt", "asset 2")
	check("/a", "2 from-env asset 2")
	w.save("public/logo.txt", "logo 2")
	check("/logo.txt", "logo 2")
	w.save("public/deep/er/new.txt", "new")
	check("/deep/er/new.txt", "new")
	if err := os.RemoveAll(filepath.Join(w.dir, "public", "deep")); err != nil {
		t.Fatal(err)
	}
	if got := w.get("/deep/er/new.txt"); got.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is gone: %d", got.StatusCode)
	}
	if err := os.Remove(filepath.Join(w.dir, ".env")); err != nil {
		t.Fatal(err)
	}
	check("/a", "2  asset 2")
}

// What makes no other version makes no build that is told of.
func TestReload_OnlyWhatWasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": open(`"a"`), "unused.ts": "export const x = 1;\n"}, nil)
	pid := w.children()
	for name, text := range map[string]string{"unused.ts": "export const x = ;", "README.md": "x", "function.ts": open(`"a"`), "function.ts~": "x", ".function.ts.swp": "x", "node_modules/x/index.js": "x", ".git/index": "x", "log.txt": "x"} {
		w.save(name, text)
		if got := w.get("/a"); got.body != "a" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	if n := len(w.builds()); n != 1 {
		t.Errorf("%d builds", n)
	}
	if now := w.children(); !slices.ContainsFunc(now, func(p int) bool { return slices.Contains(pid, p) }) {
		t.Errorf("the worker was replaced: %v, now %v", pid, now)
	}
}

// A function calls itself as it does when it is deployed; others are not here.
func TestCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": `
export const auth = ['inner'];
export const inner = (c, r) => 'inner for ' + r.identity.method;
export const self = async (c) => (await c.functions.call('f', { path: '/inner' })).text();
export const circle = async (c) => { const r = await c.functions.call('f', { path: '/circle' }); return r.status + ' ' + await r.text(); };
export const other = async (c) => { try { return 'answered ' + (await c.functions.call('other', { path: '/x' })).status; } catch (e) { return e.message; } };
`}, func(o *devserver.Options) { o.Settings = withPair(o.Settings, &devserver.Pair{KeyID: "k"}) })
	if got := w.get("/self"); got.body != "inner for function" {
		t.Errorf("itself: %d %s", got.StatusCode, got.body)
	}
	if got := w.get("/other"); !strings.Contains(got.body, "no function other") {
		t.Errorf("another: %d %s", got.StatusCode, got.body)
	}
	if !slices.ContainsFunc(w.events(), func(e devserver.Event) bool {
		return e.Notice != nil && strings.Contains(e.Notice.Text, "runs one alone")
	}) {
		t.Error("nobody is told why")
	}
	if got := w.get("/circle"); !strings.Contains(got.body, "circle") && !strings.Contains(got.body, "508") {
		t.Errorf("a circle: %d %s", got.StatusCode, got.body)
	}
}
