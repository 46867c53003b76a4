package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// demonstration is a running `postern demo`.
type demonstration struct {
	*testing.T
	cmd  *exec.Cmd
	out  *bufio.Reader
	tmp  string
	logs strings.Builder
}

func newDemonstration(t *testing.T, args ...string) *demonstration {
	t.Helper()
	d := &demonstration{T: t, tmp: t.TempDir()}
	d.cmd = exec.Command(binary, append([]string{"demo"}, args...)...)
	// A production database in the environment must not be touched.
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp, "POSTERN_DATABASE=postgres://production.invalid/db", "POSTERN_LISTEN=nonsense")
	d.cmd.Stderr = &d.logs
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(3*time.Minute, func() { d.cmd.Process.Kill() })
	t.Cleanup(func() { limit.Stop(); d.cmd.Process.Kill() })
	d.out = bufio.NewReader(out)
	return d
}

// interrupt ends it as Ctrl-C does, and returns what else it printed.
func (d *demonstration) interrupt() string {
	d.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.Fatal(err)
	}
	rest, err := io.ReadAll(d.out)
	if err != nil {
		d.Error(err)
	}
	if err := d.cmd.Wait(); err != nil {
		d.Errorf("the demonstration ended with %v\n%s", err, d.logs.String())
	}
	return string(rest)
}

func TestDemo_JSON(t *testing.T) {
	t.Parallel()
	d := newDemonstration(t, "--json")
	line, err := d.out.ReadString('\n')
	if err != nil {
		t.Fatalf("no line: %v\n%s", err, d.logs.String())
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	form := map[string]string{
		"gateway": `^http://127\.0\.0\.1:\d+$`, "api": `^http://127\.0\.0\.1:\d+$`, "console": `^http://127\.0\.0\.1:\d+/console$`,
		"projectId": `^prj_[0-9a-z]{26}$`, "keyId": `^pak_[0-9a-z]{26}$`, "keySecret": `^psk_[0-9A-Za-z]{49}$`,
	}
	for name, pattern := range form {
		if s, _ := got[name].(string); !regexp.MustCompile(pattern).MatchString(s) {
			t.Errorf("%s is %q, want %s", name, s, pattern)
		}
	}
	gateway, _ := got["gateway"].(string)
	want := []any{map[string]any{"name": "protect", "url": gateway + "/fn/protect"}}
	if diff := cmp.Diff(want, got["functions"]); diff != "" || len(got) != len(form)+1 {
		t.Errorf("%s\n%s", diff, line)
	}
	if rest := d.interrupt(); rest != "" {
		t.Errorf("more than one line: %q", rest)
	}
	if left, err := filepath.Glob(filepath.Join(d.tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemo_CurlLines types every line that the demonstration prints.
func TestDemo_CurlLines(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "kept")
	for range 2 { // the second time on a directory that has a key already
		d := newDemonstration(t, "--data", kept)
		promised := regexp.MustCompile(`: (\d{3})\b`)
		status, tried := "200", 0
		for {
			line, err := d.out.ReadString('\n')
			if err != nil {
				t.Fatalf("it ended: %v\n%s", err, d.logs.String())
			}
			line = strings.TrimSpace(line)
			if m := promised.FindStringSubmatch(line); strings.HasPrefix(line, "# ") && m != nil {
				status = m[1]
			}
			if strings.HasPrefix(line, "Ctrl-C") {
				break
			}
			if !strings.HasPrefix(line, "curl ") {
				continue
			}
			tried++
			out, err := exec.CommandContext(t.Context(), "sh", "-c", line+" -s -o /dev/null -w '%{http_code}'").CombinedOutput()
			if err != nil || !strings.HasSuffix(string(out), status) {
				t.Errorf("%s\ngives %q, %v, want %s", line, out, err, status)
			}
		}
		if tried < 7 {
			t.Errorf("only %d lines to try", tried)
		}
		d.interrupt()
	}
	if _, err := os.Stat(filepath.Join(kept, "postern.db")); err != nil {
		t.Errorf("the directory was not kept: %v", err)
	}
}
