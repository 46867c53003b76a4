package main_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postern.dev/postern/internal/cli"
)

// binary is the real program, built once; the stories run cli.Main instead.
var binary string

// tests builds the program before the tests run, and afterwards holds the page
// that lists attacks against what was tried.
type tests struct{ *testing.M }

func (m tests) Run() int {
	dir, err := os.MkdirTemp("", "postern-binary")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "postern")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	besideOneAnother()
	code := m.M.Run()
	endChromium()
	if code != 0 {
		return code
	}
	if err := checkPage(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// besideOneAnother lets twice as many tests run at a time as there are processors,
// unless -parallel says how many: they wait for other processes most of the time.
func besideOneAnother() {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"postern": func() {
			os.Exit(cli.Main(os.Args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
	})
}

// TestStories runs every script of the folder: one script is one story.
func TestStories(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) < 8 {
		t.Fatalf("only %d stories in testdata/script: %v", len(scripts), err)
	}
	testscript.Run(t, testscript.Params{
		Files:               scripts,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"certificate": certificateCmd,
			"code":        codeCmd,
			"database":    databaseCmd,
			"demo":        demoCmd,
			"dev":         devCmd,
			"eventually":  eventuallyCmd,
			"field":       fieldCmd,
			"http":        httpCmd,
			"judged":      judgedCmd,
			"keyfrom":     keyFromCmd,
			"keyring":     keyringCmd,
			"mode":        modeCmd,
			"nothing":     nothingLeftCmd,
			"nowhere":     nowhereCmd,
			"pretend":     pretendCmd,
			"schema":      schemaCmd,
			"serve":       serveCmd,
			"stop":        stopCmd,
		},
		Setup: func(env *testscript.Env) error {
			root, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			env.Setenv("BUILT", binary)
			env.Setenv("EXAMPLES", filepath.Join(root, "examples"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus") // never that of whoever runs the tests
			env.Setenv("GORACE", "atexit_sleep_ms=0")                            // a second for each command is a long story
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, ".tmp"))
			env.Values[devWorld{}] = new(*development)
			env.Values[worldKey{}] = &world{client: &http.Client{Timeout: time.Minute}}
			return nil
		},
	})
}
