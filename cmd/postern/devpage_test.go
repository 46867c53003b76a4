package main_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// workshop is a `postern functions dev` that a test started.
type workshop struct {
	*testing.T
	dir, url string
	cmd      *exec.Cmd
	done     chan struct{}
	err      error // of the process; read after done
	transcript
}

// workshop starts the real program over files and waits until it serves.
func newWorkshop(t *testing.T, env []string, files map[string]string, flags ...string) *workshop {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	w := &workshop{T: t, dir: t.TempDir(), url: "http://localhost:" + port, done: make(chan struct{})}
	(&site{T: t}).files(w.dir, files)
	w.cmd = exec.Command(binary, append([]string{"functions", "dev", w.dir, "--port", port, "--json"}, flags...)...)
	w.cmd.Env = append(os.Environ(), env...)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Stderr = w
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			w.Write(append(lines.Bytes(), '\n'))
			var e struct {
				Build *struct{ Failure any }
				URL   string
			}
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.Build != nil {
				select {
				case ready <- "":
				default:
				}
			}
		}
		w.err = w.cmd.Wait()
		close(w.done)
	}()
	t.Cleanup(w.stop)
	select {
	case <-ready:
	case <-w.done:
	case <-time.After(2 * time.Minute):
		t.Fatalf("it does not start:\n%s", w.text())
	}
	return w
}

func (w *workshop) stop() {
	w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.done:
	case <-time.After(time.Minute):
		w.cmd.Process.Kill()
		<-w.done
	}
}

// shop is a function of every mind that the page has to show.
var shop = map[string]string{
	"postern.json": `{"name":"shop","runtime":"node","secrets":["GH_SECRET","STRIPE_SECRET"],"variables":{"VOICE_APPLICATION_KEY":"app-1","COLOUR":"blue"},"webhookProtection":"always","routes":[
{"path":"POST /pushed","handler":"pushed","auth":"signature","signature":{"scheme":"github","secrets":["GH_SECRET"]}},
{"path":"POST /paid","handler":"paid","auth":"signature","signature":{"scheme":"stripe","secrets":["STRIPE_SECRET"]}}]}`,
	".env": "GH_SECRET=value-that-nobody-sees\nSTRIPE_SECRET=whsec_value-that-nobody-sees\nVOICE_APPLICATION_SECRET=dmFsdWUtdGhhdC1ub2JvZHktc2Vlcw==\n",
	"function.ts": `
export const auth = ['closed'];
export const open = (context: any, request: any) => { console.log('got \u001b[31m<b>' + JSON.stringify(request.body)); return { said: request.body, markup: '<script>document.title="owned"</script>' }; };
export const closed = () => 'closed';
export const fails = () => {
  throw new Error('<img src=x onerror=alert(1)>');
};
export const ice = (context: any, data: any) => ({ instructions: [], action: { name: 'hangup' }, cli: data.cli });
export const pushed = (context: any, request: any) => ({ ref: request.body.ref });
export const paid = () => 'thanks';
`,
}

