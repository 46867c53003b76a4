package app

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/oauth"
)

// controlPlane is everything that the control listener answers.
func (s *Server) controlPlane() http.Handler {
	mux := http.NewServeMux()
	s.health.routes(mux)
	s.observedAt(mux)
	api := s.newAdmin()
	mux.Handle("/", api)
	s.consoleAt(mux, api)
	tokens := s.newTokenServer()
	for _, path := range oauth.Paths() {
		mux.Handle(path, tokens)
	}
	return cleaned(s.tracedControl(mux))
}

// observedAt adds what operators look at: metrics and profiles.
func (s *Server) observedAt(mux *http.ServeMux) {
	metrics := promhttp.HandlerFor(s.metrics.Registry, promhttp.HandlerOpts{})
	if s.cfg.Metrics == "loopback" {
		metrics = loopbackOnly(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /debug/pprof", loopbackOnly(http.HandlerFunc(pprof.Index))) // what cleaned makes of it with a slash
	for path, h := range map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
		mux.Handle("GET /debug/pprof/"+path, loopbackOnly(h))
	}
}

func (s *Server) newAdmin() http.Handler {
	api, _ := admin.New(admin.Options{
		Version:   s.version,
		Store:     s.db,
		Deployer:  tracedDeployer{s.deployer},
		Artefacts: s.artefacts,
		Uploads:   s.uploads,
		Databases: s.databases,
		Storage:   s.kept,
		Logs:      s.book,
		Traffic:   s.traffic,
		Feed:      s.feed,
		Stopping:  s.stopping,
		Auth:      s.auth,
		Issuer:    s.Issuer(),
		Uses:      &s.uses,
		Directory: s.gateway.Keys,
		Applied:   s.gateway.WaitApplied,
		Status:    s.supervisor.Status,
		URLs:      s.urls,
		Audit:     s.audit,
		Explainer: s.gateway,
		Server:    s.describe,
		Ring:      s.ring,
		BasicRate: s.cfg.BasicRate, BasicBurst: s.cfg.BasicBurst,
		Accounts: s.accounts,
		Doors:    s.doors(),
		Tunnels:  s.tunnels,
		Log:      s.log,
	})
	return api
}

func (s *Server) newTokenServer() http.Handler {
	return oauth.New(oauth.Options{
		Issuer:    s.Issuer(),
		Gateway:   s.GatewayURL(),
		Function:  s.functionAt,
		Ring:      s.ring,
		Lifetime:  s.cfg.TokenLifetime,
		Store:     s.db,
		Auth:      s.auth,
		Directory: s.gateway.Keys,
		Applied:   s.gateway.WaitApplied,
		Log:       s.log,
		Record:    func(d oauth.Decision) { s.countToken(d); s.recordToken(d) },
	})
}

// countToken counts what became of a call of the token endpoint.
func (s *Server) countToken(d oauth.Decision) {
	if d.Endpoint != oauth.TokenPath {
		return
	}
	switch {
	case d.Repeated:
		s.metrics.TokenRequested("repeated")
	case d.Code == "":
		s.metrics.TokenRequested("granted")
	default:
		s.metrics.TokenRequested(d.Code)
	}
}

// cleaned takes doubled and trailing slashes out of a path, inside: a client
// whose host was configured with a slash at its end asks for //oauth2/token,
// and http.ServeMux would send its credentials round by a redirect.
func cleaned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		for strings.Contains(path, "//") {
			path = strings.ReplaceAll(path, "//", "/")
		}
		if len(path) > 1 {
			path = strings.TrimRight(path, "/")
		}
		if path != r.URL.Path {
			clone := *r
			u := *r.URL
			u.Path, u.RawPath = path, ""
			clone.URL = &u
			r = &clone
		}
		next.ServeHTTP(w, r)
	})
}
