package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

const (
	consoleHeading   = "## The console"
	consoleKeys      = 100_000
	consoleFunctions = 1_000
	logRate          = 5000 // lines a second
)

// busiest are the pages that have most to show, below a project.
var busiest = []struct{ name, path string }{
	{"functions", "functions"}, {"one function", "functions/chatty"}, {"access keys", "keys"}, {"access keys, searched", "keys?q=key+777"},
	{"keys × routes", "gateway/matrix?all=1"}, {"routes", "gateway"}, {"audit", "audit"},
}

// loads is how long a page took, in milliseconds, one a load.
type loads struct {
	name                      string
	firstByte, painted, again []float64
}

// consoleResult is what was measured of the console.
type consoleResult struct {
	pages []loads
	logs  liveLogs
}

// measureConsole measures pages as a browser shows them that has never seen them, five
// loads of each a round; and live logs, four seconds a round.
func measureConsole(ctx context.Context, rounds int) (r consoleResult, err error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return r, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	data := filepath.Join(dir, "data")
	p, err := s.startPostern(data, "off", "0", "--workers", "1")
	if err == nil {
		err = s.deploy(p, "bench/peers/chatty")
	}
	if err != nil {
		return r, err
	}
	p.end()
	file := filepath.Join(data, "postern.db")
	if err := fill(file, p.env["POSTERN_PROJECT_ID"], consoleKeys); err != nil {
		return r, err
	}
	if err := copyFunction(file, "chatty", consoleFunctions-1); err != nil {
		return r, err
	}
	if p, err = s.startAgain(p); err != nil {
		return r, err
	}
	b, err := startBrowser(ctx, dir)
	if err != nil {
		return r, err
	}
	defer b.end()
	if err := b.signIn(p); err != nil {
		return r, err
	}
	project := p.control + "/console/p/" + p.env["POSTERN_PROJECT_ID"] + "/"
	r.pages = make([]loads, len(busiest))
	for round := range 5*rounds + 1 {
		for i, page := range busiest {
			firstByte, painted, again, err := b.load(project+page.path, project+"subprojects")
			if err != nil {
				return r, fmt.Errorf("%s: %w", page.name, err)
			}
			if r.pages[i].name = page.name; round > 0 { // the first warms the server up
				r.pages[i].firstByte, r.pages[i].painted, r.pages[i].again = append(r.pages[i].firstByte, firstByte), append(r.pages[i].painted, painted), append(r.pages[i].again, again)
			}
		}
	}
	r.logs, err = b.followLogs(p, project+"functions/chatty/logs", 4*rounds)
	return r, err
}

// copyFunction writes more functions of the same deployment past the server, which
// would start a worker for each.
func copyFunction(file, name string, n int) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, table := range []struct{ name, filter string }{{"functions", "name = $1"}, {"deployments", "function_id = (SELECT id FROM functions WHERE name = $1)"}} {
		columns, err := columnsOf(db, table.name)
		if err != nil {
			return err
		}
		var values []string
		for _, c := range columns {
			switch {
			case table.name == "functions" && c == "id", c == "function_id":
				values = append(values, `printf('fn-%026d', i)`)
			case table.name == "deployments" && c == "id", c == "active_deployment_id":
				values = append(values, `printf('dep_%026d', i)`)
			case c == "name", c == "slug":
				values = append(values, `printf('function-%04d', i)`)
			default:
				values = append(values, c)
			}
		}
		_, err = db.Exec(`INSERT INTO `+table.name+` (`+strings.Join(columns, ", ")+`) SELECT `+strings.Join(values, ", ")+`
			FROM `+table.name+`, (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n) WHERE `+table.filter, name, n)
		if err != nil {
			return fmt.Errorf("copy a function in %s: %w", table.name, err)
		}
	}
	_, err = db.Exec(`INSERT INTO slugs (slug, owner_id) SELECT slug, id FROM functions WHERE name <> $1`, name)
	return err
}

