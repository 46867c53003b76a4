package admin_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func (w *world) keys() string { return "/v1/projects/" + w.project + "/accessKeys" }

// subproject makes one named "sub" and returns its ID.
func (w *world) subproject(t *testing.T, parent string) string {
	t.Helper()
	p := platform.Project{ID: function.NewProjectID(time.Now()), Name: "sub", ParentID: parent, CreatedAt: time.Now()}
	if err := w.db.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p.ID
}

// ask makes a call that must succeed and decodes its answer.
func ask[T any](t *testing.T, w *world, method, path, secret, body string) (out T) {
	t.Helper()
	rec, _ := w.do(method, path, secret, body)
	if rec.Code != 200 {
		t.Fatalf("%s %s %s: %d %s", method, path, body, rec.Code, rec.Body)
	}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, rec.Body)
		}
	}
	return out
}

// create makes a key in the world's project.
func (w *world) create(t *testing.T, by, body string) api.CreatedKey {
	t.Helper()
	return ask[api.CreatedKey](t, w, "POST", w.keys(), w.key[by], body)
}

// opens reports whether a secret is let in; a key for invoking alone is known
// by its 403.
func (w *world) opens(secret string) bool {
	rec, _ := w.do("GET", "/v1/whoami", secret, "")
	return rec.Code != 401
}

func TestKeys_Life(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.create(t, "admin", `{"displayName":" billing ","scopes":["invoke","control"],"groups":["a","b.c"],"allowedCidrs":["192.0.2.0/24"],"ratePerSecond":5,
		"quota":{"limit":100,"per":"month"},"metadata":{"team":"x"},"expireTime":"2099-01-01T01:00:00+01:00"}`)
	k := made.AccessKey
	if k.DisplayName != "billing" || k.ProjectID != w.project || len(k.Scopes) != 2 || len(k.Groups) != 2 || k.AllowedCIDRs[0] != "192.0.2.0/24" || k.RatePerSecond != 5 || *k.Quota != (api.Quota{Limit: 100, Per: "month"}) ||
		k.Metadata["team"] != "x" || !k.ExpireTime.Equal(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)) || !k.CreateTime.Equal(k.UpdateTime) || k.LastUsedTime != nil {
		t.Errorf("made: %+v", k)
	}
	if !accesskey.WellFormed(made.Secret) || !w.opens(made.Secret) { // at once; httptest's address is 192.0.2.1
		t.Error("the new key opens nothing")
	}
	one := w.keys() + "/" + k.AccessKeyID
	got := ask[api.AccessKey](t, w, "GET", one, w.key["control"], "")
	if a, b := asJSON(got), asJSON(k); a != b {
		t.Errorf("read back:\n%s\nmade:\n%s", a, b)
	}
	for _, path := range []string{one, w.keys()} {
		if rec, _ := w.do("GET", path, w.key["control"], ""); strings.Contains(rec.Body.String(), made.Secret) || strings.Contains(rec.Body.String(), "hash") || !strings.Contains(rec.Body.String(), k.AccessKeyID) {
			t.Errorf("%s: %s", path, rec.Body)
		}
	}
	rec, _ := w.do("DELETE", one, w.key["control"], "")
	if rec.Code != 200 || rec.Body.Len() != 0 {
		t.Errorf("revoke: %d %q", rec.Code, rec.Body)
	}
	if w.opens(made.Secret) {
		t.Error("a revoked key is let in")
	}
	for _, call := range [][3]string{{"PATCH", one, `{"displayName":"y"}`}, {"POST", one + "/rotate", `{}`}, {"GET", one + "/reach", ""}} {
		if rec, p := w.do(call[0], call[1], w.key["control"], call[2]); rec.Code != 404 || p.Code != "not_found" {
			t.Errorf("%s of a revoked key: %d %s", call[:2], rec.Code, rec.Body)
		}
	}
	ended := ask[api.AccessKey](t, w, "GET", one, w.key["control"], "")
	if ended.State != "revoked" || ended.RevokeTime == nil || ended.DisplayName != k.DisplayName || ended.PreviousSecretExpireTime != nil {
		t.Errorf("what a revoked key was: %+v", ended)
	}
	w.create(t, "admin", `{"displayName":"billing"}`) // its name is free again
	bound := w.create(t, "admin", `{"displayName":"bound","binding":"mtls","certThumbprint":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`)
	if rec, p := w.do("GET", "/v1/whoami", bound.Secret, ""); bound.AccessKey.Binding != "mtls" || bound.AccessKey.CertThumbprint == "" || p.Code != "token_required" {
		t.Errorf("bound: %+v, %d %s", bound.AccessKey, rec.Code, rec.Body)
	}
}

func asJSON(v any) string { b, _ := json.Marshal(v); return string(b) }

