package openapi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/openapi"
)

// shop has one of everything that our own description has.
const shop = `{"paths": {
	"/v1/shops/{shopId}/shelves": {
		"post": {"operationId": "makeShelf", "summary": "Put up a shelf", "tags": ["Shelves"],
			"parameters": [{"name": "shopId", "in": "path", "required": true, "schema": {"type": "string"}}],
			"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Shelf"}}}},
			"responses": {"404": {"description": "Problem", "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Shelf"}}}}, "204": {"description": "Made"}}},
		"get": {"operationId": "listShelves", "summary": "List shelves", "tags": ["Shelves"],
			"parameters": [
				{"name": "shopId", "in": "path", "required": true, "schema": {"type": "string"}},
				{"name": "Accept", "in": "header", "schema": {"type": "string"}},
				{"name": "X-Floor", "in": "header", "schema": {"type": "integer"}},
				{"name": "full", "in": "query", "description": "Only those.", "schema": {"type": "boolean"}},
				{"name": "most", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 50}},
				{"name": "kind", "in": "query", "schema": {"$ref": "#/components/schemas/Kind"}}],
			"responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Shelf"}}}}}}}},
	"/v1/goods": {
		"put": {"operationId": "putGoods", "summary": "Bring goods", "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}},
	"/v1/explain": {"post": {"operationId": "explain", "tags": ["Questions"]}}},
"components": {"schemas": {
	"Kind": {"type": "string", "enum": ["wood", 7], "description": "What it is of."},
	"Shelf": {"type": "object", "required": ["name", "goods", "kind", "sold", "levels"], "properties": {
		"at": {"type": "string", "format": "date-time"},
		"goods": {"type": ["array", "null"], "items": {"type": "object", "properties": {"weight": {"type": "number", "minimum": 0.5}}}},
		"kind": {"$ref": "#/components/schemas/Kind"},
		"labels": {"type": "object", "additionalProperties": {"type": "string"}},
		"levels": {"type": "integer", "minimum": 2},
		"name": {"type": "string", "description": "Its name.", "maxLength": 100},
		"next": {"$ref": "#/components/schemas/Shelf"},
		"plain": {"type": "object", "additionalProperties": false},
		"sold": {"type": "boolean"},
		"whatever": {}}}}}}`

