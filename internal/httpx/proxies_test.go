package httpx

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// Only what a trusted proxy added itself says who called.
func TestProxies_Believe(t *testing.T) {
	t.Parallel()
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48")}
	const peer = "10.0.0.1:4711"
	for _, tc := range []struct {
		name, peer string
		lines      []string
		want       string
	}{
		{"one address", peer, []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"what the caller wrote before it", peer, []string{"127.0.0.1, 192.0.2.7"}, "192.0.2.7:0"},
		{"garbage before it", peer, []string{"<script>,,' or 1=1, 192.0.2.7"}, "192.0.2.7:0"},
		{"through two proxies", peer, []string{"198.51.100.1, 192.0.2.7, 10.1.1.1"}, "192.0.2.7:0"},
		{"two lines", peer, []string{"198.51.100.1", "192.0.2.7, 10.1.1.1"}, "192.0.2.7:0"},
		{"two lines, the last of proxies", peer, []string{"198.51.100.1, 192.0.2.7", "10.1.1.1", "10.1.1.2"}, "192.0.2.7:0"},
		{"with a port", peer, []string{"192.0.2.7:8080"}, "192.0.2.7:0"},
		{"spaces and tabs", peer, []string{"198.51.100.1,\t 192.0.2.7 \t"}, "192.0.2.7:0"},
		{"IPv6", peer, []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"IPv6 with brackets", peer, []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"IPv6 with brackets and port", peer, []string{"[2001:db8::1]:443"}, "[2001:db8::1]:0"},
		{"IPv6 through an IPv6 proxy", "[2001:db8:ffff::9]:1", []string{"2001:db8::1, 2001:db8:ffff::2"}, "[2001:db8::1]:0"},
		{"IPv6 with a zone", peer, []string{"fe80::1%eth0"}, "[fe80::1]:0"},
		{"IPv4 written as IPv6", peer, []string{"::ffff:192.0.2.7"}, "192.0.2.7:0"},
		{"a proxy written as IPv6", peer, []string{"192.0.2.7, ::ffff:10.1.1.1"}, "192.0.2.7:0"},
		{"a peer written as IPv6", "[::ffff:10.0.0.1]:5", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"a proxy's own call", peer, []string{"10.2.2.2, 10.1.1.1"}, "10.2.2.2:0"},
		{"a call from this machine", peer, []string{"127.0.0.1"}, "127.0.0.1:0"},
		{"20 proxies", peer, []string{"192.0.2.7" + strings.Repeat(",10.1.1.1", 19)}, "192.0.2.7:0"},

		{"nothing", peer, nil, peer},
		{"empty", peer, []string{""}, peer},
		{"empty at the end", peer, []string{"192.0.2.7,"}, peer},
		{"a name", peer, []string{"192.0.2.7, unknown"}, peer},
		{"garbage between proxies", peer, []string{"192.0.2.7, x, 10.1.1.1"}, peer},
		{"quotes", peer, []string{`"192.0.2.7"`}, peer},
		{"an unfinished bracket", peer, []string{"[2001:db8::1"}, peer},
		{"IPv4 in brackets", peer, []string{"[192.0.2.7]"}, peer},
		{"a network", peer, []string{"192.0.2.0/24"}, peer},
		{"leading zeros", peer, []string{"192.0.2.007"}, peer},
		{"a long entry", peer, []string{strings.Repeat(" ", 5) + strings.Repeat("1", 65)}, peer},
		{"21 proxies", peer, []string{"192.0.2.7" + strings.Repeat(",10.1.1.1", 20)}, peer},
		{"a header of a mebibyte", peer, []string{strings.Repeat("10.1.1.1,", 1<<17) + "10.1.1.1"}, peer},

		{"no proxy", "192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1:5"},
		{"next to a proxy", "11.0.0.1:5", []string{"198.51.100.1"}, "11.0.0.1:5"},
		{"on this machine", "127.0.0.1:5", []string{"198.51.100.1"}, "127.0.0.1:5"},
		{"a socket", "@", []string{"198.51.100.1"}, "@"},
	} {
		var got, other string
		h := proxies.believe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, other = r.RemoteAddr, Peer(r) }))
		r := httptest.NewRequestWithContext(proxies.know(t.Context(), from{addr: tc.peer}), "GET", "/", nil)
		r.RemoteAddr = tc.peer
		r.Header["X-Forwarded-For"] = tc.lines
		for _, name := range []string{"Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X_forwarded_for"} {
			r.Header[name] = []string{"for=203.0.113.9", "203.0.113.9"}
		}
		h.ServeHTTP(nil, r)
		if got != tc.want || other != tc.peer {
			t.Errorf("%s: called from %s by way of %s, want %s by way of %s", tc.name, got, other, tc.want, tc.peer)
		}
	}
}

// from is a connection from somewhere.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr { return named(f.addr) }

type named string

func (named) Network() string  { return "tcp" }
func (n named) String() string { return string(n) }

func FuzzProxies(f *testing.F) {
	f.Add("192.0.2.7", "10.1.1.1, [2001:db8::1]:443")
	f.Add("::ffff:10.0.0.1", ",")
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, first, second string) {
		const peer = "10.0.0.1:1"
		h := http.Header{"X-Forwarded-For": {first, second}}
		got := proxies.client(h, peer)
		a, err := netip.ParseAddrPort(got)
		if err != nil || got != peer && a.Port() != 0 || a.Addr().Is4In6() || a.Addr().Zone() != "" {
			t.Errorf("called from %q", got)
		}
		// What the caller writes before what the proxy adds changes nothing.
		h["X-Forwarded-For"] = append(h["X-Forwarded-For"], "192.0.2.7")
		if got := proxies.client(h, peer); got != "192.0.2.7:0" {
			t.Errorf("called from %q", got)
		}
	})
}

func TestPeer_WithoutProxies(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:5"
	if got := Peer(r); got != "192.0.2.1:5" {
		t.Error(got)
	}
}
