package upstream_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

// A certificate that nobody vouches for is none: nothing is sent, and it is not
// tried again.
func TestDo_Untrusted(t *testing.T) {
	t.Parallel()
	ran := false
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ran = true; io.WriteString(w, r.Proto) }))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	p := proxyTo(t, strings.TrimPrefix(srv.URL, "https://"), func(u *platform.Upstream) { u.URL, u.Retries = srv.URL, 5 })
	_, err := p.Do(t.Context(), request("GET", "/"))
	if codeOf(err) != "upstream_unreachable" || upstream.Sent(err) || ran || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v, sent %v", err, upstream.Sent(err))
	}
	// With one that is trusted it is spoken to by HTTP/2.
	p.Trust(srv.Certificate())
	if status, body, code := answer(t.Context(), p, request("GET", "/")); status != 200 || body != "HTTP/2.0" {
		t.Error(status, body, code)
	}
}