func columnsOf(db *sql.DB, table string) (list []string, err error) {
	rows, err := db.Query("SELECT name FROM pragma_table_info($1)", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}

// browser is a Chromium with a session of the console.
type browser struct {
	ctx    context.Context
	end    func()
	cookie *network.CookieParam
}

func startBrowser(ctx context.Context, dir string) (*browser, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.UserDataDir(filepath.Join(dir, "chromium")), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(time.Minute))
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	first, _ := chromedp.NewContext(allocator)
	b := &browser{ctx: first, end: func() { chromedp.Cancel(first); end() }}
	if err := chromedp.Do(first); err != nil {
		b.end()
		return nil, fmt.Errorf("start chromium (apt-get install chromium): %w", err)
	}
	return b, nil
}

// signIn signs in with the administrator's key, and keeps the cookie.
func (b *browser) signIn(p *running) error {
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second) // bin/postern may be older than the console
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Navigate(p.control+"/console/signin"), chromedp.SetValue("#key-id", p.env["POSTERN_KEY_ID"]), chromedp.SetValue("#key-secret", p.env["POSTERN_KEY_SECRET"]),
		chromedp.Submit("#key-secret"), chromedp.WaitReady("nav.side"))
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	all, err := chromedp.Call(b.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID})
	if err != nil {
		return err
	}
	for _, c := range all.Cookies {
		if c.HTTPOnly {
			b.cookie = &network.CookieParam{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, HTTPOnly: true}
		}
	}
	if b.cookie == nil {
		return fmt.Errorf("sign in: there is no cookie")
	}
	return nil
}

// fresh is a tab without a cache, signed in.
func (b *browser) fresh() (context.Context, context.CancelFunc, error) {
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	err := chromedp.Do(ctx, chromedp.EmulateViewport(1440, 900))
	if err == nil {
		_, err = chromedp.Call(ctx, network.SetCookies, network.SetCookiesParams{Cookies: []*network.CookieParam{b.cookie}})
	}
	if err != nil {
		end()
	}
	return ctx, end, err
}

// load is how long a page takes from the start of a navigation to its first byte and to
// what is first seen: in a browser that has nothing, and again on the way from another
// page of the console.
func (b *browser) load(url, another string) (firstByte, painted, again float64, err error) {
	ctx, end, err := b.fresh()
	if err != nil {
		return 0, 0, 0, err
	}
	defer end()
	if firstByte, painted, err = paint(ctx, url); err != nil {
		return 0, 0, 0, err
	}
	if _, _, err = paint(ctx, another); err != nil {
		return 0, 0, 0, err
	}
	_, again, err = paint(ctx, url)
	return firstByte, painted, again, err
}

func paint(ctx context.Context, url string) (firstByte, painted float64, err error) {
	res, err := chromedp.Run(ctx, chromedp.NavigateResponse(url))
	if err != nil {
		return 0, 0, err
	}
	if res.Status != 200 {
		return 0, 0, fmt.Errorf("status %d", res.Status)
	}
	times, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`new Promise((done) => new PerformanceObserver((list) => list.getEntriesByName('first-contentful-paint').forEach((e) =>
		done([performance.getEntriesByType('navigation')[0].responseStart, e.startTime]))).observe({ type: 'paint', buffered: true }))`, chromedp.EvalAwaitPromise))
	if err != nil {
		return 0, 0, err
	}
	return times[0], times[1], nil
}

// liveLogs is what a page of live logs does while much is written.
type liveLogs struct {
	talked           string    // what the function says that it wrote
	clicks           []float64 // milliseconds from a click to the next frame
	longest, frame   float64   // task, and time between two frames
	rows             int       // most that the page had
	before, after    int64     // bytes of the server
	nodes, heapBytes float64   // of the page, afterwards
}

