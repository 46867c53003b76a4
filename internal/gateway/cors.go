package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// cors is what a route says to browsers (the Fetch standard, section "CORS
// protocol"), made ready. It guards nothing: whoever is no browser calls all
// the same, and is asked what the route asks everyone.
type cors struct {
	any     []string            // "*", of a route for all origins
	origins map[string][]string // else each with itself: an origin is compared letter for letter
	expose  []string
	// Of a preflight alone.
	methods, headers, age []string
	credentials           bool
}

// The fields of an answer that the gateway itself sets, and that a page may read.
const ownFields = "Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"

// usualHeaders are those with which a credential and a body are sent: without
// them a page could call no route that asks for a key.
var usualHeaders = []string{"Authorization", "Content-Type", "DPoP", "X-API-Key"}

// usualAge is what browsers take where nothing is said.
const usualAge = 5 * time.Second

func newCORS(r *platform.CORS, pattern string) *cors {
	if r == nil {
		return nil
	}
	c := &cors{credentials: r.Credentials, origins: map[string][]string{}}
	if slices.Equal(r.Origins, []string{"*"}) && !r.Credentials { // never for all with credentials, whoever asks for it
		c.any = r.Origins
	} else {
		for _, o := range r.Origins {
			if o != "*" {
				c.origins[o] = []string{o}
			}
		}
	}
	methods := r.Methods
	if len(methods) == 0 {
		methods = methodsOf(pattern)
	}
	c.methods = []string{strings.Join(methods, ", ")}
	c.expose = []string{strings.Join(append([]string{ownFields}, r.Expose...), ", ")}
	headers := r.Headers
	if len(headers) == 0 {
		headers = usualHeaders
	}
	c.headers = []string{strings.Join(headers, ", ")}
	age := r.MaxAge
	if age == 0 {
		age = usualAge
	}
	c.age = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	return c
}

// allowed is what allows an origin, as the header shows it; nil: it is not.
func (c *cors) allowed(origin []string) []string {
	switch {
	case len(origin) != 1: // none, or two, of which two readers could each take another
		return nil
	case c.any != nil:
		return c.any
	}
	return c.origins[origin[0]]
}

// decorate lets the pages of an origin read an answer. What a handler says of it
// is taken away: a route that has CORS has one owner of it.
func (c *cors) decorate(h http.Header, origin []string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if c.any == nil && !varies(h["Vary"]) {
		h["Vary"] = append(h["Vary"][:len(h["Vary"]):len(h["Vary"])], "Origin")
	}
	allowed := c.allowed(origin)
	if allowed == nil {
		return
	}
	h["Access-Control-Allow-Origin"] = allowed
	h["Access-Control-Expose-Headers"] = c.expose
	if c.credentials {
		h["Access-Control-Allow-Credentials"] = yes
	}
}

var yes = []string{"true"}

func varies(vary []string) bool {
	for _, v := range vary {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); name == "*" || strings.EqualFold(name, "Origin") {
				return true
			}
		}
	}
	return false
}

// routePreflight is step 2 of a browser's question whether a page may call: it
// is about the route of the method that is asked for, and shows no credentials,
// as the Fetch standard demands. The gateway answers it, and no handler sees it.
// Of a route without CORS it is a request like any other.
func (x *exchange) routePreflight() (found bool, err error) {
	origin, method := x.r.Header["Origin"], x.r.Header["Access-Control-Request-Method"]
	if x.r.Method != http.MethodOptions || len(origin) == 0 || len(method) != 1 {
		return false, nil
	}
	m, ok := x.target.routes.Match(method[0], x.own)
	if !ok || m.Handler == nil {
		return false, nil
	}
	d := &x.target.doors[m.Door]
	if d.cors == nil {
		return false, nil
	}
	x.asking, x.door, x.match.Door, x.match.Guard, x.match.Pattern = true, d, m.Door, platform.GuardOpen, m.Pattern
	if d.cors.allowed(origin) == nil {
		return true, errOrigin
	}
	return true, nil
}

// answerPreflight answers for the route.
func (g *Gateway) answerPreflight(x *exchange) {
	h, c := x.w.Header(), x.door.cors
	g.decorate(x, h)
	delete(h, "Access-Control-Expose-Headers")
	h["Access-Control-Allow-Methods"] = c.methods
	h["Access-Control-Allow-Headers"] = c.headers
	h["Access-Control-Max-Age"] = c.age
	h["X-Request-Id"] = []string{x.id}
	x.status = http.StatusNoContent
	x.w.WriteHeader(x.status)
}
