package platform_test

import (
	"testing"

	"postern.dev/postern/internal/platform"
)

// Whoever calls has one address, however it is written, and one block.
func TestCallerAddr(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string][2]string{
		"192.0.2.7:80": {"192.0.2.7", "192.0.2.7"}, "[::ffff:192.0.2.7]:80": {"192.0.2.7", "192.0.2.7"}, "[2001:db8::1]:80": {"2001:db8::1", "2001:db8::"},
		"[2001:db8:0:1:2::3]:0": {"2001:db8:0:1:2::3", "2001:db8:0:1::"}, "[fe80::1%eth0]:80": {"fe80::1", "fe80::"},
		"": {"invalid IP", "invalid IP"}, "192.0.2.7": {"invalid IP", "invalid IP"}, "2001:db8::1": {"invalid IP", "invalid IP"}, "localhost:80": {"invalid IP", "invalid IP"}, "@": {"invalid IP", "invalid IP"},
	} {
		a := platform.CallerAddr(remote)
		if got := [2]string{a.String(), platform.CallerBlock(a).String()}; got != want {
			t.Errorf("%q: %v, want %v", remote, got, want)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128", "0.0.0.0/0": "0.0.0.0/0",
		"": "", "10.0.0.1/8": "", "::ffff:10.0.0.0/104": "", "::ffff:10.0.0.1": "", "fe80::1%eth0": "", "10.0.0.0/33": "", "10.0.0/8": "", "010.0.0.1": "", "localhost": "", " 10.0.0.1": "",
	} {
		p, err := platform.ParseNetwork(text)
		if (err != nil) != (want == "") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}
