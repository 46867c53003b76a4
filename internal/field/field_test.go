package field_test

import (
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/internal/field"
)

func TestStripped(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Authorization", "Proxy-Authorization", "X-Api-Key", "Dpop", "Host", "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Http2-Settings", "Forwarded", "X-Forwarded-For", "X-Forwarded-Anything", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url",
		"X-Postern-Key-Id", "X-Postern-", "", ":path"} {
		for _, spelt := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1)} {
			if !field.Stripped(spelt, nil) {
				t.Errorf("%q goes past the gateway", spelt)
			}
		}
	}
	for _, name := range []string{"Accept", "Content-Type", "Cookie", "Traceparent", "X-Request-Id", "X-Postern", "X-Forwarded", "Webhook-Signature", "Upgrade-Insecure-Requests", "Te-X"} {
		if field.Stripped(name, nil) {
			t.Errorf("%q does not go past the gateway", name)
		}
		if !field.Stripped(name, []string{"close", "x, " + strings.ToLower(name) + " "}) {
			t.Errorf("%q is hop-by-hop, and goes past the gateway", name)
		}
	}
}

func TestStripped_DoesNotAllocate(t *testing.T) {
	h := http.Header{"Accept": {"*/*"}, "X-Custom_header.of-some-length-that-is-long": {"1"}, "X-Forwarded-For": {"1"}, "Connection": {"close, te"}}
	if n := testing.AllocsPerRun(100, func() {
		for name := range h {
			field.Stripped(name, h["Connection"])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
