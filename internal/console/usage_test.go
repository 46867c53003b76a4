package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("usage"), 200, "Nothing ran from")
	s.deploy("shop", shop)
	res, err := s.client.Get(s.gateway + "/fn/shop/status")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	s.refused("/fn/shop/refund")
	for until := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		u, err := s.api.Usage(t.Context(), api.UsageQuery{})
		if err != nil {
			t.Fatal(err)
		}
		if u.Total.Invocations == 1 && u.Total.Refused == 1 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("usage is %+v", u.Total)
		}
	}
	today := time.Now().UTC().Format(time.DateOnly)
	s.want(s.get("usage"), 200, "/functions/shop", "unauthenticated", `value="`+today+`"`, "usage?by=function&amp;format=csv")
	s.want(s.get("usage?by=key"), 200, "<th scope=\"row\">open</th>")
	s.want(s.get("usage?by=day&from="+time.Now().UTC().AddDate(0, 0, -9).Format(time.DateOnly)), 200, `<svg class="bars"`, today+": 1 calls, 0 errors")
	s.want(s.get("usage?from=2026-13-01"), 422, "from is no day", "days are of UTC", `value="2026-13-01"`)
	s.want(s.get("usage?from=2026-02-01&to=2026-01-01"), 422, "from is after to")
	s.want(s.get("usage?by=moon"), 422, "by")
	if p := s.get("/api/v1/projects/" + s.project + "/usage?format=csv"); p.status != http.StatusOK || !strings.HasPrefix(p.header.Get("Content-Type"), "text/csv") || !strings.Contains(p.body, "shop") {
		t.Errorf("as CSV: %d %s", p.status, p.body)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.get("settings")
	s.want(p, 200, s.project, "SQLite", `<span class="tag good">ready</span>`, "flag --listen", "POSTERN_LISTEN", "127.0.0.1:0")
	s.no(p, "<code>queue-timeout</code>", "psk_")
	s.want(s.get("settings?all=1"), 200, "<code>queue-timeout</code>", "default")
	s.want(s.get("settings?q=QUEUE-time"), 200, "<code>queue-timeout</code>")
	s.want(s.get("settings?q=nothing+like+it"), 200, "No setting is like that")
}
