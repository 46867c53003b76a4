package policy

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// Render writes a document anew, in one form: what has a name is sorted by it,
// and comments are gone. Parse reads it as the same.
func Render(d *Document) []byte {
	root := &object{}
	root.add("version", number(Version))
	groups, functions, upstreams := &object{}, &object{}, &object{}
	for _, g := range d.Groups {
		o := &object{}
		o.rule(g.Rule)
		groups.add(g.Name, o.node())
	}
	for _, f := range d.Functions {
		functions.add(f.Name, functionNode(f))
	}
	for _, u := range d.Upstreams {
		upstreams.add(u.Name, upstreamNode(u))
	}
	root.some("groups", groups)
	root.some("functions", functions)
	root.some("upstreams", upstreams)
	keys := &yaml.Node{Kind: yaml.SequenceNode}
	for _, k := range d.Keys {
		keys.Content = append(keys.Content, keyNode(k))
	}
	if len(keys.Content) > 0 {
		root.add("keys", keys)
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root.node()); err != nil {
		panic("policy: " + err.Error()) // nodes of our own always encode
	}
	e.Close()
	return out.Bytes()
}

// object is a mapping that is being written.
type object struct{ content []*yaml.Node }

func (o *object) node() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Content: o.content}
	if len(o.content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

func (o *object) add(name string, v *yaml.Node) { o.content = append(o.content, text(name), v) }

// some adds a mapping that has something in it.
func (o *object) some(name string, v *object) {
	if len(v.content) > 0 {
		o.add(name, v.node())
	}
}

func (o *object) text(name, v string) {
	if v != "" {
		o.add(name, text(v))
	}
}

func (o *object) texts(name string, vs []string) {
	if len(vs) > 0 {
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, v := range vs {
			n.Content = append(n.Content, text(v))
		}
		o.add(name, n)
	}
}

func (o *object) number(name string, v int64) {
	if v != 0 {
		o.add(name, number(v))
	}
}

func (o *object) duration(name string, d time.Duration) {
	if d != 0 {
		o.add(name, text(d.String()))
	}
}

func (o *object) flag(name string, yes bool) {
	if yes {
		o.add(name, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
}

// text is a scalar that is read as text again, whatever it looks like.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func number(v int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v, 10)}
}

func texts[T any](list []T, f func(T) string) (out []string) {
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

func (o *object) rule(r platform.Rule) {
	o.text("group", r.Group)
	o.texts("scopes", texts(r.Scopes, func(s platform.Scope) string { return string(s) }))
	o.texts("credentials", r.Methods)
	o.texts("addresses", texts(r.Addresses, networkText))
	o.texts("rate", texts(r.Limits, function.FormatRate))
	if c := r.CORS; c != nil {
		cors := &object{}
		cors.texts("origins", c.Origins)
		cors.texts("methods", c.Methods)
		cors.texts("headers", c.Headers)
		cors.texts("expose", c.Expose)
		cors.flag("credentials", c.Credentials)
		cors.duration("maxAge", c.MaxAge)
		o.add("cors", cors.node())
	}
	if s := r.Signature; s != nil {
		signed := &object{}
		signed.text("scheme", s.Scheme)
		signed.texts("secrets", s.Secrets)
		signed.text("keyId", s.KeyID)
		signed.duration("window", s.Window)
		if c := s.Custom; c != nil {
			custom := &object{}
			for _, f := range signature.Fields(c) {
				custom.text(f.Name, *f.Value)
			}
			signed.add("custom", custom.node())
		}
		o.add("signature", signed.node())
	}
	o.number("bodyLimit", r.BodyLimit)
	o.duration("timeout", r.Timeout)
}

func guardWord(g platform.Guard) string {
	switch g {
	case platform.GuardOpen:
		return authNone
	case platform.GuardSignature:
		return authSignature
	}
	return authKey
}

func governedNode(e platform.Governed) *yaml.Node {
	o := &object{}
	if e.Guard != nil {
		o.text("auth", guardWord(*e.Guard))
	}
	o.rule(e.Rule)
	return o.node()
}

func functionNode(f platform.FunctionPolicy) *yaml.Node {
	o, rule, handlers, routes := &object{}, &object{}, &object{}, &object{}
	o.text("visibility", string(f.Visibility))
	rule.rule(f.Rule)
	for _, e := range f.Handlers {
		handlers.add(e.Name, governedNode(e))
	}
	for _, e := range f.Routes {
		routes.add(e.Name, governedNode(e))
	}
	o.some("rule", rule)
	o.some("handlers", handlers)
	o.some("routes", routes)
	return o.node()
}

func upstreamNode(u platform.Upstream) *yaml.Node {
	o, routes, breaker := &object{}, &object{}, &object{}
	o.text("url", u.URL)
	o.text("visibility", string(u.Visibility))
	o.flag("preserveHost", u.PreserveHost)
	o.duration("connectTimeout", u.ConnectTimeout)
	o.number("retries", int64(u.Retries))
	o.number("maxInFlight", int64(u.MaxInFlight))
	breaker.number("failures", int64(u.Breaker.Failures))
	breaker.duration("open", u.Breaker.Open)
	o.some("breaker", breaker)
	if w := u.WebSocket; w != nil {
		socket := &object{}
		socket.texts("origins", w.Origins)
		socket.number("messageLimit", w.MessageLimit)
		socket.duration("idle", w.Idle)
		o.add("websocket", socket.node())
	}
	for _, r := range u.Routes {
		route := &object{}
		if r.Guard == platform.GuardOpen {
			route.text("auth", authNone)
		}
		route.rule(r.Rule)
		routes.add(r.Pattern, route.node())
	}
	o.some("routes", routes)
	return o.node()
}

func keyNode(k platform.AccessKey) *yaml.Node {
	o, metadata := &object{}, &object{}
	o.text("id", k.ID)
	o.text("name", k.DisplayName)
	o.text("digest", digestPrefix+hex.EncodeToString(k.SecretHash[:]))
	o.texts("scopes", texts(k.Scopes, func(s platform.Scope) string { return string(s) }))
	o.texts("groups", k.Groups)
	o.texts("addresses", texts(k.AllowedCIDRs, networkText))
	o.number("ratePerSecond", int64(k.RatePerSecond))
	if k.Quota.Limit > 0 {
		o.text("quota", strconv.FormatInt(k.Quota.Limit, 10)+"/"+string(k.Quota.Per))
	}
	if !k.ExpiresAt.IsZero() {
		o.text("expires", k.ExpiresAt.UTC().Format(time.RFC3339Nano))
	}
	o.text("binding", string(k.Binding))
	o.text("certThumbprint", k.CertThumbprint)
	o.text("servicePlan", k.ServicePlanID)
	for _, name := range slices.Sorted(maps.Keys(k.Metadata)) {
		metadata.add(name, text(k.Metadata[name]))
	}
	o.some("metadata", metadata)
	return o.node()
}
