package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/gateway"
)

// A call is in the function's log while somebody looks, with nothing that is
// worth taking; and a failed one always.
func TestKeptCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	book, err := funclog.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	w.g = gateway.New(gateway.Options{Logs: book}, w.invoker)
	id, secret := w.key(nil)
	w.load(t)
	kept := func() []funclog.Entry {
		list, _ := book.Page(t.Context(), fnID, funclog.Query{Filter: funclog.Filter{Level: funclog.Every, Invocations: true}, Limit: 100})
		return list
	}
	w.do("GET", "/fn/orders/health", nil)
	w.do("GET", "/fn/orders/webhook", nil)
	if list := kept(); len(list) != 0 {
		t.Errorf("nobody looks, and %d calls are kept", len(list))
	}
	w.do("GET", "/fn/orders/status?a=1", nil)
	list := kept()
	if len(list) != 1 || list[0].Invocation.Status != 503 || list[0].Invocation.Code != "queue_full" || list[0].RequestID == "" || list[0].DeploymentID != deployed {
		t.Fatalf("of a failed call: %+v", list)
	}
	r := book.Follow(fnID, funclog.From{})
	defer r.Close()
	for target, status := range map[string]int{"/fn/orders/health": 200, "/fn/orders/webhook?token=" + secret + "&x=" + secret: 401, "/fn/orders/nope": 404, "/fn/nobody/x": 0} {
		h := http.Header{"Authorization": {basic(id, secret+"x")}, "Cookie": {secret}, "X-Note": {"it is " + secret}, "X-Esc": {"\x1b[31m"}}
		if strings.Contains(target, "nope") {
			h.Del("Authorization")
		}
		w.do("GET", target, h)
		if status == 0 {
			continue
		}
		list, _, err := r.Next(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %d entries", target, err, len(list))
		}
		c := list[0].Invocation
		if c == nil || c.Status != status || c.Method != "GET" || !strings.HasPrefix(c.URL, "http://127.0.0.1"+strings.SplitN(target, "?", 2)[0]) || c.Took <= 0 || time.Since(c.BeganAt) > time.Minute || c.Response["x-request-id"] != list[0].RequestID {
			t.Errorf("%s: %+v", target, c)
		}
		for _, text := range append([]string{c.URL}, c.Request["authorization"], c.Request["cookie"], c.Request["x-note"]) {
			if strings.Contains(text, secret) || strings.Contains(text, basic(id, secret+"x")) {
				t.Errorf("%s shows %q", target, text)
			}
		}
	}
	if len(w.invoker.retired) != 0 || w.invoker.acquired.Load() != 1 {
		t.Errorf("%d calls reached the workers", w.invoker.acquired.Load())
	}
}
