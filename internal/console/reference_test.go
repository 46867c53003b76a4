package console_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var operations = regexp.MustCompile(`href="/console(/p/[^"]*/api/[A-Za-z]+)"`)

func TestReference(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.get("api")
	s.want(p, 200, "<h2>Access keys</h2>", "Make an access key", "/v1/projects/{projectId}/gateway/matrix", "OpenAPI document")
	s.want(s.get("api?q=ROTATE"), 200, "Give an access key a new secret")
	s.no(s.get("api?q=ROTATE"), "Make an access key")
	s.want(s.get("api?q="+url.QueryEscape(hostile)), 200, "No operation is like that", "&lt;script&gt;")
	s.want(s.get("api/nothing"), 404, "the API has no such operation")
	all := operations.FindAllStringSubmatch(p.body, -1)
	if len(all) < 40 {
		t.Fatalf("%d operations", len(all))
	}
	for _, m := range all {
		one := s.get(m[1])
		s.want(one, 200, "<h2>Answers</h2>", "With curl")
		s.no(one, "$ref", "&lt;nil&gt;")
	}
	s.want(s.get("api/createAccessKey"), 200, "displayName", "required", "1 to 100 characters", "One of invoke, control.", "quota", "<code>limit</code>", "&#34;displayName&#34;: &#34;&#34;")
	s.want(s.get("api/putArtefact"), 200, "application/octet-stream")
	s.no(s.get("api/putArtefact"), "<h2>Try it</h2>")
}

func TestReference_TriesOperations(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key := func(more ...string) url.Values {
		form := url.Values{"path.projectId": {s.project}, "body": {`{"displayName": "tried <b>"}`}}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return form
	}
	s.want(s.post("api/listAccessKeys", key()), 200, "200 OK", "&#34;displayName&#34;: &#34;administrator&#34;")
	s.want(s.post("api/getAccessKey", key()), 422, "accessKeyId is missing")
	s.want(s.post("api/getAccessKey", key("path.accessKeyId", "..")), 422, "accessKeyId is no name of anything")
	s.want(s.post("api/getAccessKey", key("path.accessKeyId", "../../whoami")), 200, "404 Not Found", "the control plane has nothing at this path")
	s.want(s.post("api/listAccessKeys", key("query.pageSize", "0")), 200, "400 Bad Request", `value="0"`)
	s.want(s.post("api/listAccessKeys", key("path.projectId", "prj_none")), 200, "403 Forbidden")
	s.want(s.post("api/createAccessKey", key("body", "{")), 422, "the body is no JSON", "Try it")
	s.want(s.post("api/putArtefact", key()), 422, "this operation cannot be tried here")
	if p := s.post("api/createAccessKey", url.Values{"csrf": {"no"}, "confirmed": {"yes"}, "path.projectId": {s.project}, "body": {`{"displayName": "forged"}`}}); p.status != 403 {
		t.Errorf("without the form's token: %d", p.status)
	}
	asked := s.post("api/createAccessKey", key())
	s.want(asked, 200, "This changes something. Send it?", "tried &lt;b&gt;", `name="confirmed" value="yes"`)
	list, err := s.api.Keys(t.Context(), "", false)
	if err != nil || len(list.AccessKeys) != 1 {
		t.Fatalf("something was done before it was confirmed: %+v, %v", list, err)
	}
	done := s.post("api/createAccessKey", key("confirmed", "yes"))
	s.want(done, 200, "200 OK", "&#34;secret&#34;: &#34;psk_")
	if done.header.Get("Cache-Control") != "no-store" {
		t.Errorf("kept: %v", done.header)
	}
	if list, err = s.api.Keys(t.Context(), "", false); err != nil || len(list.AccessKeys) != 2 || !strings.Contains(list.AccessKeys[1].DisplayName, "<b>") {
		t.Errorf("%+v, %v", list, err)
	}
	s.want(s.post("api/revokeAccessKey", key("path.accessKeyId", list.AccessKeys[1].AccessKeyID, "confirmed", "yes")), 200, "200 OK")
}
