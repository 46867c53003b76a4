package console_test

import (
	"net/url"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

func TestFunctionSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := "functions/shop/settings"
	s.want(s.get(page), 404, "there is no such function")
	s.deployWith("shop", talking, `, "variables": {"GREETING": "<i>hi</i>", "REGION": "eu"}, "secrets": ["STRIPE_KEY", "SHARED"]`,
		api.DeployRequest{Variables: map[string]string{"REGION": "us", "EXTRA": "\u202egnp\x1b[2J"}, Secrets: map[string]string{"STRIPE_KEY": "first-value"}, Force: true})
	if _, err := s.api.ChangeSecrets(s.Context(), "", api.ChangeSecretsRequest{Set: map[string]string{"SHARED": "shared-value"}}); err != nil {
		t.Fatal(err)
	}
	p := s.get(page)
	s.want(p, 200, "&lt;i&gt;hi&lt;/i&gt;", "the manifest", "the deploy (<code>.env</code>)", "the platform", "PROJECT_ID_API_SECRET", "STRIPE_KEY", "this function", "shared in the project", "version 1, ", "␦gnp␦[2J")
	s.no(p, "<i>hi", "first-value", "shared-value", "psk_")

	secrets := page + "/secrets"
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		says   string
	}{
		"forged":       {url.Values{"csrf": {"x"}, "key": {"A"}, "value": {"typed-value"}}, 403, "did not come from this page"},
		"no name":      {url.Values{"value": {"typed-value"}}, 422, "Say which secret it is."},
		"no value":     {url.Values{"key": {"STRIPE_KEY"}}, 422, "Write the value; to have none, remove the secret."},
		"two values":   {url.Values{"key": {"STRIPE_KEY"}, "value": {"typed-value"}, "lines": {"typed-value"}}, 422, "one of the two fields"},
		"no secret":    {url.Values{"key": {"lower <b>"}, "value": {"typed-value"}}, 422, "one of the names is none of a secret"},
		"a variable":   {url.Values{"key": {"REGION"}, "value": {"typed-value"}}, 422, "REGION"},
		"platform's":   {url.Values{"key": {"POSTERN_X"}, "value": {"typed-value"}}, 422, "belongs to the platform"},
		"not removed":  {url.Values{"key": {"NOSUCH"}}, 422, "Write the value"},
		"value at key": {url.Values{"key": {"sk_live_typed-value"}, "value": {""}}, 422, "Write the value"},
	} {
		p := s.post(secrets, tc.form)
		s.want(p, tc.status, tc.says)
		if strings.Contains(strings.ReplaceAll(p.body, `value="sk_live_typed-value"`, ""), "typed-value") || strings.Contains(p.body, "<b>") {
			t.Errorf("%s: the page repeats a value", name)
		}
	}
	s.leads(s.post(secrets, url.Values{"key": {"STRIPE_KEY"}, "value": {"second-value"}}), page+"?said=secret-set")
	s.leads(s.post(secrets, url.Values{"key": {"PEM"}, "lines": {"-----BEGIN\r\nsecret-lines\r\n"}}), page+"?said=secret-set")
	p = s.get(page + "?said=secret-set")
	s.want(p, 200, "The secret is set.", "PEM", s.api.KeyID)
	s.no(p, "second-value", "secret-lines")

	remove := secrets + "/remove"
	s.want(s.get(remove+"?key=NOSUCH"), 404, "no such secret of its own")
	s.want(s.get(remove+"?key=SHARED"), 404, "no such secret of its own")
	s.want(s.post(remove, url.Values{"key": {"SHARED"}}), 404)
	s.want(s.get(remove+"?key=STRIPE_KEY"), 200, "Remove <code>STRIPE_KEY</code>?", "gone for good", "Keep it")
	s.leads(s.post(remove, url.Values{"key": {"STRIPE_KEY"}}), page+"?said=secret-removed")
	s.want(s.get(page), 200, "is declared by the version that serves, and has no value", "?key=STRIPE_KEY#set")
	s.deployWith("shop", talking+"// two\n", `, "variables": {"GREETING": "<i>hi</i>"}`, api.DeployRequest{})
	if p := s.get(page); !strings.Contains(p.body, "version 1, ") || !strings.Contains(p.body, "version 2, ") {
		t.Error("it is not told since which version a variable has its value")
	}
}
