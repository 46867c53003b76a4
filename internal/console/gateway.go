package console

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/say"
)

func (c *Console) registerGateway() {
	c.page("GET /p/{project}/gateway", c.routes)
	c.page("GET /p/{project}/gateway/groups", c.groups)
}

// routesShown is how many routes one page has.
const routesShown = 50

// routesPage is what the page of routes shows.
type routesPage struct {
	Number           int // of the policy in force
	Query, Only      string
	Routes           []route
	All, Found, Open int
	Next, First      string
}

// route is an address with what is in force there, ready to be told.
type route struct {
	api.GatewayRoute
	Of   string
	Tag  string // its class
	Word string
	Says []said
}

// said is one thing that holds at an address, and who says so.
type said struct{ What, Value, By string }

func (c *Console) routes(v *visit) error {
	q := v.r.URL.Query()
	body := routesPage{Query: strings.TrimSpace(q.Get("q")), Only: q.Get("only")}
	table, err := v.api.GatewayRoutes(v.r.Context(), api.RouteQuery{Query: body.Query, Only: body.Only, PageSize: routesShown, PageToken: q.Get("page")})
	if fault.KindOf(err) == fault.Invalid { // what is searched for, or an address that somebody made up
		return v.mistaken(err, "gateway", "gateway", "Routes", body)
	}
	if err != nil {
		return err
	}
	body.Number, body.All, body.Found, body.Open = table.Number, table.AllCount, table.RouteCount, table.PublicCount
	body.Next, body.First = v.pager("page", table.NextPageToken)
	for _, r := range table.Routes {
		body.Routes = append(body.Routes, routeOf(r))
	}
	return v.show("gateway", "gateway", "Routes", body)
}

// builtIn is the handler that the API has for what the gateway answers by itself: each
// function's /health, which is open and of no concern.
const builtIn = "built in"

func routeOf(r api.GatewayRoute) route {
	out := route{GatewayRoute: r, Of: r.Function + r.Upstream, Tag: "good", Word: r.Guard}
	switch {
	case r.Shut:
		out.Tag, out.Word = "bad", "shut"
	case r.Public && r.Handler != builtIn:
		out.Tag, out.Word = "warn", "open to everyone"
	case r.Guard == "open" && !r.Public:
		out.Tag, out.Word = "", "open inside"
	}
	by := func(field string) string {
		from := r.From[field]
		if from == "policy" && r.Line > 0 {
			from += ", line " + strconv.Itoa(r.Line)
		}
		return from
	}
	add := func(what, field, value string) {
		if value != "" {
			out.Says = append(out.Says, said{what, value, by(field)})
		}
	}
	add("group", "group", r.Group)
	add("scopes", "scopes", strings.Join(r.Scopes, ", "))
	add("shown as", "credentials", strings.Join(r.Credentials, ", "))
	add("from", "addresses", strings.Join(r.Addresses, ", "))
	for _, rate := range r.Rate {
		add("rate", "rate "+rate, rate)
	}
	if r.BodyLimit > 0 {
		add("body", "bodyLimit", say.Size(r.BodyLimit))
	}
	if r.Timeout > 0 {
		add("timeout", "timeout", time.Duration(r.Timeout*float64(time.Second)).String())
	}
	return out
}

// By is who decided how a route is guarded.
func (r route) By() string {
	from := r.From["auth"]
	if from == "policy" && r.Line > 0 {
		return from + ", line " + strconv.Itoa(r.Line)
	}
	return from
}

// groupsPage is what the page of groups shows.
type groupsPage struct {
	Groups   []group
	AllKeys  []api.AccessKey // those that open every group
	MoreKeys bool            // there are keys beyond those that were looked at
}

// group is a group of routes with the keys that are made for it.
type group struct {
	Name   string
	Routes []route
	Keys   []api.AccessKey
	Rates  []string // that its routes share
}

// keysShown is how many keys the page of groups looks at.
const keysShown = 1000

func (c *Console) groups(v *visit) error {
	table, err := v.api.AllGatewayRoutes(v.r.Context(), api.RouteQuery{Only: "key"})
	if err != nil {
		return err
	}
	keys, err := v.api.Keys(v.r.Context(), "", false)
	if err != nil {
		return err
	}
	at := map[string]*group{}
	find := func(name string) *group {
		if at[name] == nil {
			at[name] = &group{Name: name}
		}
		return at[name]
	}
	for _, r := range table.Routes {
		if r.Group == "" {
			continue
		}
		g := find(r.Group)
		g.Routes = append(g.Routes, routeOf(r))
		for _, rate := range r.Rate {
			if r.From["rate "+rate] == "group" && !slices.Contains(g.Rates, rate) {
				g.Rates = append(g.Rates, rate)
			}
		}
	}
	body := groupsPage{MoreKeys: keys.NextPageToken != ""}
	for _, k := range keys.AccessKeys {
		if !slices.Contains(k.Scopes, "invoke") {
			continue
		}
		if len(k.Groups) == 0 {
			body.AllKeys = append(body.AllKeys, k)
		}
		for _, name := range k.Groups {
			find(name).Keys = append(find(name).Keys, k)
		}
	}
	for _, g := range at {
		body.Groups = append(body.Groups, *g)
	}
	slices.SortFunc(body.Groups, func(a, b group) int { return cmp.Compare(a.Name, b.Name) })
	return v.show("groups", "gateway/groups", "Groups", body)
}
