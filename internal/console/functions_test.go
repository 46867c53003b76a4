package console_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
)

// calls calls a handler of a function from outside, n times.
func (s *site) calls(name, path string, n int) {
	s.Helper()
	f, err := s.api.Function(s.Context(), name)
	if err != nil {
		s.Fatal(err)
	}
	for range n {
		res, err := s.client.Get(f.URLs[0] + path)
		if err != nil {
			s.Fatal(err)
		}
		res.Body.Close()
	}
}

// until asks for a page until it has all of some texts.
func (s *site) until(path string, texts ...string) (p page) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		p = s.get(path)
		missing := ""
		for _, text := range texts {
			if !strings.Contains(p.body, text) {
				missing = text
			}
		}
		if missing == "" {
			return p
		}
		if time.Now().After(deadline) {
			s.Fatalf("the page never has %q:\n%s", missing, p.text())
		}
	}
}

const moody = `export const auth = ['secret'];
export function secret() { return 's' }
export function open() { return 'o' }
export function broken() { throw new Error('no') }`

func TestFunctions_Empty(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("functions"), 200, "No functions yet", "postern functions deploy", "postern auth login --server", `aria-current="page">Functions`)
	s.want(s.get("functions?q=none"), 200, "No function is called that")
	s.want(s.get("functions?page=zzz"), 200, "There are no more functions")
	s.want(s.get("functions/nothing"), 404, "there is no such function")
}

func TestFunctions_AtAGlance(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", moody)
	s.deploy("quiet", `export function a() { return 1 }`)
	p := s.get("functions")
	s.want(p, 200, "<strong>2 functions</strong>", `id="f-orders"`, `id="f-quiet"`, `<span class="tag good">Running</span>`, `data-live="functions traffic policy"`)
	s.calls("orders", "/open", 3)
	s.calls("orders", "/broken", 1)
	s.calls("orders", "/secret", 2)
	p = s.until("functions", "6 calls in 15 minutes", `<span class="tag bad">25 %</span>`)
	s.want(p, 200, `<path class="all" d="M70 20v-20h4v20z"/>`, `role="img"`)
	s.no(p, "quiet in", "style=")
	s.want(s.get("functions?q=ORD"), 200, "<strong>1 function</strong>", `id="f-orders"`)
	s.no(s.get("functions?q=ORD"), `id="f-quiet"`)
}

// What is searched for, and who sent a page, is text and nothing else.
func TestFunctions_Hostile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text := `"><script>alert(1)</script>` + "\u202e"
	p := s.get("functions?q=" + url.QueryEscape(text))
	s.want(p, 200, "No function is called that", "&#34;&gt;&lt;script&gt;")
	if m := inlineStyle.FindString(p.body); m != "" {
		t.Errorf("the page has %s", m)
	}
	for _, name := range []string{`%3Cscript%3Ealert(1)%3C%2Fscript%3E`, `..%2F..%2Fusers`, `a%00b`, strings.Repeat("x", 65)} {
		p := s.get("functions/" + name)
		if p.status < 400 || p.status >= 500 || inlineStyle.MatchString(p.body) {
			t.Errorf("%s: %d %s", name, p.status, p.text())
		}
	}
}

func TestFunctions_Paged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, name := range []string{"a", "b", "c"} {
		s.deploy(name, `export function x() { return 1 }`)
	}
	p := s.get("functions?page=a&q=")
	s.want(p, 200, `id="f-b"`, `id="f-c"`, "First page")
	s.no(p, `id="f-a"`, "Next page")
}

func TestOverview(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", moody)
	p := s.get("functions/orders")
	s.want(p, 200, "/fn/orders</code>", "open to everyone", "access key", "/secret", "Used this month", "No calls in the last 15 minutes.", `aria-current="page">Overview`,
		`data-chart="/console/api/v1/projects/`+s.project+`/functions/orders/traffic?window=15m"`, `data-live-name="orders"`, "uplot.min.js", "chart.js")
	s.calls("orders", "/open", 3)
	s.calls("orders", "/broken", 1)
	s.calls("orders", "/secret", 2)
	p = s.until("functions/orders", "In the last 15 minutes: 6 calls, of which 3 succeeded, 0 redirected, 0 answered 4xx, 1 answered 5xx, 2 refused and 0 cut off.", "Half took no longer than")
	s.want(p, 200, `<div class="figure"><span class="tag bad">25 %</span></div>`, "33 %", "This node has figures since")
	s.no(p, "style=")
	s.want(s.get("functions/orders?window=24h"), 200, "In the last 24 hours: 6 calls", "Step of 5 minutes", `?window=24h"`)
	s.want(s.get("functions/orders?window=7d"), 200, "In the last 15 minutes")
	s.until("functions/orders", `<dt>Refused</dt><dd class="num">2</dd>`) // usage comes some seconds later
	q := s.get("/api/v1/projects/" + s.project + "/functions/orders/traffic?window=15m")
	s.want(q, 200, `"calls":6`, `"refused":2`)
}

// A deploy that failed is told with what to do, of a function that runs and of one
// that never came to be.
func TestOverview_FailedDeploys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", moody)
	s.fails("orders", `throw new Error('<b>loud</b>'); export function a() {}`)
	s.fails("unborn", `throw new Error('never'); export function a() {}`)
	p := s.get("functions/orders")
	s.want(p, 200, "The last deploy failed", "traffic stays on the version before", "Running")
	s.no(p, "<b>loud")
	p = s.get("functions/unborn")
	s.want(p, 200, "It was never deployed", "postern functions deploy")
	s.no(p, "data-chart", "Used this month")
	s.want(s.get("functions"), 200, "last deploy failed", `<span class="tag bad">Failed</span>`, "<strong>2 functions</strong>")
}

// fails deploys a function that does not start.
func (s *site) fails(name, source string) {
	s.Helper()
	if err := s.tryDeploy(name, source, "", api.DeployRequest{}); err == nil {
		s.Fatalf("%s was deployed", name)
	}
}

// Somebody who is told of a change finds it: the page and the stream are of one node.
func TestOverview_Live(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("orders", moody)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := make(chan api.ChangedEvent, 1000)
	go s.api.FollowEvents(ctx, nil, func(e api.ProjectEvent) error {
		if e.Changed != nil {
			told <- *e.Changed
		}
		return nil
	})
	tells := func(kind string, again func()) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case e := <-told:
				if e.Kind == kind && slices.Equal(e.Names, []string{"orders"}) {
					return
				}
			case <-tick.C:
				again()
			case <-ctx.Done():
				t.Fatal("nobody is told of ", kind)
			}
		}
	}
	tells("traffic", func() { s.calls("orders", "/open", 1) }) // whether the stream is open yet nobody says
	if err := s.api.DeleteFunction(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	tells("functions", func() {})
	s.want(s.get("functions"), 200, "No functions yet")
}
