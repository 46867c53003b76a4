package policy

import (
	"fmt"
	"net/url"
	"time"

	"go.yaml.in/yaml/v3"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/upstream"
)

const (
	maxConnect = time.Minute
	maxOpen    = time.Hour
	maxIdle    = 24 * time.Hour
	maxRetries = 5
	maxMessage = 64 << 20
)

// upstream reads an HTTP server that callers reach through the gateway.
func (p *parser) upstream(k, v *yaml.Node) error {
	u := platform.Upstream{Name: k.Value}
	of := "upstream " + u.Name
	if err := function.ValidName(u.Name); err != nil {
		return p.fail(k, "use at most 40 lower-case letters, digits and single dashes, beginning with a letter: the name becomes its address", "%.64q is no name of an upstream", u.Name)
	}
	p.mark(k, "upstream/"+u.Name)
	number := func(into *int, what string, low, high int64) reader {
		return func(n *yaml.Node) error {
			i, err := p.number(n, what+" of "+of, low, high)
			*into = int(i)
			return err
		}
	}
	err := p.fields(v, of, map[string]reader{
		"url":        func(n *yaml.Node) error { return p.base(n, &u.URL, of) },
		"visibility": func(n *yaml.Node) error { return p.private(n, &u.Visibility, of) },
		"preserveHost": func(n *yaml.Node) (err error) {
			u.PreserveHost, err = p.flag(n, "preserveHost of "+of)
			return err
		},
		"connectTimeout": func(n *yaml.Node) (err error) {
			u.ConnectTimeout, err = p.duration(n, "connectTimeout of "+of, maxConnect)
			return err
		},
		"retries":     number(&u.Retries, "retries", 0, maxRetries),
		"maxInFlight": number(&u.MaxInFlight, "maxInFlight", 1, 1_000_000),
		"breaker": func(n *yaml.Node) error {
			return p.fields(n, "breaker of "+of, map[string]reader{
				"failures": number(&u.Breaker.Failures, "failures", 1, 1000),
				"open": func(n *yaml.Node) (err error) {
					u.Breaker.Open, err = p.duration(n, "open of "+of, maxOpen)
					return err
				},
			})
		},
		"websocket": func(n *yaml.Node) error { return p.websocket(n, &u, of) },
		"routes":    func(n *yaml.Node) error { return p.served(n, &u, of) },
	})
	switch {
	case err != nil:
		return err
	case u.URL == "":
		return p.fail(k, "add: url: http://10.0.0.5:9000", "%s has no url", of)
	case len(u.Routes) == 0:
		return p.fail(k, `add what callers may reach: routes: { "GET /v1/{path...}": {} }`, "%s has no routes: nobody could reach it", of)
	}
	if err := upstream.Check(u); err != nil {
		return p.fail(k, "", "%s: %s", of, err)
	}
	p.doc.Upstreams = append(p.doc.Upstreams, u)
	return nil
}

// websocket reads who may open a WebSocket to an upstream.
func (p *parser) websocket(n *yaml.Node, u *platform.Upstream, of string) error {
	u.WebSocket = &platform.WebSocketPolicy{}
	return p.fields(n, "websocket of "+of, map[string]reader{
		"origins": func(n *yaml.Node) (err error) {
			if u.WebSocket.Origins, err = p.texts(n, "origins of "+of); err != nil {
				return err
			}
			for i, o := range u.WebSocket.Origins {
				if err := function.CheckOrigin(o); err != nil && o != "*" {
					return p.fail(n.Content[i], `write it as browsers do, such as https://shop.example, or "*"`, "websocket of %s: %s", of, err)
				}
			}
			return nil
		},
		"messageLimit": func(n *yaml.Node) error {
			size, err := function.ParseSize(n.Value)
			if n.Kind != yaml.ScalarNode || err != nil || size > maxMessage {
				return p.fail(n, "write a number of bytes, or 1MiB, at most 64MiB", "messageLimit of %s is no such size", of)
			}
			u.WebSocket.MessageLimit = size
			return nil
		},
		"idle": func(n *yaml.Node) (err error) {
			u.WebSocket.Idle, err = p.duration(n, "idle of "+of, maxIdle)
			return err
		},
	})
}

// served reads the routes of an upstream.
func (p *parser) served(n *yaml.Node, u *platform.Upstream, of string) error {
	var patterns []string
	var at []*yaml.Node
	err := p.each(n, "routes of "+of, func(k, v *yaml.Node) error {
		r := platform.UpstreamRoute{Pattern: k.Value}
		of := fmt.Sprintf("route %q of %s", r.Pattern, of)
		p.mark(k, "upstream/"+u.Name+"/route/"+r.Pattern)
		var g *platform.Guard
		readers := p.entry(&g, &r.Rule, of)
		delete(readers, "signature") // who verifies needs the secrets of a function
		if err := p.fields(v, of, readers); err != nil {
			return err
		}
		if g != nil {
			r.Guard = *g
		}
		if r.Guard == platform.GuardSignature {
			return p.fail(v, "write key or none", "auth of %s cannot be signature: an upstream has no secrets here", of)
		}
		u.Routes, patterns = append(u.Routes, r), append(patterns, r.Pattern)
		at = append(at, k)
		return p.guarded(k, &r.Guard, r.Rule, of)
	})
	if err != nil {
		return err
	}
	if i, err := function.CheckPatterns(patterns); err != nil {
		return p.fail(at[i], "", "%s: %s", of, err)
	}
	return nil
}

// base reads the URL of an upstream.
func (p *parser) base(n *yaml.Node, into *string, of string) error {
	s, err := p.text(n, "url of "+of)
	if err != nil {
		return err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return p.fail(n, "write it like http://10.0.0.5:9000 or https://legacy.internal/base", "url of %s is no address of an HTTP server", of)
	case u.User != nil:
		return p.fail(n, "this file is read by many: let the upstream trust this machine instead", "url of %s has a password in it, or a user", of)
	}
	*into = s
	return nil
}