// What a key may hold is said field by field.
func TestCreateKey_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(t, "admin", `{"displayName":"taken"}`)
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	secret := accesskey.NewSecret().Reveal()
	type refusal struct {
		status     int
		rpc, names string // the status's name, and what the message must name
	}
	bad := func(field string) refusal { return refusal{400, "INVALID_ARGUMENT", field} }
	for body, want := range map[string]refusal{
		`{"displayName":"taken"}`:                              {409, "ALREADY_EXISTS", "taken"},
		`{"displayName":"` + strings.Repeat("x", 70000) + `"}`: {413, "INVALID_ARGUMENT", "body"},
		`{"displayName":""}`:                                   bad("displayName"),
		`{"displayName":"  "}`:                                 bad("displayName"),
		`{}`:                                                   bad("displayName"),
		`{"displayName":7}`:                                    bad("displayName"),
		`{"displayName":null}`:                                 bad("displayName"),
		`{"displayName":"a\u0007b"}`:                           bad("displayName"),
		`{"displayName":"a\nb"}`:                               bad("displayName"),
		`{"displayName":"a\u202eb"}`:                           bad("displayName"),
		`{"displayName":"function:x"}`:                         bad("displayName"),
		`{"displayName":"` + accesskey.NewID(time.Now()) + `"}`: bad("displayName"),
		`{"displayName":"` + strings.Repeat("é", 101) + `"}`:    bad("displayName"),
		`{"displayName":`:                 bad(""),
		`[]`:                              bad(""),
		``:                                bad("body"),
		`{"displayName":"x","unknown":1}`: bad("unknown"),
		`{"displayName":"x","secret":"` + secret + `"}`:                                                        bad("secret"),
		`{"displayName":"x","projectId":"prj_1"}`:                                                              bad("projectId"),
		`{"displayName":"x","scopes":["admin"]}`:                                                               bad("scopes"),
		`{"displayName":"x","scopes":["invoke","invoke"]}`:                                                     bad("scopes"),
		`{"displayName":"x","scopes":"invoke"}`:                                                                bad("scopes"),
		`{"displayName":"x","groups":["a","a"]}`:                                                               bad("groups"),
		`{"displayName":"x","groups":["a b"]}`:                                                                 bad("groups"),
		`{"displayName":"x","groups":[""]}`:                                                                    bad("groups"),
		`{"displayName":"x","groups":["` + strings.Repeat("g", 65) + `"]}`:                                     bad("groups"),
		`{"displayName":"x","groups":[` + many(33, `"g%d"`) + `]}`:                                             bad("groups"),
		`{"displayName":"x","allowedCidrs":["10.0.0.1"]}`:                                                      bad("allowedCidrs"),
		`{"displayName":"x","allowedCidrs":["10.0.0.1/8"]}`:                                                    bad("allowedCidrs"),
		`{"displayName":"x","allowedCidrs":["::ffff:10.0.0.0/104"]}`:                                           bad("allowedCidrs"),
		`{"displayName":"x","allowedCidrs":["fe80::%eth0/64"]}`:                                                bad("allowedCidrs"),
		`{"displayName":"x","allowedCidrs":[` + many(65, `"10.0.%d.0/24"`) + `]}`:                              bad("allowedCidrs"),
		`{"displayName":"x","ratePerSecond":-1}`:                                                               bad("ratePerSecond"),
		`{"displayName":"x","ratePerSecond":1.5}`:                                                              bad("ratePerSecond"),
		`{"displayName":"x","ratePerSecond":1000001}`:                                                          bad("ratePerSecond"),
		`{"displayName":"x","quota":{"limit":-1}}`:                                                             bad("quota"),
		`{"displayName":"x","quota":{"limit":5,"per":"year"}}`:                                                 bad("quota"),
		`{"displayName":"x","quota":{"limit":9223372036854775808}}`:                                            bad("quota"),
		`{"displayName":"x","quota":{}}`:                                                                       bad("quota"),
		`{"displayName":"x","binding":"tls"}`:                                                                  bad("binding"),
		`{"displayName":"x","certThumbprint":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`:                   bad("certThumbprint"),
		`{"displayName":"x","binding":"dpop","certThumbprint":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`:  bad("certThumbprint"),
		`{"displayName":"x","binding":"mtls","certThumbprint":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}`: bad("certThumbprint"),
		`{"displayName":"x","binding":"mtls","certThumbprint":"47DEQpj8HBSa"}`:                                 bad("certThumbprint"),
		`{"displayName":"x","expireTime":"2001-01-01T00:00:00Z"}`:                                              bad("expireTime"),
		`{"displayName":"x","expireTime":"tomorrow"}`:                                                          bad("expireTime"),
		`{"displayName":"x","expireTime":"9999-12-31T23:59:59-12:00"}`:                                         bad("expireTime"),
		`{"displayName":"x","metadata":{"a":1}}`:                                                               bad("metadata"),
		`{"displayName":"x","metadata":{"":"v"}}`:                                                              bad("metadata"),
		`{"displayName":"x","metadata":{"a":"b\u001b[31m"}}`:                                                   bad("metadata"),
		`{"displayName":"x","metadata":{"` + strings.Repeat("k", 65) + `":"v"}}`:                               bad("metadata"),
		`{"displayName":"x","metadata":{"k":"` + strings.Repeat("v", 257) + `"}}`:                              bad("metadata"),
		`{"displayName":"x","metadata":{` + many(33, `"k%d":"v"`) + `}}`:                                       bad("metadata"),
		`{"displayName":"x","metadata":{"k":"` + secret + `"}}`:                                                bad("metadata"),
		`{"displayName":"x","servicePlanId":"a/b"}`:                                                            bad("servicePlanId"),
		`{"displayName":"x","servicePlanId":"` + strings.Repeat("p", 65) + `"}`:                                bad("servicePlanId"),
		`{"displayName":"x","servicePlanId":"p","scopes":["invoke","control"]}`:                                bad("scopes"),
		`{"displayName":"x","servicePlanId":"p","binding":"dpop"}`:                                             bad("binding"),
	} {
		rec, p := w.do("POST", w.keys(), w.key["admin"], body)
		var shape struct{ Error struct{ Status string } }
		json.Unmarshal(rec.Body.Bytes(), &shape)
		if rec.Code != want.status || p.Status != rec.Code || shape.Error.Status != want.rpc || !strings.Contains(p.Detail, want.names) || p.Hint == "" || p.RequestID != rec.Header().Get("X-Request-Id") || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%.90s: %d %s %s", body, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
		}
		if strings.Contains(rec.Body.String(), secret) {
			t.Errorf("%.90s: the answer repeats a secret: %s", body, rec.Body)
		}
	}
	if list := ask[api.AccessKeys](t, w, "GET", w.keys(), w.key["control"], ""); len(list.AccessKeys) != 5 {
		t.Errorf("%d keys", len(list.AccessKeys))
	}
}

