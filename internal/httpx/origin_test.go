package httpx_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"postern.dev/postern/internal/httpx"
)

// What a request says of its host counts only where it can be nothing else.
func TestOrigin(t *testing.T) {
	t.Parallel()
	const local, public = "http://127.0.0.1:8081", "https://control.example"
	loopback, lan := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8081}
	for _, tc := range []struct {
		known, host string
		at          net.Addr
		want        string
	}{
		{local, "127.0.0.1:8081", loopback, local},
		{local, "localhost:8081", loopback, "http://localhost:8081"},
		{local, "[::1]:8081", &net.TCPAddr{IP: net.IPv6loopback, Port: 8081}, "http://[::1]:8081"},
		{local, "192.0.2.7:8081", lan, "http://192.0.2.7:8081"}, // the server listens everywhere
		{local, "localhost:8081", lan, local},
		{local, "localhost:9", loopback, local},
		{local, "evil.example", loopback, local},
		{local, "evil.example:8081", lan, local},
		{local, "127.0.0.1:8081", nil, local},
		{public, "control.example", lan, public},
		{public, "evil.example", lan, public},
		{public, "192.0.2.7:8081", lan, public}, // a proxy names the address to which it connects
		{public, "127.0.0.1:8081", loopback, public},
	} {
		r := httptest.NewRequest("POST", "/oauth2/token", nil)
		r.Host = tc.host
		if tc.at != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tc.at))
		}
		if got := httpx.Origin(r, tc.known); got != tc.want {
			t.Errorf("known as %s, called as %s at %v: %s, want %s", tc.known, tc.host, tc.at, got, tc.want)
		}
	}
}
