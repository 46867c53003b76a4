package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
)

// refused makes a call of a function without credentials, and waits until it is in the log.
func (s *site) refused(path string) (requestID string) {
	s.Helper()
	res, err := s.client.Get(s.gateway + path)
	if err != nil {
		s.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		s.Fatalf("the call was answered %d", res.StatusCode)
	}
	id := res.Header.Get("X-Request-Id")
	for until := time.Now().Add(20 * time.Second); ; {
		events, err := s.api.Audit(s.Context(), api.AuditQuery{RequestID: id})
		if err != nil {
			s.Fatal(err)
		}
		if len(events.Events) > 0 {
			return id
		}
		if time.Now().After(until) {
			s.Fatal("the refusal is not in the audit log")
		}
	}
}

func TestAudit(t *testing.T) {
	s := newSite(t)
	s.want(s.get("gateway/refusals"), 200, "Nothing was refused")
	s.deploy("shop", shop)
	made, err := s.api.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "k"})
	if err != nil {
		t.Fatal(err)
	}
	id := s.refused("/fn/shop/refund")
	p := s.get("audit")
	s.want(p, 200, "createAccessKey", "deploy", `<span class="tag good">allowed</span>`, id, "not recognised", "/console/api/v1/projects/"+s.project+"/audit?changes=true")
	s.no(p, "listAuditEvents", made.Secret)
	s.want(s.get("audit?action=createAccessKey"), 200, "createAccessKey")
	s.no(s.get("audit?action=createAccessKey"), "<strong>deploy</strong>")
	s.want(s.get("audit?outcome=refused&request="+id), 200, "unauthenticated", "<dt>step</dt><dd>3</dd>", "this handler needs an access key")
	s.want(s.get("audit?until=2020-01-01T00:00"), 200, "No events are like that")
	s.want(s.get("audit?since=2020-01-01&key="+s.api.KeyID), 200, "createAccessKey")
	s.want(s.get("audit?since=yesterday"), 422, "this is no time", "times are of UTC", `value="yesterday"`)
	s.want(s.get("audit?outcome=perhaps"), 422, "outcome")
	if p := s.get("audit?action=" + url.QueryEscape(hostile)); p.status != 422 || strings.Contains(p.body, "<script>alert") || !strings.Contains(p.body, "&lt;script&gt;") {
		t.Errorf("a hostile action: %d", p.status)
	}
	r := s.get("gateway/refusals")
	s.want(r, 200, "3 authenticate", "unauthenticated", "gateway/explain?request="+id, "shop", "refund")
	s.want(s.get("gateway/refusals?code=rate_limited"), 200, "No refusal is like that")
	s.want(s.get("gateway/refusals?code=No+code"), 422, "code")
	s.want(s.get("gateway/explain?request="+id), 200, "refused", "401", "3 authenticate")
}