// What is absent stays; what is empty takes a limit away; what is refused
// changes nothing.
func TestUpdateKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.create(t, "admin", `{"displayName":"k","groups":["g"],"allowedCidrs":["10.0.0.0/8"],"ratePerSecond":5,"quota":{"limit":9},"metadata":{"a":"b"},"expireTime":"2099-01-01T00:00:00Z","binding":"mtls","certThumbprint":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`)
	w.create(t, "admin", `{"displayName":"other"}`)
	one := w.keys() + "/" + made.AccessKey.AccessKeyID
	steps := []struct {
		name, body string
		change     func(*api.AccessKey)
	}{
		{"nothing", `{}`, func(*api.AccessKey) {}},
		{"null is absent", `{"groups":null,"scopes":null}`, func(*api.AccessKey) {}},
		{"its name", `{"displayName":"renamed"}`, func(k *api.AccessKey) { k.DisplayName = "renamed" }},
		{"its own name again", `{"displayName":"renamed"}`, func(*api.AccessKey) {}},
		{"more scopes", `{"scopes":["control","invoke"]}`, func(k *api.AccessKey) { k.Scopes = []string{"control", "invoke"} }},
		{"metadata as a whole", `{"metadata":{"c":"d"}}`, func(k *api.AccessKey) { k.Metadata = map[string]string{"c": "d"} }},
		{"another quota", `{"quota":{"limit":1000000000000,"per":"month"}}`, func(k *api.AccessKey) { k.Quota = &api.Quota{Limit: 1e12, Per: "month"} }},
		{"no groups", `{"groups":[]}`, func(k *api.AccessKey) { k.Groups = nil }},
		{"no networks", `{"allowedCidrs":[]}`, func(k *api.AccessKey) { k.AllowedCIDRs = nil }},
		{"no rate", `{"ratePerSecond":0}`, func(k *api.AccessKey) { k.RatePerSecond = 0 }},
		{"no quota", `{"quota":{"limit":0}}`, func(k *api.AccessKey) { k.Quota = nil }},
		{"no metadata", `{"metadata":{}}`, func(k *api.AccessKey) { k.Metadata = nil }},
		{"no certificate", `{"certThumbprint":""}`, func(k *api.AccessKey) { k.CertThumbprint = "" }},
		{"no binding", `{"binding":"none"}`, func(k *api.AccessKey) { k.Binding = "" }},
		{"no expiry", `{"expireTime":""}`, func(k *api.AccessKey) { k.ExpireTime = nil }},
	}
	want := made.AccessKey
	for _, step := range steps {
		got := ask[api.AccessKey](t, w, "PATCH", one, w.key["admin"], step.body)
		step.change(&want)
		if got.UpdateTime.Before(want.UpdateTime) {
			t.Errorf("%s: updateTime goes back", step.name)
		}
		want.UpdateTime, want.Used, got.Used = got.UpdateTime, nil, nil
		if a, b := asJSON(got), asJSON(want); a != b {
			t.Errorf("%s:\n%s\nwant\n%s", step.name, a, b)
		}
	}
	for body, field := range map[string]string{
		`{"displayName":"other"}`: "other", `{"displayName":""}`: "displayName", `{"displayName":"ok","scopes":[]}`: "scopes", `{"displayName":"ok","groups":["!"]}`: "groups", `{"displayName":"ok","allowedCidrs":["x"]}`: "allowedCidrs",
		`{"displayName":"ok","ratePerSecond":-1}`: "ratePerSecond", `{"displayName":"ok","binding":""}`: "binding", `{"displayName":"ok","certThumbprint":"x"}`: "certThumbprint", `{"displayName":"ok","expireTime":"2001-01-01T00:00:00Z"}`: "expireTime",
		`{"displayName":"ok","servicePlanId":"p"}`: "servicePlanId", `{"displayName":"ok","accessKeyId":"pak_1"}`: "accessKeyId", `{"displayName":"ok","projectId":"` + w.elsewhere + `"}`: "projectId", `{"displayName":"ok","metadata":{"":""}}`: "metadata",
	} {
		rec, p := w.do("PATCH", one, w.key["admin"], body)
		if rec.Code != 400 && (rec.Code != 409 || field != "other") || !strings.Contains(p.Detail, field) {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	if got := ask[api.AccessKey](t, w, "GET", one, w.key["control"], ""); asJSON(got) != asJSON(want) {
		t.Errorf("a refused change changed something:\n%s\nwant\n%s", asJSON(got), asJSON(want))
	}
	if !w.opens(made.Secret) {
		t.Error("after all changes the secret opens nothing")
	}
}

func TestListKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := platform.Function{ID: function.NewFunctionID(time.Now()), ProjectID: w.project, Name: "f"}
	id := accesskey.NewID(time.Now())
	if _, err := w.db.Deploy(t.Context(), platform.DeployInput{Function: f,
		Deployment: platform.Deployment{ID: "dep_1", FunctionID: f.ID, ProjectID: w.project, KeyID: id, Handlers: []platform.Handler{{Name: "a"}}, CreatedAt: time.Now()},
		Key:        platform.AccessKey{ID: id, ProjectID: w.project, DisplayName: "function:f", FunctionID: f.ID, SecretHash: sha256.Sum256([]byte("f")), Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	walk := func(query string) (names []string) {
		token := ""
		for {
			page := ask[api.AccessKeys](t, w, "GET", w.keys()+"?pageSize=2&pageToken="+token+query, w.key["control"], "")
			for _, k := range page.AccessKeys {
				names = append(names, k.DisplayName)
			}
			if token = page.NextPageToken; token == "" {
				slices.Sort(names) // by ID, which is by millisecond and then by chance
				return names
			}
		}
	}
	if got := strings.Join(walk(""), " "); got != "admin control expired invoke" {
		t.Errorf("in pages: %s", got)
	}
	if got := strings.Join(walk("&includeFunctionKeys=true"), " "); got != "admin control expired function:f invoke" {
		t.Errorf("all, in pages: %s", got)
	}
	for query, want := range map[string]string{
		"&query=CON": "control", "&query=%25": "", "&query=_": "", "&query=%5C": "", "&query=%27": "", "&query=%00": "", "&query=%FF": "", "&query=" + w.id["invoke"][:30]: "invoke", "&query=n&includeFunctionKeys=true": "admin control function:f invoke",
		"&state=live": "admin control invoke", "&state=expired": "expired", "&state=expiring": "", "&state=revoked": "", "&state=expired&query=control": "", "&order=newest": "admin control expired invoke", "&servicePlans=true": "",
	} {
		if got := strings.Join(walk(query), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, field := range map[string]string{
		"query=" + strings.Repeat("a", 101): "query", "state=dead": "state", "order=up": "order", "withTotal=maybe": "withTotal",
		"pageToken=x": "pageToken", "pageToken=pak_": "pageToken", "pageToken=" + strings.ToUpper(id): "pageToken", "pageToken=" + strings.Repeat("a", 65): "pageToken", "pageToken=%00": "pageToken",
		"pageSize=0": "pageSize", "pageSize=1001": "pageSize", "pageSize=-1": "pageSize", "pageSize=x": "pageSize", "includeFunctionKeys=maybe": "includeFunctionKeys",
	} {
		if rec, p := w.do("GET", w.keys()+"?"+query, w.key["control"], ""); rec.Code != 400 || p.Code != "invalid_request" || !strings.Contains(p.Detail, field) {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
	// A function's own key is shown, and ended, and otherwise its deploy's affair.
	one := w.keys() + "/" + id
	if k := ask[api.AccessKey](t, w, "GET", one, w.key["control"], ""); k.FunctionID != f.ID {
		t.Errorf("the function's key: %+v", k)
	}
	for path, method := range map[string]string{one: "PATCH", one + "/rotate": "POST"} {
		if rec, p := w.do(method, path, w.key["admin"], `{}`); rec.Code != 400 || p.Code != "key_of_function" || !strings.Contains(rec.Body.String(), "FAILED_PRECONDITION") {
			t.Errorf("%s %s: %d %s", method, path, rec.Code, rec.Body)
		}
	}
	if rec, _ := w.do("DELETE", one, w.key["control"], ""); rec.Code != 200 {
		t.Errorf("end a function's key: %d %s", rec.Code, rec.Body)
	}
}

// Newest first is the order of making turned round, each key says how it stands,
// and a list is counted when that is asked for.
func TestListKeys_StateAndTotal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	soon := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	made := w.create(t, "admin", `{"displayName":"soon","expireTime":"`+soon+`"}`)
	gone := w.create(t, "admin", `{"displayName":"gone"}`)
	ask[struct{}](t, w, "DELETE", w.keys()+"/"+gone.AccessKey.AccessKeyID, w.key["admin"], "")
	page := ask[api.AccessKeys](t, w, "GET", w.keys()+"?order=newest&pageSize=2&withTotal=true", w.key["control"], "")
	if page.Total == nil || *page.Total != (api.Total{Count: 5}) || page.AccessKeys[0].AccessKeyID != made.AccessKey.AccessKeyID || page.AccessKeys[0].State != "expiring" || page.AccessKeys[1].State == "expiring" {
		t.Errorf("the first page: %+v, total %+v", page.AccessKeys, page.Total)
	}
	page = ask[api.AccessKeys](t, w, "GET", w.keys()+"?state=revoked&withTotal=true", w.key["control"], "")
	if page.Total == nil || page.Total.Count != 1 || len(page.AccessKeys) != 1 || page.AccessKeys[0].State != "revoked" || page.AccessKeys[0].RevokeTime == nil {
		t.Errorf("revoked: %+v, total %+v", page.AccessKeys, page.Total)
	}
	if page := ask[api.AccessKeys](t, w, "GET", w.keys(), w.key["control"], ""); page.Total != nil {
		t.Error("counted, and nobody asked")
	}
}

// A request that is sent twice makes one key, and rotates once.
func TestKeys_SentTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	id := accesskey.NewID(now)
	made := w.create(t, "admin", `{"displayName":"once","accessKeyId":"`+id+`"}`)
	if made.AccessKey.AccessKeyID != id || !w.opens(made.Secret) {
		t.Fatalf("made %+v", made.AccessKey)
	}
	for body, code := range map[string]string{
		`{"displayName":"once","accessKeyId":"` + id + `"}`:                                   "key_exists",
		`{"displayName":"other","accessKeyId":"` + id + `"}`:                                  "key_exists",
		`{"displayName":"x","accessKeyId":"` + w.id["elsewhere"] + `"}`:                       "key_exists",
		`{"displayName":"x","accessKeyId":"` + strings.ToUpper(accesskey.NewID(now)) + `"}`:   "invalid_request",
		`{"displayName":"x","accessKeyId":"` + accesskey.NewID(now.Add(-25*time.Hour)) + `"}`: "invalid_request",
		`{"displayName":"x","accessKeyId":"` + accesskey.NewID(now.Add(time.Hour)) + `"}`:     "invalid_request",
		`{"displayName":"x","accessKeyId":"pak_"}`:                                            "invalid_request",
		`{"displayName":"x","accessKeyId":"` + accesskey.NewID(now) + `' OR 1=1"}`:            "invalid_request",
	} {
		if rec, p := w.do("POST", w.keys(), w.key["admin"], body); p.Code != code || strings.Contains(rec.Body.String(), "psk_") {
			t.Errorf("%s: %d %s, want %s", body, rec.Code, rec.Body, code)
		}
	}
	one := w.keys() + "/" + id
	seen := func(k api.AccessKey) string {
		return `"expectUpdateTime":"` + k.UpdateTime.Format(time.RFC3339Nano) + `"`
	}
	changed := ask[api.AccessKey](t, w, "PATCH", one, w.key["admin"], `{"ratePerSecond":7,`+seen(made.AccessKey)+`}`)
	for path, body := range map[string]string{one: `{"ratePerSecond":8,` + seen(made.AccessKey) + `}`, one + "/rotate": `{` + seen(made.AccessKey) + `}`} {
		method := "PATCH"
		if path != one {
			method = "POST"
		}
		if rec, p := w.do(method, path, w.key["admin"], body); rec.Code != 409 || p.Code != "key_changed" {
			t.Errorf("%s %s: %d %s", method, path, rec.Code, rec.Body)
		}
	}
	rotated := ask[api.RotatedKey](t, w, "POST", one+"/rotate", w.key["admin"], `{`+seen(changed)+`}`)
	if rec, p := w.do("POST", one+"/rotate", w.key["admin"], `{`+seen(changed)+`}`); rec.Code != 409 || p.Code != "key_changed" || !w.opens(rotated.Secret) {
		t.Errorf("rotated again: %d %s", rec.Code, rec.Body)
	}
	ask[struct{}](t, w, "DELETE", one, w.key["admin"], "")
	if _, p := w.do("POST", w.keys(), w.key["admin"], `{"displayName":"once","accessKeyId":"`+id+`"}`); p.Code != "key_exists" {
		t.Errorf("after it was revoked: %s", p.Code)
	}
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.create(t, "admin", `{"displayName":"k"}`)
	one := w.keys() + "/" + made.AccessKey.AccessKeyID
	rotate := func(body string) api.RotatedKey {
		return ask[api.RotatedKey](t, w, "POST", one+"/rotate", w.key["admin"], body)
	}
	for _, body := range []string{`{}`, ``, `{"gracePeriod":0}`} {
		before := made.Secret
		r := rotate(body)
		if made.Secret = r.Secret; r.Secret == before || r.EndedOlderSecret || r.AccessKey.PreviousSecretExpireTime != nil || r.AccessKey.AccessKeyID != made.AccessKey.AccessKeyID || !accesskey.WellFormed(r.Secret) {
			t.Errorf("%q: %+v", body, r.AccessKey)
		}
		if w.opens(before) || !w.opens(r.Secret) {
			t.Errorf("%q: the old secret opens %v, the new one %v", body, w.opens(before), w.opens(r.Secret))
		}
	}
	// With grace the key remembers the secret before, and for how long.
	first := rotate(`{"gracePeriod":2592000}`)
	if at := first.AccessKey.PreviousSecretExpireTime; at == nil || time.Until(*at) < 29*24*time.Hour || time.Until(*at) > 30*24*time.Hour || first.EndedOlderSecret {
		t.Errorf("with grace: %+v", first)
	}
	k, err := w.db.Key(t.Context(), w.project, made.AccessKey.AccessKeyID)
	if err != nil || k.PreviousHash != sha256.Sum256([]byte(made.Secret)) || k.SecretHash != sha256.Sum256([]byte(first.Secret)) || k.Generation != 5 {
		t.Errorf("kept: %+v, %v", k, err)
	}
	if !w.opens(made.Secret) || !w.opens(first.Secret) {
		t.Errorf("within the grace the old secret opens %v, the new one %v", w.opens(made.Secret), w.opens(first.Secret))
	}
	// A rotation during a grace ends the older secret, and says so.
	second := rotate(`{"gracePeriod":60}`)
	if k, _ = w.db.Key(t.Context(), w.project, k.ID); !second.EndedOlderSecret || k.PreviousHash != sha256.Sum256([]byte(first.Secret)) || w.opens(made.Secret) || !w.opens(first.Secret) || !w.opens(second.Secret) {
		t.Errorf("during a grace: %+v, %+v", second, k)
	}
	if third := rotate(`{}`); !third.EndedOlderSecret || third.AccessKey.PreviousSecretExpireTime != nil || w.opens(first.Secret) || w.opens(second.Secret) || !w.opens(third.Secret) {
		t.Errorf("without grace during one: %+v", third.AccessKey)
	}
	k, _ = w.db.Key(t.Context(), w.project, k.ID)
	for body, field := range map[string]string{`{"gracePeriod":-1}`: "gracePeriod", `{"gracePeriod":2592001}`: "gracePeriod", `{"gracePeriod":"60"}`: "gracePeriod", `{"gracePeriod":1.5}`: "gracePeriod", `{"grace":1}`: "grace", `[]`: "", `{`: ""} {
		if rec, p := w.do("POST", one+"/rotate", w.key["admin"], body); rec.Code != 400 || !strings.Contains(p.Detail, field) {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	if rec, p := w.do("POST", w.keys()+"/"+accesskey.NewID(time.Now())+"/rotate", w.key["admin"], `{}`); rec.Code != 404 || p.Code != "not_found" {
		t.Errorf("none: %d %s", rec.Code, rec.Body)
	}
	all := ask[api.AccessKeys](t, w, "GET", w.keys(), w.key["control"], "").AccessKeys
	i := slices.IndexFunc(all, func(k api.AccessKey) bool { return k.DisplayName == "expired" })
	if rec, p := w.do("POST", w.keys()+"/"+all[i].AccessKeyID+"/rotate", w.key["admin"], `{}`); rec.Code != 400 || p.Code != "key_expired" {
		t.Errorf("expired: %d %s", rec.Code, rec.Body)
	}
	if after, _ := w.db.Key(t.Context(), w.project, k.ID); after.Generation != k.Generation || after.SecretHash != k.SecretHash {
		t.Error("a refused rotation rotated")
	}
	for _, secret := range []string{made.Secret, first.Secret, second.Secret} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// A key of a service plan is the plan's static token.
func TestServicePlanToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.create(t, "admin", `{"displayName":"sms","servicePlanId":"abc123"}`)
	if made.AccessKey.ServicePlanID != "abc123" || strings.Join(made.AccessKey.Scopes, " ") != "invoke" {
		t.Errorf("%+v", made.AccessKey)
	}
	one := w.keys() + "/" + made.AccessKey.AccessKeyID
	for _, body := range []string{`{"scopes":["control"]}`, `{"scopes":["invoke","control"]}`, `{"binding":"mtls"}`, `{"servicePlanId":"other"}`} {
		if rec, _ := w.do("PATCH", one, w.key["admin"], body); rec.Code != 400 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	r := ask[api.RotatedKey](t, w, "POST", one+"/rotate", w.key["admin"], `{"gracePeriod":60}`)
	if r.AccessKey.ServicePlanID != "abc123" || r.Secret == made.Secret {
		t.Errorf("rotated: %+v", r.AccessKey)
	}
}

// No key gives what it has not: neither to another one nor to itself, by
// making, changing or rotating.
func TestNoPrivilegeEscalation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited := w.create(t, "admin", `{"displayName":"limited","scopes":["control","invoke"],"groups":["a","b"],"allowedCidrs":["192.0.2.0/24"],"ratePerSecond":5,"quota":{"limit":100,"per":"day"},"expireTime":"2098-01-01T00:00:00Z"}`)
	w.key["limited"] = limited.Secret
	strong := w.create(t, "admin", `{"displayName":"strong","scopes":["control","invoke"]}`).AccessKey.AccessKeyID
	caller := w.create(t, "admin", `{"displayName":"caller"}`).AccessKey.AccessKeyID
	w.key["token"] = w.token(t, strong, "control")
	ids := map[string]string{"limited": limited.AccessKey.AccessKeyID, "strong": strong, "caller": caller}
	w.create(t, "admin", `{"displayName":"elder","scopes":["control"]}`)
	w.create(t, "admin", `{"displayName":"younger","scopes":["control"],"groups":["a"]}`)
	for _, k := range ask[api.AccessKeys](t, w, "GET", w.keys(), w.key["control"], "").AccessKeys {
		ids[k.DisplayName] = k.AccessKeyID
	}
	snapshot := func() string {
		return asJSON(ask[api.AccessKeys](t, w, "GET", w.keys(), w.key["control"], "").AccessKeys)
	}
	const within = `"scopes":["control"],"groups":["a"],"allowedCidrs":["192.0.2.128/25"],"ratePerSecond":5,"quota":{"limit":99,"per":"day"},"expireTime":"2097-01-01T00:00:00Z"`
	without := func(field, value string) string {
		var m map[string]json.RawMessage
		json.Unmarshal([]byte("{"+within+"}"), &m)
		if m["displayName"] = json.RawMessage(`"new"`); value == "" {
			delete(m, field)
		} else {
			m[field] = json.RawMessage(value)
		}
		return asJSON(m)
	}
	before := snapshot()
	for _, tc := range []struct{ name, by, method, key, body, field string }{
		{"a scope that it has not, by default", "control", "POST", "", `{"displayName":"new"}`, "scopes"},
		{"a scope that it has not", "control", "POST", "", `{"displayName":"new","scopes":["control","invoke"]}`, "scopes"},
		{"a service plan's token", "control", "POST", "", `{"displayName":"new","servicePlanId":"p"}`, "scopes"},
		{"a scope to itself", "control", "PATCH", "control", `{"scopes":["control","invoke"]}`, "scopes"},
		{"a scope to another", "control", "PATCH", "elder", `{"scopes":["control","invoke"]}`, "scopes"},
		{"the secret of a stronger one", "control", "POST", "strong/rotate", `{}`, "scopes"},
		{"the secret of one for invoking", "control", "POST", "invoke/rotate", `{}`, "scopes"},
		{"the secret of one without its limits", "limited", "POST", "strong/rotate", `{}`, "groups"},
		{"a new one without groups", "limited", "POST", "", without("groups", ""), "groups"},
		{"a new one with another group", "limited", "POST", "", without("groups", `["a","c"]`), "groups"},
		{"a new one without networks", "limited", "POST", "", without("allowedCidrs", ""), "allowedCidrs"},
		{"a new one with a larger network", "limited", "POST", "", without("allowedCidrs", `["192.0.0.0/16"]`), "allowedCidrs"},
		{"a new one with one network more", "limited", "POST", "", without("allowedCidrs", `["192.0.2.0/25","10.0.0.0/8"]`), "allowedCidrs"},
		{"a new one with networks of the other family", "limited", "POST", "", without("allowedCidrs", `["::/0"]`), "allowedCidrs"},
		{"a new one without a rate", "limited", "POST", "", without("ratePerSecond", ""), "ratePerSecond"},
		{"a new one with a higher rate", "limited", "POST", "", without("ratePerSecond", "6"), "ratePerSecond"},
		{"a new one without a quota", "limited", "POST", "", without("quota", ""), "quota"},
		{"a new one with a higher quota", "limited", "POST", "", without("quota", `{"limit":101,"per":"day"}`), "quota"},
		{"a new one with another period", "limited", "POST", "", without("quota", `{"limit":100,"per":"month"}`), "quota"},
		{"a new one for ever", "limited", "POST", "", without("expireTime", ""), "expireTime"},
		{"a new one for longer", "limited", "POST", "", without("expireTime", `"2098-01-01T00:00:01Z"`), "expireTime"},
		{"itself all groups", "limited", "PATCH", "limited", `{"groups":[]}`, "groups"},
		{"itself all networks", "limited", "PATCH", "limited", `{"allowedCidrs":[]}`, "allowedCidrs"},
		{"itself no rate", "limited", "PATCH", "limited", `{"ratePerSecond":0}`, "ratePerSecond"},
		{"itself no quota", "limited", "PATCH", "limited", `{"quota":{"limit":0}}`, "quota"},
		{"itself no end", "limited", "PATCH", "limited", `{"expireTime":""}`, "expireTime"},
		{"itself a later end", "limited", "PATCH", "limited", `{"expireTime":"2099-01-01T00:00:00Z"}`, "expireTime"},
		{"itself no end, with a scope less", "limited", "PATCH", "limited", `{"scopes":["invoke"],"expireTime":""}`, "expireTime"},
		{"control to one without its limits", "limited", "PATCH", "caller", `{"scopes":["invoke","control"]}`, "groups"},
		{"a scope that its token has not", "token", "POST", "", `{"displayName":"new"}`, "scopes"},
		{"itself a scope that its token has not", "token", "POST", "strong/rotate", `{}`, "scopes"},
		{"to another one all groups", "limited", "PATCH", "younger", `{"groups":[]}`, "groups"},
	} {
		path := w.keys()
		if tc.key != "" {
			name, act, _ := strings.Cut(tc.key, "/")
			path = strings.TrimSuffix(path+"/"+ids[name]+"/"+act, "/")
		}
		rec, p := w.do(tc.method, path, w.key[tc.by], tc.body)
		if rec.Code != 403 || p.Code != "cannot_grant" || !strings.HasPrefix(p.Detail, tc.field+":") {
			t.Errorf("%s: %d %s", tc.name, rec.Code, rec.Body)
		}
	}
	if after := snapshot(); after != before {
		t.Errorf("a refused step changed something:\n%s\nbefore\n%s", after, before)
	}
	// A key that both scopes are taken from piece by piece cannot get them back.
	for _, step := range []struct {
		body string
		want int
	}{{`{"scopes":["control"]}`, 200}, {`{"scopes":["invoke","control"]}`, 403}, {`{"groups":["a"]}`, 200}, {`{"groups":["a","b"]}`, 403}, {`{"displayName":"self"}`, 200}, {`{"metadata":{"a":"b"}}`, 200}, {`{"expireTime":"2090-01-01T00:00:00Z"}`, 200}, {`{"expireTime":"2091-01-01T00:00:00Z"}`, 403}} {
		if rec, _ := w.do("PATCH", w.keys()+"/"+ids["limited"], w.key["limited"], step.body); rec.Code != step.want {
			t.Errorf("itself %s: %d %s", step.body, rec.Code, rec.Body)
		}
	}
	// What is within its own limits it gives, and to callers of functions any limits.
	w.key["limited2"] = w.create(t, "admin", `{"displayName":"limited2","scopes":["control","invoke"],"expireTime":"2098-01-01T00:00:00Z"}`).Secret
	w.create(t, "limited2", `{"displayName":"c1","scopes":["control"],"expireTime":"2097-01-01T00:00:00Z"}`)
	w.create(t, "limited2", `{"displayName":"c2"}`)
}

// A key changes neither a key of another project nor tells whether it exists.
func TestKeysOfAnotherProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sub := w.subproject(t, w.project)
	foreign := ask[api.AccessKeys](t, w, "GET", "/v1/projects/"+w.elsewhere+"/accessKeys", w.key["elsewhere"], "").AccessKeys[0].AccessKeyID
	ofSub := ask[api.CreatedKey](t, w, "POST", "/v1/projects/"+sub+"/accessKeys", w.key["admin"], `{"displayName":"s"}`).AccessKey.AccessKeyID
	own := ask[api.AccessKeys](t, w, "GET", w.keys(), w.key["control"], "").AccessKeys[0].AccessKeyID
	type call struct{ method, path, body string }
	calls := func(project, id string) []call {
		one := "/v1/projects/" + project + "/accessKeys/" + id
		return []call{{"GET", one, ""}, {"PATCH", one, `{"displayName":"x"}`}, {"POST", one + "/rotate", `{}`}, {"DELETE", one, ""}}
	}
	shape := func(rec *httptest.ResponseRecorder) string {
		h := maps.Clone(rec.Header())
		delete(h, "X-Request-Id")
		return fmt.Sprint(rec.Code, h, strings.ReplaceAll(rec.Body.String(), rec.Header().Get("X-Request-Id"), "ID"))
	}
	none := accesskey.NewID(time.Now())
	for name, tc := range map[string]struct {
		by, project, id, alike string
		status                 int
	}{
		"a foreign key in the path of one's own project":      {"admin", w.project, foreign, w.project, 404},
		"a subproject's key in the path of its parent":        {"admin", w.project, ofSub, w.project, 404},
		"one's own key in the path of a subproject":           {"admin", sub, own, sub, 404},
		"a foreign key in the path of a foreign project":      {"admin", w.elsewhere, foreign, "prj_none", 403},
		"a subproject's key by a stranger":                    {"elsewhere", sub, ofSub, "prj_none", 403},
		"one's own key in the path of a project that is none": {"admin", "prj_none", own, "prj_none", 403},
	} {
		for i, c := range calls(tc.project, tc.id) {
			other := calls(tc.alike, none)[i]
			rec, _ := w.do(c.method, c.path, w.key[tc.by], c.body)
			like, _ := w.do(other.method, other.path, w.key[tc.by], other.body)
			if rec.Code != tc.status || shape(rec) != shape(like) {
				t.Errorf("%s: %s:\n%s\nand of none:\n%s", name, c.method, shape(rec), shape(like))
			}
		}
	}
	for _, id := range []struct{ project, id string }{{w.elsewhere, foreign}, {sub, ofSub}, {w.project, own}} {
		if k, err := w.db.Key(t.Context(), id.project, id.id); err != nil || !k.RevokedAt.IsZero() || k.Generation != 1 || k.DisplayName == "x" {
			t.Errorf("a refused call did something: %+v, %v", k, err)
		}
	}
}

// Who takes something away is not told that it is done while it is not; who is
// given a secret gets it all the same, because it is nowhere else.
func TestKeys_NotEnforcedYet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := "/v1/projects/" + w.project + "/accessKeys"
	create := func(name string) (id string, status int) {
		rec, _ := w.do("POST", keys, w.key["control"], `{"displayName":"`+name+`","scopes":["control"]}`)
		var made struct{ AccessKey struct{ AccessKeyID string } }
		json.Unmarshal(rec.Body.Bytes(), &made)
		return made.AccessKey.AccessKeyID, rec.Code
	}
	id, _ := create("one")
	w.late = errors.New("the database is away")
	for _, tc := range []struct{ name, method, body string }{{"narrow", "PATCH", `{"ratePerSecond":1}`}, {"revoke", "DELETE", ""}, {"revoke again", "DELETE", ""}} {
		if rec, _ := w.do(tc.method, keys+"/"+id, w.key["control"], tc.body); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", tc.name, rec.Code, rec.Header(), rec.Body)
		}
	}
	other, status := create("two")
	if status != 200 || other == "" {
		t.Errorf("create: %d", status)
	}
	rec, _ := w.do("POST", keys+"/"+other+"/rotate", w.key["control"], `{}`)
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"secret":"psk_`) {
		t.Errorf("rotate: %d %s", rec.Code, rec.Body)
	}
	w.late = nil
	w.load(t)
	if rec, _ := w.do("DELETE", keys+"/"+id, w.key["control"], ""); rec.Code != 200 {
		t.Errorf("once it is applied: %d %s", rec.Code, rec.Body)
	}
}
