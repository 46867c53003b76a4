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
	t.Parallel()
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
	// Who did it is told by name, and both are found by it.
	name := `<img src=x>"Acme" 100%`
	acme, err := s.api.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: name, Scopes: []string{"control"}})
	if err != nil {
		t.Fatal(err)
	}
	own := &api.Client{Server: s.api.Server, ProjectID: s.project, KeyID: acme.AccessKey.AccessKeyID, Secret: acme.Secret}
	if _, err := own.CreateKey(t.Context(), api.CreateKeyRequest{DisplayName: "by acme", Scopes: []string{"control"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.api.RevokeKey(t.Context(), acme.AccessKey.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	link := `<a href="/console/p/` + s.project + "/keys/" + acme.AccessKey.AccessKeyID + `">&lt;img src=x&gt;&#34;Acme&#34; 100%</a>`
	found := s.get("audit?action=createAccessKey&q=" + url.QueryEscape("ACME\" 100%"))
	s.want(found, 200, link, `<span class="tag bad">revoked</span>`, `title="Only what is of this key"`, `value="ACME&#34; 100%"`, `<details class="whole" open>`)
	s.no(found, "/keys/"+s.api.KeyID, "<img")
	s.want(s.get("audit?q="+url.QueryEscape("REVOKEaccesskey accesskeys/")), 200, ">administrator</a>", `<span class="soft">&lt;img src=x&gt;&#34;Acme&#34; 100%</span>`)
	for _, none := range []string{"acme%100", "_cme", "acme' OR ''='", "\x00", "\xff"} {
		s.want(s.get("audit?q="+url.QueryEscape(none)), 200, "No events are like that")
	}
	s.want(s.get("audit?q="+strings.Repeat("x", 101)), 422, "query")
	s.want(s.get("gateway/refusals?q=SHOP"), 200, "unauthenticated", id)
	s.want(s.get("gateway/refusals?q=acme"), 200, "No refusal is like that")
	r := s.get("gateway/refusals")
	s.want(r, 200, "3 authenticate", "unauthenticated", "gateway/explain?request="+id, "shop", "refund")
	s.want(s.get("gateway/refusals?code=rate_limited"), 200, "No refusal is like that")
	s.want(s.get("gateway/refusals?code=No+code"), 422, "code")
	s.want(s.get("gateway/explain?request="+id), 200, "refused", "401", "3 authenticate")
}