const watchLogs = `(() => {
	const w = window.watched = { longest: 0, frame: 0, rows: 0, clicks: [], last: performance.now() };
	new PerformanceObserver((list) => list.getEntries().forEach((e) => { w.longest = Math.max(w.longest, e.duration); })).observe({ type: 'longtask', buffered: false });
	const frame = (now) => { w.frame = Math.max(w.frame, now - w.last); w.last = now; requestAnimationFrame(frame); };
	requestAnimationFrame((now) => { w.last = now; frame(now); });
	setInterval(() => { w.rows = Math.max(w.rows, document.querySelectorAll('main *').length); }, 1000);
	return '';
})()`

// followLogs has a page open while a function writes.
func (b *browser) followLogs(p *running, url string, seconds int) (l liveLogs, err error) {
	ctx, end, err := b.fresh()
	if err != nil {
		return l, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		return l, err
	}
	for live := ""; live != "Live"; { // when it reads
		if live, err = chromedp.Run(ctx, chromedp.Evaluate[string](`new Promise((done) => setTimeout(() => done(document.querySelector('[data-log-state]').textContent), 100))`, chromedp.EvalAwaitPromise)); err != nil {
			return l, err
		}
	}
	l.before = resident(p.pid())
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](watchLogs)); err != nil {
		return l, err
	}
	told := make(chan error, 1)
	go func() {
		text, err := get(ctx, p.gateway+"/fn/chatty/talk?rate="+strconv.Itoa(logRate)+"&seconds="+strconv.Itoa(seconds))
		l.talked = text
		told <- err
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err = <-told:
		case <-tick.C:
			took, err := chromedp.Run(ctx, chromedp.Evaluate[float64](`new Promise((done) => { const began = performance.now(); document.querySelector('main h1').click(); requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))); })`, chromedp.EvalAwaitPromise))
			if err != nil {
				return l, err
			}
			l.clicks = append(l.clicks, took)
			continue
		}
		break
	}
	if err != nil {
		return l, err
	}
	l.after = resident(p.pid())
	figures, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`[watched.longest, watched.frame, watched.rows, document.querySelectorAll('*').length, performance.memory ? performance.memory.usedJSHeapSize : 0]`))
	if err != nil {
		return l, err
	}
	l.longest, l.frame, l.rows, l.nodes, l.heapBytes = figures[0], figures[1], int(figures[2]), figures[3], figures[4]
	return l, nil
}

// part95 is the figure below which 95 of a hundred are.
func part95(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return s[min(len(s)-1, len(s)*95/100)]
}

func consoleReport(r consoleResult) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\n%d functions and %d access keys, SQLite, Chromium on the same machine, signed in with a key; each of %d loads of a page in a new profile, in turn, so that nothing of it is kept (most of that first paint is the browser's: a process is started for it), and then from another page of the console, as people come to it. From the start of the navigation. The aim is a first paint within 200 ms.\n\n", consoleHeading, consoleFunctions, consoleKeys, len(r.pages[0].painted))
	p("| page | first byte, median | 95 of 100 below | first paint in a new profile, median | 95 of 100 below | from another page, median | 95 of 100 below |\n|---|---|---|---|---|---|---|\n")
	for _, l := range r.pages {
		p("| %s | %.0f ms | %.0f ms | %.0f ms | %.0f ms | %.0f ms | %.0f ms |\n", l.name, median(l.firstByte), part95(l.firstByte), median(l.painted), part95(l.painted), median(l.again), part95(l.again))
	}
	p("\nLive logs: one page is open while a function writes %d lines a second (it says: `%s`). ", logRate, strings.TrimSpace(r.logs.talked))
	p("The longest task of the page takes %.0f ms and the longest frame %.0f ms; a click each second is followed by a frame after %.0f ms (median; at most %.0f ms). The page has at most %d elements. The server has %d MiB before and %d MiB after.\n",
		r.logs.longest, r.logs.frame, median(r.logs.clicks), slices.Max(r.logs.clicks), r.logs.rows, r.logs.before>>20, r.logs.after>>20)
	return b.String()
}
