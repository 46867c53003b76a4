package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/platform"
)

// tenant is a project with a key, a function of a name that the other has too,
// and what can be named of it in a path.
type tenant struct {
	project, keyID, secret, slug, own string // own: the ID of the function's key
	path                              map[string]string
}

// tell replaces what of an answer is of this answer alone.
var tell = regexp.MustCompile(`req_[0-9a-z]+|Date: [^\r\n]+|prj_[0-9a-z]+|pak_[0-9a-z]+|[0-9a-f]{64}|"instance":"[^"]*"`)

// deployed is a function of a project with what is active of it.
func deployed(v *vault, project, name string) (platform.Function, platform.Deployment) {
	v.Helper()
	f, err := v.db.Function(v.Context(), project, name)
	if err != nil {
		v.Fatal(err)
	}
	f, d, err := v.db.ActiveFunction(v.Context(), f.ID)
	if err != nil {
		v.Fatal(err)
	}
	return f, d
}

// Two projects on one server. Whatever the one shows and names of the other, it
// learns no more than of what is not there, and changes nothing.
func TestAttack_Tenants(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	a := tenant{project: v.key["POSTERN_PROJECT_ID"], keyID: v.key["POSTERN_KEY_ID"], secret: v.key["POSTERN_KEY_SECRET"]}
	b := tenant{project: "prj_" + strings.TrimPrefix(accesskey.NewID(time.Now()), "pak_")}
	if err := v.db.CreateProject(t.Context(), platform.Project{ID: b.project, Name: "theirs", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	theirs, secret := v.mint(func(k *platform.AccessKey) { k.ProjectID = b.project })
	b.keyID, b.secret = theirs.ID, secret
	v.settle()
	// The same function name in both, and one name that is of one project only.
	ours := v.env
	for _, who := range []*tenant{&b, &a} {
		v.env = append(slices.Clone(ours), "POSTERN_PROJECT_ID="+who.project, "POSTERN_KEY_ID="+who.keyID, "POSTERN_KEY_SECRET="+who.secret)
		v.deploy("same", counting)
		only := map[string]string{a.project: "ours", b.project: "theirs"}[who.project]
		v.deploy(only, counting)
		same, _ := deployed(v, who.project, "same")
		_, d := deployed(v, who.project, only)
		who.slug, who.own = same.Slug, d.KeyID
		_, refusedID := v.send(v.gateway, "GET /fn/"+same.Slug+"/webhook HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", nil)
		var p struct{ RequestID string }
		json.Unmarshal([]byte(refusedID), &p)
		var sub struct{ SubprojectID string }
		body := `{"displayName":"sub"}`
		_, made := v.patient("POST /v1/projects/"+who.project+"/subprojects HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"+basicLine(who.keyID, who.secret)+"Content-Type: application/json\r\nContent-Length: "+fmt.Sprint(len(body))+"\r\n\r\n", []byte(body))
		if err := json.Unmarshal([]byte(made[max(0, strings.IndexByte(made, '{')):strings.LastIndexByte(made, '}')+1]), &sub); err != nil || sub.SubprojectID == "" || p.RequestID == "" {
			t.Fatalf("no subproject or request: %s %s", made, refusedID)
		}
		who.path = map[string]string{"projectId": who.project, "subprojectId": sub.SubprojectID, "accessKeyId": who.own, "name": only, "hash": d.Artefact, "requestId": p.RequestID}
	}
	v.env = ours
	// A bare secret may be shown to the control plane ten times a second, so
	// each operation has a key of its own for it.
	bare := map[string][]platform.AccessKey{}
	secrets := map[string]string{}
	for _, project := range []string{a.project, b.project} {
		for range 2 * 100 {
			k, secret := v.mint(func(k *platform.AccessKey) { k.ProjectID = project })
			bare[project], secrets[k.ID] = append(bare[project], k), secret
		}
	}
	v.settle()
	if a.slug == b.slug {
		t.Fatalf("both answer at %s", a.slug)
	}
	none := map[string]string{"projectId": "prj_" + strings.TrimPrefix(accesskey.NewID(time.Now()), "pak_"), "subprojectId": "prj_" + strings.TrimPrefix(accesskey.NewID(time.Now()), "pak_"), "accessKeyId": accesskey.NewID(time.Now()),
		"name": "nobodys", "hash": strings.Repeat("0", 64), "requestId": "req_00000000000000000000"}

	// Each operation that there is.
	_, text := v.send(v.control, "GET /openapi.json HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", nil)
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	fill := func(path string, values map[string]string) string {
		for name, value := range values {
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		}
		return path
	}
	bodyOf := func(path string, values map[string]string) string {
		switch {
		case strings.HasSuffix(path, "/deployments"):
			return `{"artefact":"` + values["hash"] + `"}`
		case strings.HasSuffix(path, "/explain"):
			return `{"url":"/fn/` + values["name"] + `/webhook","accessKeyId":"` + values["accessKeyId"] + `"}`
		case strings.HasSuffix(path, "/rotate"):
			return `{}`
		}
		return `{"displayName":"taken over"}`
	}
	state := func(who tenant) string {
		v.env = append(slices.Clone(ours), "POSTERN_PROJECT_ID="+who.project, "POSTERN_KEY_ID="+who.keyID, "POSTERN_KEY_SECRET="+who.secret)
		defer func() { v.env = ours }()
		seen := v.must("keys", "list", "--json") + v.must("functions", "list", "--json") + v.must("subprojects", "list", "--json")
		seen = regexp.MustCompile(`,?\{"id":"",[^\n]*?"attempt":[^\n]*?"updateTime":"[^"]*"\}`).ReplaceAllString(seen, "") // deploys of their own that failed
		return strings.ReplaceAll(regexp.MustCompile(`"(lastUsed[A-Za-z]*|state|status|usage[A-Za-z]*|workers|inFlight|starts)":("[^"]*"|[0-9]+),?`).ReplaceAllString(seen, ""), ",}", "}")
	}
	before := [2]string{state(a), state(b)}
	operations := 0
	for _, c := range []struct {
		name string
		by   tenant
		of   tenant
	}{{"b of a", b, a}, {"a of b", a, b}} {
		claims := platform.AccessKey{ID: c.by.keyID, ProjectID: c.by.project}
		next := func() (id, secret string) {
			k := bare[c.by.project][0]
			bare[c.by.project] = bare[c.by.project][1:]
			return k.ID, secrets[k.ID]
		}
		shows := map[string]string{
			"a key by Basic": "", "a key": "", // another one each time
			"a token":                               "Authorization: Bearer " + v.token(claims, nil) + "\r\n",
			"a token that claims the other project": "Authorization: Bearer " + v.token(claims, map[string]any{"project_id": c.of.project}) + "\r\n",
		}
		for path, item := range document.Paths {
			if !strings.Contains(path, "{") {
				continue
			}
			for method := range item {
				method = strings.ToUpper(method)
				operations++
				ask := func(values map[string]string, shown string) (int, string) {
					body := bodyOf(path, values)
					kind := "application/json"
					if method == "PUT" && strings.Contains(path, "artefacts") {
						kind = "application/octet-stream"
					}
					if method == "GET" || method == "DELETE" || method == "HEAD" {
						body = ""
					}
					request := method + " " + fill(path, values) + " HTTP/1.1\r\nHost: h\r\n" + shown + "Content-Type: " + kind + "\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\nConnection: close\r\n\r\n"
					res, answer := v.send(v.control, request+body, nil)
					if res == nil {
						return 0, ""
					}
					for _, value := range values {
						answer = strings.ReplaceAll(answer, value, "it")
					}
					return res.StatusCode, tell.ReplaceAllString(answer, "")
				}
				for how, shown := range shows {
					name := c.name + ", " + how + ": " + method + " " + path
					tried(t, name, "")
					switch how {
					case "a key by Basic":
						shown = basicLine(next())
					case "a key":
						_, secret := next()
						shown = "X-API-Key: " + secret + "\r\n"
					}
					// In the other's path: refused, whether it is there or not.
					status, answer := ask(c.of.path, shown)
					absent, like := ask(none, shown)
					want := 403
					if strings.HasPrefix(path, "/v1/subprojects/") {
						want = 404
					}
					if how == "a token that claims the other project" {
						want = 401
					}
					if status != want || absent != want || answer != like {
						t.Errorf("%s: %d %s\nof none: %d %s", name, status, answer, absent, like)
					}
					// The other's identifiers in a path of one's own: as those of nothing.
					if strings.Count(path, "{") < 2 || want == 401 {
						continue
					}
					mixed, nothing := maps.Clone(c.of.path), maps.Clone(none)
					mixed["projectId"], nothing["projectId"] = c.by.project, c.by.project
					if strings.HasSuffix(path, "/deployments") {
						mixed["name"], nothing["name"] = "new", "new" // else it is a first deploy of that name
					}
					status, answer = ask(mixed, shown)
					absent, like = ask(nothing, shown)
					if empty := strings.HasSuffix(path, "/upload") && method == "GET" && status == 200 && strings.Contains(answer, `"offset":0`); empty {
						status, absent = 404, 404 // of a piece that nobody sent: it is the same where another project has all of them
					}
					if status != absent || answer != like || status < 400 || status > 499 {
						t.Errorf("%s, in a path of their own: %d %s\nof none: %d %s", name, status, answer, absent, like)
					}
				}
			}
		}
	}
	if operations < 2*25 {
		t.Errorf("only %d operations", operations)
	}

	// At the gateway: the other's function, by every address, with every credential.
	ran := func(who tenant) int {
		t.Helper()
		_, text := v.send(v.gateway, "GET /fn/"+who.slug+"/status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", nil)
		var got struct{ Ran int }
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(text)
		}
		return got.Ran
	}
	for _, c := range []struct {
		name   string
		by, of tenant
	}{{"b of a", b, a}, {"a of b", a, b}} {
		claims := platform.AccessKey{ID: c.by.keyID, ProjectID: c.by.project}
		bearer := func(k platform.AccessKey, change map[string]any) string {
			return "Authorization: Bearer " + v.token(k, change) + "\r\n"
		}
		own := platform.AccessKey{ID: c.by.own, ProjectID: c.by.project}
		for how, s := range map[string]struct {
			shown  string
			status int
		}{
			"a key by Basic":                            {basicLine(c.by.keyID, c.by.secret), 403},
			"a key":                                     {"X-API-Key: " + c.by.secret + "\r\n", 403},
			"the other's ID with one's own secret":      {basicLine(c.of.keyID, c.by.secret), 401},
			"one's own ID with the other's secret":      {basicLine(c.by.keyID, c.of.secret), 401},
			"a token":                                   {bearer(claims, nil), 403},
			"a token for the other's function":          {bearer(claims, map[string]any{"aud": v.gateway + "/fn/" + c.of.slug}), 403},
			"a token that claims the other project":     {bearer(claims, map[string]any{"project_id": c.of.project}), 401},
			"a token of the other project's key, mixed": {bearer(platform.AccessKey{ID: c.of.keyID, ProjectID: c.by.project}, nil), 401},
			"a token of the function of the same name":  {bearer(own, map[string]any{"scope": "invoke"}), 403},
			"a key and headers that name the other":     {"X-API-Key: " + c.by.secret + "\r\nX-Postern-Project-Id: " + c.of.project + "\r\nX-Project-Id: " + c.of.project + "\r\n", 403},
			"two keys, one of each":                     {basicLine(c.by.keyID, c.by.secret) + "X-API-Key: " + c.of.secret + "\r\n", 400},
			"a token of one's own and the other's key":  {bearer(claims, nil) + "X-API-Key: " + c.by.secret + "\r\n", 403},
			"nothing": {"", 401},
			"the other's function key, as if one's own": {bearer(platform.AccessKey{ID: c.of.own, ProjectID: c.by.project}, nil), 401},
		} {
			for where, line := range map[string]string{"by path": "GET /fn/" + c.of.slug + "/webhook HTTP/1.1\r\nHost: h\r\n", "by host": "GET /webhook HTTP/1.1\r\nHost: " + c.of.slug + ".localhost\r\n"} {
				name := c.name + ", " + how + ", " + where
				tried(t, name, "")
				was := [2]int{ran(c.of), ran(c.by)}
				if got := v.raw(line + s.shown + "Connection: close\r\n\r\n"); got != s.status {
					t.Errorf("%s: %d, want %d", name, got, s.status)
				}
				if is := [2]int{ran(c.of), ran(c.by)}; is != was {
					t.Errorf("%s: handlers ran: %v, were %v", name, is, was)
				}
			}
		}
		if got := v.raw("GET /fn/" + c.by.slug + "/webhook HTTP/1.1\r\nHost: h\r\n" + basicLine(c.by.keyID, c.by.secret) + "Connection: close\r\n\r\n"); got != 200 {
			t.Errorf("%s: with one's own key at one's own function: %d", c.name, got)
		}
	}

	// Policies and tokens are of one project too.
	for who, project := range map[string]string{a.project: b.project, b.project: a.project} {
		by := map[string]tenant{a.project: a, b.project: b}[who]
		tried(t, "introspection", who)
		other := map[string]tenant{a.project: a, b.project: b}[project]
		raw := v.token(platform.AccessKey{ID: other.keyID, ProjectID: project}, nil)
		if _, said := v.send(v.control, form("/oauth2/introspect", basicLine(by.keyID, by.secret), "token="+raw), nil); strings.TrimSpace(said) != `{"active":false}` {
			t.Errorf("the other's token, introspected: %s", said)
		}
		tried(t, "revocation", who)
		v.send(v.control, form("/oauth2/revoke", basicLine(by.keyID, by.secret), "token="+raw), nil)
		if got := v.status(v.control, "GET /v1/projects/"+project+"/functions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+raw+"\r\nConnection: close\r\n\r\n"); got != 200 {
			t.Errorf("the other's token was revoked: %d", got)
		}
	}
	if after := [2]string{state(a), state(b)}; after != before {
		t.Errorf("something changed:\n%s\nwas\n%s", after, before)
	}
}
