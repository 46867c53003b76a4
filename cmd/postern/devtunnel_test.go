package main_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// way is what `functions dev` last said of its tunnel.
type way struct {
	Open, Insecure bool
	URLs           []string
	Why            string
	Retry          time.Duration
}

// way waits until what is said of the tunnel is as wanted.
func (w *workshop) way(what string, ok func(way) bool) (last way) {
	w.Helper()
	eventually(w.T, what, func() bool {
		last = way{}
		for line := range strings.Lines(w.text()) {
			var e struct{ Tunnel *way }
			if json.Unmarshal([]byte(line), &e) == nil && e.Tunnel != nil {
				last = *e.Tunnel
			}
		}
		return ok(last)
	})
	return last
}

func opened(t way) bool { return t.Open && len(t.URLs) > 0 }
func closed(t way) bool { return !t.Open && t.Why != "" && t.Retry == 0 }

// passed is what another process gets: the body and, last, the status.
func passed(args ...string) string {
	out, _ := exec.Command("curl", append([]string{"-sS", "-w", "\n%{http_code}"}, args...)...).CombinedOutput()
	return string(out)
}

// TestDevTunnel_Unguarded: a function that asks nobody for credentials gets no
// tunnel, though its developer is signed in; with --insecure-tunnel it gets one,
// everybody is let in, and both ends say so.
func TestDevTunnel_Unguarded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	home := "HOME=" + t.TempDir()
	w := newWorkshop(t, append(s.env, home), shop, "--no-credentials", "--tunnel")
	select {
	case <-w.done:
	case <-time.After(time.Minute):
		t.Fatalf("it goes on:\n%s", w.text())
	}
	if text := w.text(); w.cmd.ProcessState.ExitCode() != 4 || !strings.Contains(text, `"code":"tunnel_unguarded"`) || !strings.Contains(text, "--insecure-tunnel") {
		t.Errorf("exit code %d:\n%s", w.cmd.ProcessState.ExitCode(), text)
	}
	if out := s.must("audit", "--json"); strings.Contains(out, "openTunnel") {
		t.Errorf("a tunnel was opened: %s", out)
	}
	w = newWorkshop(t, append(s.env, home), shop, "--no-credentials", "--insecure-tunnel")
	to := w.way("the address is told, and that everybody may call", func(t way) bool { return opened(t) && t.Insecure })
	for _, header := range []string{"X-Nothing: 1", "X-API-Key: psk_wrong"} {
		if got := passed("-H", header, to.URLs[0]+"/closed"); got != "closed\n200" {
			t.Errorf("a guarded handler with %s: %s\n%s", header, got, w.text())
		}
	}
	w.way("the call is told as unguarded", func(way) bool { return strings.Contains(w.text(), `"unguarded":true`) })
	if got := passed(to.URLs[0] + "/_postern/"); strings.Contains(got, "<html") {
		t.Errorf("the developer's page: %s", got)
	}
	if out := s.must("audit", "--json"); !strings.Contains(out, "openTunnel") {
		t.Errorf("the audit log does not have it: %s", out)
	}
}

// TestDevTunnel_Ends: without calls and at its longest the tunnel of a real
// `functions dev` is closed, which is told with its reason; who calls it afterwards
// finds nothing, and the function goes on where it runs. A server that is killed
// and started again gives the name back.
func TestDevTunnel_Ends(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	files := map[string]string{"postern.json": `{"name":"slow","runtime":"node"}`,
		"function.ts": "export const auth = [];\nexport const open = () => 'here';\nexport const hangs = () => new Promise(() => {});\n"}
	here := append(s.env, "HOME="+t.TempDir())
	dev := func() (*workshop, way) {
		t.Helper()
		w := newWorkshop(t, here, files, "--tunnel")
		return w, w.way("the address is told", opened)
	}
	again := func(flags ...string) {
		t.Helper()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		s.start(append([]string{"--listen", hostOf(s.gateway), "--control-listen", hostOf(s.control)}, flags...)...)
	}
	for _, limit := range []struct {
		flag, value, why string
	}{{"--tunnel-idle", "400ms", "nobody called for 400ms"}, {"--tunnel-lifetime", "1500ms", "stands for 1.5s"}} {
		again(limit.flag, limit.value)
		w, to := dev()
		if last := w.way("the tunnel is closed", closed); !strings.Contains(last.Why, limit.why) {
			t.Errorf("%s: it is closed for %q", limit.flag, last.Why)
		}
		eventually(t, "its name is gone", func() bool {
			status, code := problem(t, to.URLs[0]+"/open")
			return status == http.StatusNotFound && code == "function_not_found"
		})
		if got := passed(w.url + "/open"); got != "here\n200" {
			t.Errorf("%s: at home it answers %s", limit.flag, got)
		}
		w.stop()
	}
	again("--tunnel-timeout", "300ms")
	w, to := dev()
	if got := passed(to.URLs[0] + "/hangs"); !strings.HasSuffix(got, "\n504") || !strings.Contains(got, `"timeout"`) {
		t.Errorf("a call without an answer: %s", got)
	}
	if got := passed(to.URLs[0] + "/open"); got != "here\n200" {
		t.Errorf("another process, through it: %s", got)
	}
	s.kill()
	w.way("it is told that it is down", func(t way) bool { return !t.Open && t.Retry > 0 })
	s.start("--listen", hostOf(s.gateway), "--control-listen", hostOf(s.control))
	if back := w.way("it is back", opened); strings.Join(back.URLs, " ") != strings.Join(to.URLs, " ") {
		t.Errorf("it came back as %q, was %q", back.URLs, to.URLs)
	}
	if got := passed(to.URLs[0] + "/open"); got != "here\n200" {
		t.Errorf("through what came back: %s", got)
	}
	w.cmd.Process.Kill()
	eventually(t, "callers are told that nobody is there", func() bool {
		status, code := problem(t, to.URLs[0]+"/open")
		return status == http.StatusServiceUnavailable && code == "tunnel_down"
	})
}
