package console_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

// call calls a function at the gateway and returns the request's ID.
func (s *site) call(method, path string, header ...string) string {
	s.Helper()
	f, err := s.api.Function(s.Context(), "shop")
	if err != nil {
		s.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.Context(), method, f.URLs[0]+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.Header.Get("X-Request-Id")
}

func TestRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("functions/nosuch/requests"), 404, "there is no such function")
	s.deploy("shop", talking)
	page := "functions/shop/requests"
	s.want(s.get(page), 200, "No request is recorded yet.", "Calls are recorded while somebody looks at this page", "view=calls")
	s.want(s.get(page+"/req_nosuch"), 404, "not in the function", "calls are kept while")
	s.want(s.get(page+"/%3Cb%3E"), 404)

	failed := s.call("GET", "/%3Cscript%3E/fails?q=%3Cscript%3E&token=sesame", "X-Said", `"><img src=x onerror=alert(1)>`, "Authorization", "Bearer shown")
	p := s.until(page, failed) // it is answered before it is recorded
	s.want(p, 200, "500", "handler_failed", "&lt;script&gt;")
	s.no(p, "<script>alert", "sesame")
	s.want(s.get(page+"?level=error&search=fails"), 200, failed)
	s.want(s.get(page+"?search=nosuch"), 200, "No request like that is recorded.")
	p = s.until(page+"/"+failed, "it &lt;b&gt;broke&lt;/b&gt;")
	s.want(p, 200, "handler_failed", "nobody recognised", `value="/%3Cscript%3E/fails?q=%3Cscript%3E&amp;token=[removed]"`, "&#34;&gt;&lt;img src=x", "The body of the first is not recorded.", "gateway/explain?request="+failed)
	s.no(p, "<b>broke", "<img", "Bearer shown", "sesame")
	if inlineStyle.MatchString(p.body) {
		t.Errorf("%q", inlineStyle.FindString(p.body))
	}
}

func TestRequests_Sent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("shop", talking)
	page := "functions/shop/requests/new"
	s.want(s.get(page), 200, "Send a request", "Nobody: without a credential", `value="caller" checked`)
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		says   string
	}{
		"forged":        {url.Values{"csrf": {"x"}, "method": {"GET"}, "path": {"/open"}, "as": {"nobody"}}, 403, "did not come from this page"},
		"no slash":      {url.Values{"method": {"GET"}, "path": {"open <b>"}, "as": {"nobody"}}, 422, "the path does not begin with a slash"},
		"a credential":  {url.Values{"method": {"GET"}, "path": {"/open"}, "headers": {"Authorization: Bearer x"}, "as": {"nobody"}}, 422, "a credential is among the headers"},
		"no colon":      {url.Values{"method": {"GET"}, "path": {"/open"}, "headers": {"X-Said hello"}, "as": {"nobody"}}, 422, "has no colon"},
		"as another":    {url.Values{"method": {"GET"}, "path": {"/open"}, "as": {"root"}}, 422, "as"},
		"no such thing": {url.Values{"method": {"G T"}, "path": {"/open"}, "as": {"nobody"}}, 422, "the method is none"},
	} {
		p := s.post(page, tc.form)
		s.want(p, tc.status, tc.says)
		s.no(p, "<b>", `id="answer"`)
		if name == "no slash" && !strings.Contains(p.body, `value="open &lt;b&gt;"`) {
			t.Error("what was typed is gone")
		}
	}
	// A refusal of the gateway is the answer, and leads to its own page.
	p := s.post(page, url.Values{"method": {"GET"}, "path": {"/guarded"}, "as": {"nobody"}})
	s.want(p, 200, `id="answer"`, `<span class="tag warn">401</span>`, "this handler needs an access key")
	p = s.post(page, url.Values{"method": {"PUT"}, "path": {"/guarded?n=%3Cb%3E1"}, "headers": {"X-Said: <i>hello</i>\r\nHost: other\r\n"}, "body": {"a\r\nb"}, "as": {"caller"}})
	s.want(p, 200, `<span class="tag good">200</span>`, "&lt;i&gt;hello", "&#34;how&#34;:&#34;bearer&#34;", `a\nb`, "Not sent", "<code>Host</code>")
	s.no(p, "<i>hello")
	id := regexp.MustCompile(`requests/(req_[0-9a-z]+)">req_`).FindStringSubmatch(p.body)
	if id == nil {
		t.Fatalf("no link to what was sent: %s", p.text())
	}
	// It was recorded, with its line; and it can be sent once more from there.
	p = s.until("functions/shop/requests/"+id[1], "said &lt;b&gt;1") // which comes by the worker's socket
	s.want(p, 200, "<code>guarded</code>", `value="/guarded?n=%3Cb%3E1"`, "x-said: &lt;i&gt;hello&lt;/i&gt;", "<option selected>PUT")
	p = s.post("functions/shop/requests/"+id[1], url.Values{"method": {"GET"}, "path": {"/open?n=2"}, "as": {"function"}})
	s.want(p, 200, "&#34;method&#34;:&#34;GET&#34;", "Request <code>"+id[1])
}