// faults collects what a tab complains of.
func (b *tab) faults() func() []string {
	var mu sync.Mutex
	var list []string
	add := func(text string) { mu.Lock(); list = append(list, text); mu.Unlock() }
	err := chromedp.Listen(b.ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			add(e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			add(string(e.Entry.Level) + ": " + e.Entry.Text + " " + e.Entry.URL)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	return func() []string { mu.Lock(); defer mu.Unlock(); return list }
}

// TestDevPage_InABrowser: a developer's way through the page: a call that comes in
// while it is open, one call with all of it, sent again and altered, a callback that
// is signed and taken and one that is not, the other pages, and no value of a secret.
func TestDevPage_InABrowser(t *testing.T) {
	t.Parallel()
	w, b := newWorkshop(t, []string{"PROJECT_ID_API_KEY=pak_dev", "PROJECT_ID_API_SECRET=secret-of-the-pair"}, shop), newTab(t)
	faults := b.faults()
	page := w.url + "/_postern/"
	see := func(text string) { t.Helper(); b.arrives(page, text) }
	at := func(path, text string) {
		t.Helper()
		eventually(t, path+" shows "+text, func() bool {
			got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.readyState + ' ' + location.pathname + ' ' + document.body.innerText"))
			return err == nil && strings.HasPrefix(got, "complete /_postern/"+path) && strings.Contains(got, text)
		})
	}
	b.do(chromedp.Navigate(page))
	see("Nothing was asked of the function yet")
	if b.eval("getComputedStyle(document.querySelector('nav')).display") != "flex" {
		t.Error("the page's policy stops its style")
	}
	eventually(t, "it hears of what happens", func() bool { return b.eval("document.body.className") == "live" })
	call(t, http.DefaultClient, http.MethodPost, w.url+"/open?a=<b>", "", "", `{"n":1}`)
	see("/open?a=<b>")
	call(t, http.DefaultClient, http.MethodGet, w.url+"/closed", "pak_dev", "secret-of-the-pair", "")
	see("/closed")
	b.shots("dev-requests")

	b.do(chromedp.Click("tbody tr:last-child a"))
	at("requests/", "got �[31m<b>")
	b.shots("dev-request")
	b.do(chromedp.SetValue("#body", `{"n":2}`), chromedp.Click("#again + form button"))
	at("requests/", `"n": 2`)
	b.do(chromedp.Navigate(w.url + "/_postern/"))
	call(t, http.DefaultClient, http.MethodGet, w.url+"/fails", "", "", "")
	see("/fails")
	b.do(chromedp.Click("tbody tr:first-child a"))
	at("requests/", "function.ts:6")
	b.shots("dev-failure")

	b.do(chromedp.Navigate(page + "callbacks"))
	at("callbacks", "signed by voice-v1")
	b.shots("dev-callbacks")
	b.do(chromedp.Click("details[open] button"))
	at("requests/", "+15550100")
	if got := b.eval("document.querySelector('main .tag').innerText"); got != "200" {
		t.Errorf("the signed callback got %s", got)
	}
	b.do(chromedp.Navigate(page+"callbacks"), chromedp.Click("details[open] input[name=unsigned]"), chromedp.Click("details[open] button"))
	at("requests/", "signature_required")
	for _, handler := range []string{"pushed", "paid"} {
		b.do(chromedp.Navigate(page + "callbacks"))
		b.eval("(() => { const f = document.querySelector('input[value=" + handler + "]').form; f.querySelector('button').click(); return ''; })()")
		at("requests/", handler)
		if got := b.eval("document.querySelector('main .tag').innerText"); got != "200" {
			t.Errorf("the callback to %s got %s", handler, got)
		}
	}
	for path, text := range map[string]string{"logs": "got �[31m<b>", "routes": "access key", "settings": "COLOUR", "builds": "serves"} {
		b.do(chromedp.Navigate(page + path))
		at(path, text)
		b.shots("dev-" + path)
		if html := b.eval("document.documentElement.outerHTML"); strings.Contains(html, "nobody-sees") || strings.Contains(html, "dmFsdW") || strings.Contains(html, "secret-of-the-pair") {
			t.Errorf("%s shows a value", path)
		}
	}
	if title := b.eval("document.title"); strings.Contains(title, "owned") {
		t.Error("markup of the function ran")
	}
	if list := faults(); len(list) > 0 {
		t.Errorf("the console has %q", list)
	}
}

// TestDevPage_Refuses: what may not see the page, or send anything through it; and
// the handlers did not run.
func TestDevPage_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil, shop)
	form := "method=POST&path=/open&header=&body=x"
	for name, tc := range map[string]struct {
		method, path, body string
		header             map[string]string
		status             int
	}{
		"a name that points here":         {"GET", "/_postern/", "", map[string]string{"Host": "evil.example"}, 403},
		"a page elsewhere":                {"GET", "/_postern/", "", map[string]string{"Origin": "https://evil.example"}, 403},
		"a page elsewhere, by its kind":   {"GET", "/_postern/events", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"another port of this machine":    {"GET", "/_postern/logs", "", map[string]string{"Origin": "http://localhost:1"}, 403},
		"a form without its token":        {"POST", "/_postern/send", form, nil, 403},
		"a form with a wrong one":         {"POST", "/_postern/send", form + "&token=AAAAAAAAAAAAAAAAAAAAAAAAAA", nil, 403},
		"a callback without the token":    {"POST", "/_postern/callbacks", "path=/ice&handler=ice&body={}", nil, 403},
		"a form of a page elsewhere":      {"POST", "/_postern/send", form, map[string]string{"Origin": "https://evil.example"}, 403},
		"sent by a link":                  {"GET", "/_postern/send?" + form, "", nil, 405},
		"a request that nobody knows":     {"GET", "/_postern/requests/req_x", "", nil, 404},
		"a request by way of dots":        {"GET", "/_postern/requests/..%2f..%2fclosed", "", nil, 404},
		"a file that is none of the page": {"GET", "/_postern/assets/frame.html", "", nil, 404},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), tc.method, w.url+tc.path, strings.NewReader(tc.body))
		if tc.body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for k, v := range tc.header {
			if req.Header.Set(k, v); k == "Host" {
				req.Host = v
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, tc.status)
		}
	}
	for _, path := range []string{"", "callbacks", "logs", "routes", "settings", "builds"} {
		if status, body := call(t, http.DefaultClient, http.MethodGet, w.url+"/_postern/"+path, "", "", ""); status != 200 || strings.Contains(body, "nobody-sees") {
			t.Errorf("the page %s: %d %s", path, status, body)
		}
	}
	if text := w.text(); strings.Contains(text, `"request":{`) || strings.Contains(text, "got ") {
		t.Errorf("something reached the function:\n%s", text)
	}
}

