package devserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Callers from elsewhere are told that it fails, and nothing of the code.
func TestOutside_SeesNoCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": "export const auth = [];\nexport const a = () => { throw new Error('inner text'); };\n"}, nil)
	outside := func(want int, says string) {
		t.Helper()
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "http://tun-1.example/a", nil)
		r.Header.Set("Accept", "text/html")
		w.d.Outside().ServeHTTP(rec, r)
		if body := rec.Body.String(); rec.Code != want || !strings.Contains(body, says) || strings.Contains(body, "function.ts") || strings.Contains(body, "inner text") || strings.Contains(body, "frame") {
			t.Errorf("%d %s", rec.Code, body)
		}
	}
	if got := w.get("/a"); !strings.Contains(got.body, "inner text") {
		t.Fatalf("its developer: %s", got.body)
	}
	outside(http.StatusInternalServerError, "handler_failed")
	w.save("function.ts", "export const a = ;\n")
	if got := w.get("/a"); got.code() != "development_failed" {
		t.Fatalf("its developer: %s", got.body)
	}
	outside(http.StatusServiceUnavailable, "being worked on")
}
