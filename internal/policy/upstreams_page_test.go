package policy_test

import (
	"os"
	"strings"
	"testing"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/policy"
)

// The policy that the page on upstreams shows is one, and says what it seems to.
func TestUpstreamsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/upstreams.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	d, err := policy.Parse("gateway.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if u := d.Upstreams; len(u) != 1 || len(u[0].Routes) != 3 || u[0].WebSocket == nil || u[0].WebSocket.Idle == 0 || u[0].Retries != 2 {
		t.Errorf("%+v", u)
	}
	opened := 0
	for _, r := range d.Upstreams[0].Routes {
		if r.Guard == platform.GuardOpen {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d routes are open", opened)
	}
	for _, bad := range []string{"url: http://169.254.169.254", "url: http://a.example/x/../y", "url: ftp://a.example", "url: http://u:p@a.example"} {
		if _, err := policy.Parse("gateway.yaml", []byte(strings.Replace(text, "url: http://10.0.0.5:9000/v1 ", bad+" ", 1))); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
