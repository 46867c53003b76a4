package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/token/tokentest"
)

// moving is an invoker whose deployment has been replaced when it is asked the
// first time.
type moving struct {
	*invoker
	asked int
}

func (m *moving) Acquire(ctx context.Context, id string) (supervisor.Lease, error) {
	if m.asked++; m.asked == 1 {
		return supervisor.Lease{}, supervisor.ErrRetired
	}
	return m.invoker.Acquire(ctx, id)
}

// A proof is for the address as the caller wrote it, whatever its path becomes
// when it is read: one for another address opens nothing, and the right one is
// not refused because a deploy came in between.
func TestDPoP(t *testing.T) {
	t.Parallel()
	w, src := newTokenWorld(t)
	p := tokentest.NewProver(t)
	id, _ := w.key(func(k *platform.AccessKey) { k.Binding, k.Generation = platform.BindingDPoP, 1 })
	if err := w.g.WaitApplied(t.Context(), w.src.seq()); err != nil {
		t.Fatal(err)
	}
	raw := src.token(t, id, 1, p.JKT())
	for name, tc := range map[string]struct {
		target, htu string
		admitted    bool
	}{
		"plain":                           {"/fn/orders/webhook", "/fn/orders/webhook", true},
		"with a query":                    {"/fn/orders/webhook?a=b", "/fn/orders/webhook", true},
		"a slash at the end":              {"/fn/orders/webhook/", "/fn/orders/webhook/", true},
		"slashes doubled":                 {"/fn//orders/webhook", "/fn//orders/webhook", true},
		"encoded needlessly":              {"/fn/orders/%77ebhook", "/fn/orders/webhook", true},
		"an encoded percent":              {"/fn/orders/a%25b/webhook", "/fn/orders/a%25b/webhook", true},
		"an encoded question mark":        {"/fn/orders/a%3Fb/webhook", "/fn/orders/a%3Fb/webhook", true},
		"a proof of what precedes it":     {"/fn/orders/a%3Fb/webhook", "/fn/orders/a", false},
		"a proof of what precedes a hash": {"/fn/orders/a%23b/webhook", "/fn/orders/a", false},
		"decoded once too often":          {"/fn/orders/a%252Fb/webhook", "/fn/orders/a%2Fb/webhook", false},
		"another path":                    {"/fn/orders/webhook", "/fn/orders/status", false},
		"the path above":                  {"/fn/orders/a/webhook", "/fn/orders/a", false},
		"another case":                    {"/fn/orders/webhook", "/fn/orders/Webhook", false},
	} {
		before := w.invoker.acquired.Load()
		r := httptest.NewRequest("GET", door+tc.target, nil)
		r.RequestURI, r.Host = tc.target, "gateway"
		r.Header = http.Header{"Authorization": {"DPoP " + raw}, "Dpop": {p.Proof(raw, "GET", door+tc.htu, nil)}}
		rec := httptest.NewRecorder()
		w.g.ServeHTTP(rec, r)
		if admitted := w.invoker.acquired.Load() > before; admitted != tc.admitted || !admitted && rec.Code != 401 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

// A deployment that is replaced between routing and running makes the gateway
// look at the request again. Its proof was shown once all the same.
func TestDPoP_DuringDeploy(t *testing.T) {
	t.Parallel()
	w, src := newTokenWorldWith(t, func(i *invoker) gateway.Invoker { return &moving{invoker: i} })
	p := tokentest.NewProver(t)
	id, _ := w.key(func(k *platform.AccessKey) { k.Binding, k.Generation = platform.BindingDPoP, 1 })
	if err := w.g.WaitApplied(t.Context(), w.src.seq()); err != nil {
		t.Fatal(err)
	}
	raw := src.token(t, id, 1, p.JKT())
	header := http.Header{"Authorization": {"DPoP " + raw}, "Dpop": {p.Proof(raw, "GET", door+"/fn/orders/webhook", nil)}}
	if res, got := w.do("GET", "/fn/orders/webhook", header); got.Code != "queue_full" {
		t.Errorf("%d %s", res.StatusCode, got.Code)
	}
	if res, got := w.do("GET", "/fn/orders/webhook", header); got.Code != "dpop_invalid" {
		t.Errorf("the same proof again: %d %s", res.StatusCode, got.Code)
	}
}