// TestDevTunnel: others call the function through the server, as it is guarded, and
// never its page; without credentials no tunnel is opened.
func TestDevTunnel(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	none := func(why string) {
		t.Helper()
		if out := s.must("audit", "--json"); strings.Contains(out, "openTunnel") {
			t.Errorf("%s: a tunnel was opened: %s", why, out)
		}
	}
	home := "HOME=" + t.TempDir()
	for _, flag := range []string{"--tunnel", "--insecure-tunnel"} {
		w := newWorkshop(t, []string{home, "POSTERN_SERVER=" + s.control}, shop, flag)
		select {
		case <-w.done:
		case <-time.After(time.Minute):
			t.Fatalf("%s without credentials goes on:\n%s", flag, w.text())
		}
		if w.cmd.ProcessState.ExitCode() != 4 || flag == "--tunnel" && !strings.Contains(w.text(), "--insecure-tunnel") {
			t.Errorf("%s: exit code %d:\n%s", flag, w.cmd.ProcessState.ExitCode(), w.text())
		}
		none(flag)
	}
	w := newWorkshop(t, append(s.env, home), shop, "--tunnel")
	var urls []string
	eventually(t, "the address is told", func() bool {
		for line := range strings.Lines(w.text()) {
			var e struct{ Tunnel *struct{ URLs []string } }
			if json.Unmarshal([]byte(line), &e) == nil && e.Tunnel != nil && len(e.Tunnel.URLs) > 0 {
				urls = e.Tunnel.URLs
			}
		}
		return urls != nil
	})
	curl := func(args ...string) string {
		out, _ := exec.Command("curl", append([]string{"-sS", "-o", "-", "-w", "\n%{http_code}"}, args...)...).CombinedOutput()
		return string(out)
	}
	if got := curl("-d", `{"n":7}`, "-H", "content-type: application/json", urls[0]+"/open"); !strings.Contains(got, `{"n":7}`) || !strings.HasSuffix(got, "\n200") {
		t.Errorf("an open handler: %s\n%s", got, w.text())
	}
	if got := curl(urls[0] + "/closed"); !strings.HasSuffix(got, "\n401") {
		t.Errorf("a guarded handler, for nobody: %s", got)
	}
	if got := curl("-u", s.key["POSTERN_KEY_ID"]+":"+s.key["POSTERN_KEY_SECRET"], urls[0]+"/closed"); !strings.HasPrefix(got, "closed") {
		t.Errorf("a guarded handler, for its developer: %s", got)
	}
	refused := curl("-u", "pak_wrong:wrong", urls[0]+"/closed")
	_, id, _ := strings.Cut(refused, `"requestId":"`)
	id, _, _ = strings.Cut(id, `"`)
	if page := curl(w.url + "/_postern/requests/" + id); !strings.Contains(page, `name="credentials"`) || strings.Contains(page, "checked") {
		t.Errorf("what a stranger asked for in vain would be sent again with the developer's key: %s\n%s", refused, page)
	}
	for _, path := range []string{"/_postern/", "/_postern", "/_postern/settings", "//_postern/", "/x/../_postern/", "/%5fpostern/", "/_postern%2f"} {
		for _, host := range []string{"", "localhost", "127.0.0.1"} {
			args := []string{"--path-as-is", urls[0] + path}
			if host != "" {
				args = append(args, "-H", "Host: "+host)
			}
			if got := curl(args...); strings.Contains(got, "developer at this machine") || strings.Contains(got, "<html") {
				t.Errorf("the page at %s with host %q: %s", path, host, got)
			}
		}
	}
}