// A private function has no address, and its requests are sent as it calls others.
func TestRequests_OfPrivateFunction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployWith("inner", talking, `, "visibility": "private"`, api.DeployRequest{})
	page := "functions/inner/requests/new"
	s.want(s.post(page, url.Values{"method": {"GET"}, "path": {"/guarded"}, "as": {"caller"}}), 200, "function_not_found")
	s.want(s.post(page, url.Values{"method": {"GET"}, "path": {"/guarded"}, "as": {"function"}}), 200, "&#34;how&#34;:&#34;function&#34;")
}

// Who may send requests can do by that what their key can do at the gateway, and
// reach the function that is named and no other.
func TestRequests_SentReachNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("shop", talking)
	s.deployWith("inner", talking, `, "visibility": "private"`, api.DeployRequest{})
	for _, path := range []string{"/../inner/open", "/%2e%2e/inner/open", "/..;/inner/open", "/x/../../inner/open", "/%2F..%2Finner/open", `/..\inner\open`, "//../inner/open", "/?/../../fn/inner/nosuch", "/.%2e/inner/open"} {
		for _, as := range []string{api.AsCaller, api.AsFunction, api.AsNobody} {
			if got, err := s.api.SendRequest(s.Context(), "shop", api.SendRequest{Path: path, As: as}); err == nil && got.Status < 400 {
				t.Errorf("%s as %s: %d %s", path, as, got.Status, got.Body)
			}
		}
	}
	for _, host := range []string{"inner.internal", "inner.localhost"} {
		got, err := s.api.SendRequest(s.Context(), "shop", api.SendRequest{Path: "/nosuch", As: api.AsFunction, Headers: map[string]string{"Host": host, "X-Forwarded-Host": host, "X-Postern-Token": "x", "X-Postern-Hops": "1"}})
		if err != nil || got.Status != 404 || len(got.Dropped) != 4 {
			t.Errorf("host %s: %v %+v", host, err, got)
		}
	}
	made, err := s.api.CreateKey(s.Context(), api.CreateKeyRequest{DisplayName: "of another group", Scopes: []string{"invoke", "control"}, Groups: []string{"partners"}})
	if err != nil {
		t.Fatal(err)
	}
	grouped := &api.Client{Server: s.api.Server, ProjectID: s.project, KeyID: made.AccessKey.AccessKeyID, Secret: made.Secret}
	if got, err := grouped.SendRequest(s.Context(), "shop", api.SendRequest{Path: "/guarded"}); err != nil || got.Status != 403 || !strings.Contains(got.Body, "not_allowed") {
		t.Errorf("a key of another group: %v %+v", err, got)
	}
	if err := s.api.RevokeKey(s.Context(), made.AccessKey.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	if got, err := grouped.SendRequest(s.Context(), "shop", api.SendRequest{Path: "/guarded"}); err == nil {
		t.Errorf("a revoked key: %+v", got)
	}
}

// A user has no key to send a request with, and is told what to do instead.
func TestRequests_SentByUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("shop", talking)
	if _, err := s.api.CreateUser(s.Context(), api.CreateUserRequest{Name: "ann", Password: "correct horse battery"}); err != nil {
		t.Fatal(err)
	}
	s.post("/signout", nil)
	s.signIn(url.Values{"username": {"ann"}, "password": {"correct horse battery"}})
	page := "functions/shop/requests/new"
	s.want(s.get(page), 200, `value="caller" disabled`, `value="function" checked`, "who has no key to call with")
	s.want(s.post(page, url.Values{"method": {"GET"}, "path": {"/guarded"}, "as": {"caller"}}), 403, "opens no function itself", "send it as the function or as nobody")
	s.want(s.post(page, url.Values{"method": {"GET"}, "path": {"/guarded"}, "as": {"function"}}), 200, "&#34;how&#34;:&#34;function&#34;")
}
