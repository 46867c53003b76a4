package gateway

import "net/http"

// Admit runs steps 1 to 5 and nothing else.
func (g *Gateway) Admit(r *http.Request) error {
	x := g.begin(nil, r)
	err := x.identify()
	if err == nil {
		err = g.admit(x)
	}
	*x = exchange{body: x.body[:0]}
	g.pool.Put(x)
	return err
}

// Remember admits a request and returns what keeps it in mind, again and again.
func (g *Gateway) Remember(r *http.Request) func() {
	x := g.begin(nil, r)
	if err := x.identify(); err == nil {
		g.admit(x)
	}
	return func() { g.remember(x, 0) }
}
