package console_test

import (
	"net/url"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("shop", shop)
	s.want(s.get("gateway/policy"), 200, "No policy was applied yet", "version: 1", "None yet.")
	form := func(step, number, document string) url.Values {
		return url.Values{"step": {step}, "number": {number}, "document": {document}}
	}
	first := "version: 1\r\nfunctions:\r\n  shop:\r\n    handlers:\r\n      refund: { auth: none }\r\n      partner: { rate: 5/s }\r\n# <b>&\r\n"
	secret := accesskey.NewSecret().Reveal()
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		texts  []string
	}{
		"no YAML":          {form("preview", "0", "version: ["), 422, []string{"policy", "version: ["}},
		"an unknown field": {form("apply", "0", "version: 1\nplugins: {}\n"), 422, []string{"gateway.yaml", "plugins"}},
		"no such handler":  {form("preview", "0", "version: 1\nfunctions: { shop: { handlers: { refnud: {} } } }\n"), 422, []string{"refnud", "refund"}},
		"a secret":         {form("apply", "0", "version: 1\n# "+secret+"\n"), 422, []string{"secret"}},
		"another number":   {form("apply", "7", "version: 1\n"), 409, []string{"is in force, not 7", "version: 1"}},
		"no number":        {form("apply", "", "version: 1\n"), 400, []string{"load the page again"}},
		"markup":           {form("preview", "0", `</textarea><script>alert(1)</script>`), 422, []string{"&lt;/textarea&gt;"}},
	} {
		p := s.post("gateway/policy", tc.form)
		if p.status != tc.status || strings.Contains(p.body, secret) || strings.Contains(p.body, "<script>alert") {
			t.Errorf("%s: %d\n%s", name, p.status, p.text())
		}
		for _, text := range tc.texts {
			if !strings.Contains(p.body, text) {
				t.Errorf("%s: the page has no %q\n%s", name, text, p.text())
			}
		}
	}
	if p := s.post("gateway/policy", url.Values{"csrf": {"no"}, "step": {"apply"}, "number": {"0"}, "document": {"version: 1\n"}}); p.status != 403 {
		t.Errorf("without the form's token: %d", p.status)
	}
	p := s.post("gateway/policy", form("preview", "0", first))
	s.want(p, 200, "Open to everyone from now on", "shop /refund", "Apply, and open these to everyone", "function shop, handler partner", "[5/s]", "&lt;b&gt;&amp;")
	if got, err := s.api.GatewayPolicy(t.Context(), 0, false); err != nil || got.Number != 0 {
		t.Fatalf("the preview changed something: %+v, %v", got, err)
	}
	s.want(s.get("audit?action=applyGatewayPolicy&outcome=allowed"), 200, ">dry run<")
	done := s.post("gateway/policy", form("apply", "0", first))
	s.want(done, 303)
	s.want(s.get("gateway/policy?said=policy-applied"), 200, "The policy is in force.", "Number 1 is in force", s.api.KeyID)
	if got, err := s.api.GatewayPolicy(t.Context(), 0, false); err != nil || got.Document != strings.ReplaceAll(first, "\r\n", "\n") {
		t.Errorf("applied %q, %v", got.Document, err)
	}
	s.want(s.post("gateway/policy", form("preview", "1", first)), 200, "This changes nothing")
	s.want(s.post("gateway/policy", form("apply", "1", "version: 1\n")), 303)
	s.want(s.get("gateway/policy/1"), 200, "handlers:", "Apply it again", "What changed since")
	s.want(s.get("gateway/policy?restore=1"), 200, "Policy 1, to be applied again", "auth: none")
	s.want(s.get("gateway/diff?before=1&after=2"), 200, "function shop", "removed")
	s.want(s.get("gateway/diff?before=2&after=2"), 200, "They say the same")
	s.want(s.get("gateway/diff"), 200, "Compare policies")
	s.want(s.get("gateway/diff?before=x&after=1"), 422, "both must be numbers", `value="x"`)
	s.want(s.get("gateway/diff?before=1&after=9"), 404)
	s.want(s.get("gateway/policy/9"), 404)
	s.want(s.get("gateway/policy/none"), 404, "there is no policy of this number")
	s.want(s.get("gateway/policy?restore=9"), 404)
}