func read(t *testing.T) *openapi.Document {
	t.Helper()
	d, err := openapi.Read(strings.NewReader(shop))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSearch(t *testing.T) {
	t.Parallel()
	d := read(t)
	for text, want := range map[string]string{
		"":          "Other: putGoods; Questions: explain; Shelves: listShelves makeShelf",
		" SHELVES ": "Shelves: listShelves makeShelf", // the name of the part counts
		"put up":    "Shelves: makeShelf",
		"post":      "Questions: explain; Shelves: makeShelf",
		"{shopid}":  "Shelves: listShelves makeShelf",
		"explain":   "Questions: explain",
		"nothing":   "",
	} {
		var parts []string
		for _, p := range d.Search(text) {
			part := p.Name + ":"
			for _, op := range p.Operations {
				part += " " + op.OperationID
			}
			parts = append(parts, part)
		}
		if got := strings.Join(parts, "; "); got != want {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
	}
}

func TestOperation(t *testing.T) {
	t.Parallel()
	d := read(t)
	for id, changes := range map[string]bool{"listShelves": false, "makeShelf": true, "putGoods": true, "explain": false} {
		if op := d.Operation(id); op == nil || op.Changes() != changes {
			t.Errorf("%s: %+v, want that it changes something: %v", id, op, changes)
		}
	}
	if op := d.Operation("LISTSHELVES"); op != nil {
		t.Errorf("there is %+v", op)
	}
}

// A schema is told with what must be there first, and what is within a value below it;
// one that is within itself comes to an end.
func TestFields(t *testing.T) {
	t.Parallel()
	d := read(t)
	fields := d.Fields(d.Operation("makeShelf"))
	want := []openapi.Field{
		{Name: "goods", Type: "list of object", Required: true},
		{Name: "weight", Type: "number", Says: "At least 0.5.", Depth: 1},
		{Name: "kind", Type: "string", Says: "What it is of. One of wood, 7.", Required: true},
		{Name: "levels", Type: "integer", Says: "At least 2.", Required: true},
		{Name: "name", Type: "string", Says: "Its name. At most 100 characters.", Required: true},
		{Name: "sold", Type: "boolean", Required: true},
		{Name: "at", Type: "time"},
		{Name: "labels", Type: "map of string"},
		{Name: "next", Type: "object"},
	}
	if diff := cmp.Diff(want, fields[:len(want)]); diff != "" {
		t.Error(diff)
	}
	if last := fields[len(fields)-1]; last.Name != "whatever" || last.Type != "any" || len(fields) > 100 {
		t.Errorf("%d fields, the last %+v", len(fields), last)
	}
	if got := d.Fields(d.Operation("putGoods")); got != nil {
		t.Errorf("of a file: %+v", got)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	d := read(t)
	want := []openapi.Answer{{Status: "204", Description: "Made"}, {Status: "404", Description: "Problem", Kind: "application/problem+json"}}
	if diff := cmp.Diff(want, d.Answers(d.Operation("makeShelf"))); diff != "" {
		t.Error(diff)
	}
	got := d.Answers(d.Operation("listShelves"))
	if len(got) != 1 || got[0].Kind != "application/json" || len(got[0].Fields) == 0 || got[0].Fields[0].Name != "goods" {
		t.Errorf("%+v", got)
	}
}

func form(t *testing.T, id string) *openapi.Form {
	t.Helper()
	d := read(t)
	f, err := d.Form(d.Operation(id))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestForm(t *testing.T) {
	t.Parallel()
	type row struct{ Field, Type, Says, Options string }
	var got []row
	for _, in := range form(t, "listShelves").Inputs {
		got = append(got, row{in.Field, in.Type, in.Says, strings.Join(in.Options, "|")})
	}
	want := []row{
		{"path.shopId", "string", "", ""}, {"header.X-Floor", "integer", "", ""}, {"query.full", "boolean", "Only those.", "|true|false"},
		{"query.most", "integer", "Default: 50. 1 to 10,000.", ""}, {"query.kind", "string", "One of wood, 7.", "|wood|7"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f := form(t, "makeShelf")
	if example := "{\n  \"goods\": [],\n  \"kind\": \"wood\",\n  \"levels\": 2,\n  \"name\": \"\",\n  \"sold\": false\n}"; !f.HasBody || !f.CanTry || f.Body != example || f.Example != example {
		t.Errorf("%+v", f)
	}
	if f = form(t, "putGoods"); f.HasBody || f.CanTry || f.OtherBody != "application/octet-stream" {
		t.Errorf("%+v", f)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ id, typed, method, url, header string }{
		"only what must be":       {"listShelves", "path.shopId=s1", "GET", "/v1/shops/s1/shelves", ""},
		"all":                     {"listShelves", "path.shopId=s1&query.full=true&query.kind=wood&header.X-Floor=3", "GET", "/v1/shops/s1/shelves?full=true&kind=wood", "X-Floor: 3"},
		"spaces around":           {"listShelves", "path.shopId=+s1+&query.most=++", "GET", "/v1/shops/s1/shelves", ""},
		"a path in a segment":     {"listShelves", "path.shopId=../../x%3Fy%23z", "GET", "/v1/shops/..%2F..%2Fx%3Fy%23z/shelves", ""},
		"a field in the query":    {"listShelves", "path.shopId=s1&query.kind=wood%26most%3D9", "GET", "/v1/shops/s1/shelves?kind=wood%26most%3D9", ""},
		"a field that nobody has": {"listShelves", "path.shopId=s1&header.Authorization=x&query.other=y", "GET", "/v1/shops/s1/shelves", ""},
		"a body":                  {"makeShelf", `path.shopId=s1&body={"name":"x"}`, "POST", "/v1/shops/s1/shelves", "Content-Type: application/json"},
	} {
		typed, err := url.ParseQuery(c.typed)
		if err != nil {
			t.Fatal(err)
		}
		f := form(t, c.id)
		f.Fill(typed)
		r, err := f.Request()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var header strings.Builder
		_ = r.Header.Write(&header)
		if r.Method != c.method || r.URL != c.url || strings.TrimSpace(header.String()) != c.header || r.Body != typed.Get("body") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRequest_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ id, typed, want string }{
		"nothing in the path":     {"listShelves", "path.shopId=+", "shopId is missing"},
		"the folder above":        {"listShelves", "path.shopId=..", "shopId is no name of anything"},
		"the folder itself":       {"listShelves", "path.shopId=.", "shopId is no name of anything"},
		"no body":                 {"makeShelf", "path.shopId=s1", "the body is no JSON"},
		"a body that is no JSON":  {"makeShelf", "path.shopId=s1&body={", "the body is no JSON"},
		"a body that has another": {"makeShelf", "path.shopId=s1&body={}{}", "the body is no JSON"},
		"a file":                  {"putGoods", "", "this operation cannot be tried here"},
	} {
		typed, err := url.ParseQuery(c.typed)
		if err != nil {
			t.Fatal(err)
		}
		f := form(t, c.id)
		f.Fill(typed)
		if r, err := f.Request(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v, want %q", name, r, err, c.want)
		}
	}
}

func TestRead_Refuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "[]", `{"paths": {"/x": []}}`, `{"paths"`} {
		if d, err := openapi.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as %+v", text, d)
		}
	}
}
