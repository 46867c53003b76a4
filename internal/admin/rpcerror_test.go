package admin_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
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

// The document tells of the shape that is sent.
func TestShapeOfErrors_IsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 0
	for path, item := range w.openAPI.Paths {
		rpc := strings.Contains(path, "accessKeys") || strings.Contains(path, "subprojects")
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Head, item.Patch} {
			if op == nil {
				continue
			}
			for _, status := range []string{"401", "403", "429", "500"} {
				if op.Responses[status] == nil {
					t.Errorf("%s: %s is not documented", op.OperationID, status)
				}
			}
			for status, res := range op.Responses {
				if status < "400" {
					continue
				}
				n++
				if (res.Content["application/json"] != nil) != rpc || (res.Content["application/problem+json"] != nil) == rpc || rpc && status == "422" {
					t.Errorf("%s: %s is documented as %v", op.OperationID, status, slices.Collect(maps.Keys(res.Content)))
				}
			}
		}
	}
	if n < 80 {
		t.Errorf("only %d error answers found", n)
	}
	for _, name := range []string{"Problem", "RPCError", "RPCStatus", "RPCInfo"} {
		if w.openAPI.Components.Schemas.Map()[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
}

// With the database away nothing is let in that needs to be looked up, and
// nothing is told of it.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub := w.subproject(t, w.project)
	w.db.Close()
	for _, path := range []string{"/v1/projects/" + sub + "/accessKeys", "/v1/projects/" + sub + "/functions", "/v1/subprojects/" + sub, w.keys()} {
		rec, p := w.do("GET", path, w.key["admin"], "")
		if rec.Code < 500 || strings.Contains(rec.Body.String(), "sql") || p.RequestID == "" {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if !strings.Contains(w.log.String(), p.RequestID) || !strings.Contains(w.log.String(), "control operation failed") {
			t.Errorf("%s: the log has no reason", path)
		}
	}
}

// An ID that none can have is like one that none has, whatever is in it.
func TestStrangeIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"%00", "%ff", "%27%20OR%201=1", "pak_", strings.ToUpper(w.id["admin"]), w.id["admin"] + "0", "*", "..%2f", "%2e%2e"} {
		for method, path := range map[string]string{"GET": w.keys() + "/" + id, "PATCH": w.keys() + "/" + id, "POST": w.keys() + "/" + id + "/rotate", "DELETE": w.keys() + "/" + id} {
			if rec, p := w.do(method, path, w.key["admin"], `{}`); rec.Code != 404 || p.Code != "not_found" {
				t.Errorf("%s %s: %d %s", method, path, rec.Code, rec.Body)
			}
		}
		if rec, p := w.do("GET", "/v1/projects/"+id+"/accessKeys", w.key["admin"], ""); rec.Code != 403 && rec.Code != 404 || p.RequestID == "" {
			t.Errorf("project %s: %d %s", id, rec.Code, rec.Body)
		}
		if rec, p := w.do("GET", "/v1/subprojects/"+id, w.key["admin"], ""); rec.Code != 404 || p.RequestID == "" {
			t.Errorf("subproject %s: %d %s", id, rec.Code, rec.Body)
		}
	}
}
