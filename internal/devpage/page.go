// Package devpage is the page of `postern functions dev`: what was asked of the
// function and what it answered, its lines, routes and settings; and forms that
// send a request again, or a callback signed as its sender would.
//
// [New] makes the handler of /_postern/. It is for the developer at this machine
// and nobody else: it takes requests of this machine's own addresses, from pages of
// its own, and none that came through a tunnel; what sends something needs a token
// that only its own forms have. Everything that comes from the function or its
// callers is text here. Values of settings are never shown.
package devpage

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/tunnel"
)

//go:embed assets
var assets embed.FS

// Dir is where the page is.
const Dir = "/_postern/"

type page struct {
	dev   *devserver.Server
	token string // of forms
	views *template.Template
	mux   *http.ServeMux
	log   *slog.Logger
}

// New makes the page of a server. log is for what goes wrong with the page itself.
func New(dev *devserver.Server, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &page{dev: dev, token: rand.Text(), mux: http.NewServeMux(), log: log,
		views: template.Must(template.New("").Funcs(template.FuncMap{"plain": plain, "word": word, "took": took, "list": func(s ...string) []string { return s }}).ParseFS(assets, "assets/*.html"))}
	get := func(path string, h http.HandlerFunc) { p.mux.HandleFunc("GET "+Dir+path, h) }
	get("{$}", p.requests)
	get("requests/{id}", p.request)
	get("callbacks", p.callbacks)
	get("logs", p.logs)
	get("routes", p.routes)
	get("settings", p.settings)
	get("builds", p.builds)
	get("events", p.events)
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		get(name, asset(name, kind))
	}
	p.mux.HandleFunc("POST "+Dir+"send", p.form(p.send))
	p.mux.HandleFunc("POST "+Dir+"callbacks", p.form(p.sendCallback))
	return p
}

var (
	errNotHere = fault.New(fault.Denied, "this page is for the developer at this machine").WithCode("not_allowed").WithHint("open it as http://localhost, at the port of postern functions dev")
	errForged  = fault.New(fault.Denied, "the form did not come from this page").WithCode("signin_forged")
)

// ServeHTTP answers who may see the page. The local door has looked at host and
// origin already; a page that sends requests is worth two locks.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // with none, a form of this page would be of no origin
	h.Set("Cache-Control", "no-store")
	if tunnel.Through(r) || !fromHere(r) || !ownHost(r.Host) || !ownOrigin(r) {
		p.refuse(w, errNotHere)
		return
	}
	if r.URL.Path+"/" == Dir {
		http.Redirect(w, r, Dir, http.StatusPermanentRedirect)
		return
	}
	p.mux.ServeHTTP(w, r)
}

func (p *page) refuse(w http.ResponseWriter, err error) {
	httpx.WriteProblem(w, err, httpx.NewRequestID())
}

// fromHere reports whether a connection is of this machine.
func fromHere(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// ownHost reports whether a Host value is this machine's: a name on the web that
// points here is not.
func ownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// ownOrigin reports whether a request is of this very page, or of none.
func ownOrigin(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	origin := r.Header.Get("Origin")
	return (site == "" || site == "same-origin" || site == "none") && (origin == "" || origin == "http://"+r.Host)
}

// maxForm bounds what a form may have: a body that was kept, encoded, and a header.
const maxForm = 1 << 20

// form is a handler of a form of this page.
func (p *page) form(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			p.refuse(w, fault.Wrap(err, fault.Invalid, "the form cannot be read"))
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("token")), []byte(p.token)) != 1 {
			p.refuse(w, errForged)
			return
		}
		next(w, r)
	}
}

func asset(name, kind string) http.HandlerFunc {
	data, err := assets.ReadFile("assets/" + name)
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Write(data)
	}
}

// frame is what every page has around it.
type frame struct {
	Title string
	Here  string // the name of the page in the navigation
	URL   string
	Name  string // of the function
	Token string
	Now   *devserver.Build // the last build; nil: none yet
	Open  bool             // guarded handlers are open
	Last  int64            // the last event that the page shows
	Body  any
}

// show writes a page, whole or not at all.
func (p *page) show(w http.ResponseWriter, status int, view, title string, last int64, body any) {
	f := frame{Title: title, Here: view, URL: p.dev.URL(), Token: p.token, Last: last, Body: body}
	if fn := p.dev.Function(); fn != nil {
		f.Name = fn.Name
		f.Open = slices.ContainsFunc(fn.Routes, func(r devserver.Route) bool { return r.Deployed != "" })
	}
	events, _ := p.dev.Feed().After(0)
	for i := range events {
		if b := events[i].Build; b != nil {
			f.Now = b
		}
	}
	var out bytes.Buffer
	if err := p.views.ExecuteTemplate(&out, view+".html", f); err != nil {
		p.log.Error("a page was not made", "page", view, "error", err)
		p.refuse(w, fault.Wrap(err, fault.Internal, "the page was not made"))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes())
}
