package admin_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"postern.dev/postern/internal/admin"
)

// The schema of manifests is there for everybody, and for reading alone.
func TestSchema(t *testing.T) {
	t.Parallel()
	h, _ := admin.New(admin.Options{BasicRate: 1, BasicBurst: 1})
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, admin.SchemaPath, nil))
		if rec.Code != want {
			t.Errorf("%s: %d", method, rec.Code)
		}
		var doc struct {
			Title      string
			Properties map[string]any
		}
		if method == http.MethodGet && (json.Unmarshal(rec.Body.Bytes(), &doc) != nil || doc.Properties["secrets"] == nil || rec.Header().Get("Content-Type") != "application/schema+json") {
			t.Errorf("%v: %.80s", rec.Header(), rec.Body)
		}
	}
}
