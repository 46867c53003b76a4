package oauth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"postern.dev/postern/internal/oauth"
	"postern.dev/postern/internal/token"
)

// 120,000 strangers, each from another address with another ID and another
// secret, leave no more behind than there is room for, and keep nobody out.
func TestMemory_Bounded(t *testing.T) {
	w := newWorld(t, token.EdDSA)
	k, secret := w.mint(nil)
	heap := func() int64 {
		var m runtime.MemStats
		w.records = nil
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	template := httptest.NewRequest("POST", oauth.TokenPath, nil)
	before := heap()
	for i := range 120_000 {
		r := *template
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&0xff, i&0xff)
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {basic(fmt.Sprint("pak_", i), fmt.Sprint("wrong", i))}}
		r.Body = io.NopCloser(strings.NewReader(grantForm))
		w.ServeHTTP(&discard{header: http.Header{}}, &r)
	}
	if grown := heap() - before; grown > 48<<20 {
		t.Errorf("grown by %d MiB", grown>>20)
	} else {
		t.Logf("grown by %d KiB", grown>>10)
	}
	if a := w.post(oauth.TokenPath, grantForm, as(k.ID, secret)); a.status != 200 {
		t.Errorf("the right secret after them: %d %s", a.status, a.raw)
	}
}
