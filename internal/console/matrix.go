package console

import (
	"net/url"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/say"
)

func (c *Console) registerMatrix() {
	c.page("GET /p/{project}/gateway/matrix", c.matrix)
}

// How much of the matrix one page shows, and at most: more the API does not give.
const (
	matrixKeys, mostKeys     = 20, 50
	matrixRoutes, mostRoutes = 20, 200
)

// matrixPage is what the page of keys and routes shows.
type matrixPage struct {
	Key, Query, From        string // what narrows keys, routes, and from where they are used
	All                     bool   // routes that ask for no key, too
	Large                   bool   // as much as one page can have
	Spans                   []span
	Columns                 []column
	Rows                    []matrixRow
	Found                   int // routes on all pages
	NextKeys, FirstKeys     string
	NextRoutes, FirstRoutes string
	Larger                  string // the same with as much as one page can have
	Legend                  []legend
}

// column is a route.
type column struct {
	route
	Last bool // of its function
}

// span is a function, or an upstream, over its columns.
type span struct {
	Of      string
	Columns int
}

// matrixRow is a key with what each route says to it.
type matrixRow struct {
	ID, Name string
	Cells    []cell
	Opens    int
}

// cell is what one route says to one key.
type cell struct {
	api.MatrixVerdict
	Class, Word string
	Explain     string // the page that explains it
}

// Says is what there is to say beside the word: of a key that opens a route, from where.
func (c cell) Says() string {
	switch {
	case !c.Opens:
		return c.Why
	case len(c.From) > 0:
		from := "from " + strings.Join(c.From, ", ")
		if c.More > 0 {
			from += " and " + say.Plural(c.More, "network more", "networks more")
		}
		return from
	}
	return ""
}

// legend is a word of the cells with what it says.
type legend struct{ Reason, Word, Class, Says string }

// matrixWords are what cells say: each a word, and never a colour alone.
var matrixWords = []legend{
	{"key", "yes", "yes", "the key opens it"}, {"open", "open", "all", "open to everyone"}, {"signature", "signed", "sig", "asks for its sender's signature"},
	{"group", "group", "no", "the key is for other groups"}, {"scope", "scope", "no", "the key lacks a scope"}, {"credential", "way", "no", "the key cannot be shown in a way that the route takes"}, {"ended", "ended", "no", "the key has ended"},
	{"address", "from", "no", "from no address that both take"}, {"project", "project", "no", "of another project"}, {"private", "inside", "no", "for functions only"}, {"shut", "shut", "no", "the policy does not fit the function"}, {"unknown", "new", "no", "not known to the gateway yet"},
}

func (c *Console) matrix(v *visit) error {
	q := v.r.URL.Query()
	body := matrixPage{Key: q.Get("key"), Query: q.Get("q"), From: q.Get("from"), All: q.Get("all") != "", Large: q.Get("large") != ""}
	keys, routes := matrixKeys, matrixRoutes
	if body.Large {
		keys, routes = mostKeys, mostRoutes
	}
	m, err := v.api.GatewayMatrix(v.r.Context(), api.MatrixQuery{Query: body.Key, Order: "newest", PageSize: keys, RoutePageSize: routes, PageToken: q.Get("keys"), RoutePageToken: q.Get("routes"), RouteQuery: body.Query, Guarded: !body.All, From: body.From})
	if err != nil {
		return v.mistaken(err, "matrix", "gateway/matrix", "Keys × routes", body)
	}
	body.Found, body.Larger = m.RouteCount, v.turn("large", "1")
	body.NextKeys, body.FirstKeys = v.pager("keys", m.NextPageToken)
	body.NextRoutes, body.FirstRoutes = v.pager("routes", m.NextRoutePageToken)
	for i, r := range m.Routes {
		of := routeOf(r)
		last := i+1 < len(m.Routes) && m.Routes[i+1].Function+m.Routes[i+1].Upstream != of.Of
		body.Columns = append(body.Columns, column{of, last})
		if n := len(body.Spans); n == 0 || body.Spans[n-1].Of != of.Of {
			body.Spans = append(body.Spans, span{Of: of.Of})
		}
		body.Spans[len(body.Spans)-1].Columns++
	}
	words := map[string]legend{}
	for _, l := range matrixWords {
		words[l.Reason] = l
	}
	said := map[string]bool{}
	for _, k := range m.Keys {
		row := matrixRow{ID: k.AccessKeyID, Name: k.DisplayName}
		for j, at := range k.Cells {
			verdict := m.Verdicts[at]
			word := words[verdict.Reason]
			said[verdict.Reason] = true
			if verdict.Opens {
				row.Opens++
			}
			row.Cells = append(row.Cells, cell{verdict, word.Class, word.Word, explainLink(body.Columns[j].route, k.AccessKeyID, body.From)})
		}
		body.Rows = append(body.Rows, row)
	}
	for _, l := range matrixWords {
		if said[l.Reason] {
			body.Legend = append(body.Legend, l)
		}
	}
	return v.show("matrix", "gateway/matrix", "Keys × routes", body)
}

var filled = strings.NewReplacer("{$}", "", "...}", "", "{", "", "}", "")

// explainLink leads from the matrix to the page that explains what becomes of a key
// at a route. What a pattern leaves open has the parameter's name there.
func explainLink(r route, keyID, from string) string {
	q := url.Values{"key": {keyID}, "url": {"/fn/" + r.Of + filled.Replace(r.Path)}}
	if r.Method != "" {
		q.Set("method", r.Method)
	}
	if from != "" {
		q.Set("from", from)
	}
	return "explain?" + q.Encode()
}
