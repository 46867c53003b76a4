// Package console is the web console: pages for people at /console of the control
// listener.
//
// [New] makes its handler. It decides nothing and stores nothing: each page asks the
// control API of the same process with an [api.Client] whose transport is that API's
// handler (client.go), in the name of whoever is signed in. So who may do what, what
// is a mistake, and what is recorded is said in one place, package admin, and a page
// can do what the API can. Pages are made on the server; everything but what is live
// works without JavaScript.
//
// A file is a page or a few that belong together, with its template in assets; what all
// of them share is page.go and assets/frame.html.
package console

import (
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/openapi"
)

//go:embed assets vendored/*.js vendored/*.css
var assets embed.FS

// Dir is where the console is.
const Dir = "/console"

// Options are what the console works with.
type Options struct {
	// API is the control API.
	API http.Handler
	// Accounts signs people in.
	Accounts *account.Service
	// Issuer is the URL of the control plane, as it is known outside.
	Issuer string
	// Gateway is the URL at which functions are called.
	Gateway string
	Version string
	Log     *slog.Logger
}

// Console is the handler of everything under [Dir].
type Console struct {
	o     Options
	mux   *http.ServeMux
	views *template.Template
	stamp string // of the files that browsers keep; another when one of them is
	ref   atomic.Pointer[openapi.Document]

	windows windows
}

// New makes the console.
func New(o Options) *Console {
	c := &Console{o: o, mux: http.NewServeMux(), stamp: stamp()}
	c.views = template.Must(template.New("").Funcs(c.words()).ParseFS(assets, "assets/*.html"))
	c.mux.HandleFunc("GET "+Dir+"/assets/{stamp}/{name}", c.asset)
	c.mux.HandleFunc(Dir+"/api/v1/", c.passAPI)
	c.page("GET /{$}", c.home)
	c.page("GET /p/{project}", c.home)
	c.registerPages()
	return c
}

// registerPages is the list of all pages, a line or a call a file.
func (c *Console) registerPages() {
	c.registerFunctions()
	c.registerKeys()
	c.registerServicePlans()
	c.registerVersions()
	c.registerFunctionLogs()
	c.registerRequests()
	c.registerFunctionSettings()
	c.registerGateway()
	c.registerMatrix()
	c.registerExplain()
	c.registerLimits()
	c.registerPolicy()
	c.registerUsage()
	c.registerAudit()
	c.registerSignIn()
	c.registerAccount()
	c.registerUsers()
	c.registerSettings()
	c.registerReference()
	c.registerSubprojects()
	c.registerSigningKeys()
}

const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers a request under [Dir].
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with none, a form of these pages would be of no origin
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == Dir { // the listener takes a slash at the end off
		clone := *r
		u := *r.URL
		u.Path = Dir + "/"
		clone.URL = &u
		r = &clone
	}
	if _, pattern := c.mux.Handler(r); pattern == "" {
		c.stray(w, r)
		return
	}
	c.mux.ServeHTTP(w, r)
}

var errNoPage = fault.New(fault.NotFound, "there is no such page").WithHint("the menu has all of them")

// stray answers what no page takes. Of an address that takes a form alone, and that a
// browser has after the form's mistake, the form's page is the one above.
func (c *Console) stray(w http.ResponseWriter, r *http.Request) {
	v := &visit{c: c, w: w, r: r, id: httpx.NewRequestID()}
	sent := *r
	sent.Method = http.MethodPost
	above := path.Dir(r.URL.EscapedPath()) // what is escaped stays within its place
	if _, pattern := c.mux.Handler(&sent); pattern != "" && r.Method == http.MethodGet && above != Dir {
		v.to(strings.TrimPrefix(above, Dir))
		return
	}
	v.session, _ = c.session(r)
	c.fail(v, errNoPage)
}

// home leads to the page that people look at first.
func (c *Console) home(v *visit) error {
	if v.project == "" {
		v.project = v.session.ProjectID
	}
	v.to(v.in("functions"))
	return nil
}

// page registers a page for somebody who is signed in: a method and a pattern below [Dir].
func (c *Console) page(pattern string, h func(*visit) error) {
	method, path, _ := strings.Cut(pattern, " ")
	c.mux.HandleFunc(method+" "+Dir+path, func(w http.ResponseWriter, r *http.Request) {
		v := &visit{c: c, w: w, r: r, id: httpx.NewRequestID(), at: time.Now(), project: r.PathValue("project")}
		if err := v.enter(method == http.MethodPost); err != nil {
			c.fail(v, err)
			return
		}
		if err := h(v); err != nil {
			c.fail(v, err)
		}
	})
}
