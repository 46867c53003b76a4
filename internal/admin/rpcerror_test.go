package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/accesskey"
)

// On the paths of access keys and subprojects every refusal has the shape that
// clients of these APIs read, whoever says it; on all others it has not.
func TestShapeOfErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	project := "/v1/projects/" + w.project
	keys, subs := project+"/accessKeys", project+"/subprojects"
	for _, tc := range []struct {
		name, method, path, who, body string
		status                        int
		rpc, reason                   string // rpc "": problem+json
	}{
		{"nobody", "GET", keys, "", "", 401, "UNAUTHENTICATED", "unauthenticated"},
		{"a stranger", "POST", keys, accesskey.NewSecret().Reveal(), `{}`, 401, "UNAUTHENTICATED", "unauthenticated"},
		{"nobody, a subproject", "GET", "/v1/subprojects/prj_1", "", "", 401, "UNAUTHENTICATED", "unauthenticated"},
		{"no scope", "DELETE", keys + "/pak_1", w.key["invoke"], "", 403, "PERMISSION_DENIED", "not_allowed"},
		{"another project", "GET", "/v1/projects/" + w.elsewhere + "/accessKeys", w.key["control"], "", 403, "PERMISSION_DENIED", "not_allowed"},
		{"no such key", "GET", keys + "/pak_1", w.key["control"], "", 404, "NOT_FOUND", "not_found"},
		{"no such subproject", "GET", "/v1/subprojects/prj_1", w.key["control"], "", 404, "NOT_FOUND", "not_found"},
		{"validation", "POST", keys, w.key["control"], `{"displayName":1}`, 400, "INVALID_ARGUMENT", "invalid_request"},
		{"no JSON", "POST", subs, w.key["control"], `{`, 400, "INVALID_ARGUMENT", "invalid_request"},
		{"a path that is too long", "GET", keys + "/" + strings.Repeat("x", 65), w.key["control"], "", 400, "INVALID_ARGUMENT", "invalid_request"},
		{"taken", "POST", keys, w.key["control"], `{"displayName":"invoke","scopes":["control"]}`, 409, "ALREADY_EXISTS", "display_name_taken"},
		{"no such method", "PUT", keys, w.key["control"], "", 405, "UNIMPLEMENTED", "method_not_allowed"},
		{"no such method, one key", "POST", keys + "/pak_1", w.key["control"], `{}`, 405, "UNIMPLEMENTED", "method_not_allowed"},
		{"no such path", "GET", keys + "/pak_1/secret", w.key["control"], "", 404, "NOT_FOUND", "not_found"},
		{"no such path below subprojects", "GET", "/v1/subprojects", w.key["control"], "", 404, "NOT_FOUND", "not_found"},
		{"too large", "POST", keys, w.key["control"], `{"displayName":"` + strings.Repeat("x", 1<<17) + `"}`, 413, "INVALID_ARGUMENT", "body_too_large"},
		{"functions", "GET", project + "/functions/none", w.key["control"], "", 404, "", "function_not_found"},
		{"a function of that name", "GET", project + "/functions/accessKeys", w.key["control"], "", 404, "", "function_not_found"},
		{"functions, nobody", "GET", project + "/functions", "", "", 401, "", "unauthenticated"},
		{"functions, validation", "GET", project + "/functions?pageSize=x", w.key["control"], "", 422, "", "invalid_request"},
		{"elsewhere", "GET", "/v1/accessKeys", w.key["control"], "", 404, "", "not_found"},
		{"an encoded slash", "GET", "/v1/projects/a%2FaccessKeys", w.key["control"], "", 404, "", "not_found"},
	} {
		rec, p := w.do(tc.method, tc.path, tc.who, tc.body)
		var body map[string]map[string]any
		rpc := json.Unmarshal(rec.Body.Bytes(), &body) == nil
		if rec.Code != tc.status || p.Code != tc.reason || rpc != (tc.rpc != "") || (rec.Header().Get("Content-Type") == "application/json") != rpc {
			t.Errorf("%s: %d %s %s", tc.name, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
			continue
		}
		if challenge, _ := rec.Header()["www-authenticate"]; (tc.status == 401) != (len(challenge) == 1) || strings.Contains(strings.Join(challenge, ""), "expired") {
			t.Errorf("%s: challenge %q", tc.name, challenge)
		}
		if tc.status == 405 && rec.Header().Get("Allow") == "" {
			t.Errorf("%s: no Allow", tc.name)
		}
		if !rpc {
			continue
		}
		want := map[string]map[string]any{"error": {"code": float64(tc.status), "message": p.Detail, "status": tc.rpc, "details": []any{map[string]any{
			"type": "ErrorInfo", "reason": tc.reason, "domain": "postern", "metadata": map[string]any{"hint": p.Hint, "requestId": rec.Header().Get("X-Request-Id")}}}}}
		if d := cmp.Diff(want, body); d != "" || p.Detail == "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
		if lines := w.audit(t); tc.status != 405 && tc.status != 404 && lines[len(lines)-1]["status"] != float64(tc.status) {
			t.Errorf("%s: recorded as %v", tc.name, lines[len(lines)-1])
		}
	}
}
