package logview

import (
	"os/exec"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

// Whatever a call had in it, a shell reads its line as one command, and no
// variable or command of the caller's.
func TestCurl_Quotes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   api.LogRequest
		want []string // arguments, as the shell has them
	}{
		"plain":               {api.LogRequest{Method: "GET", URL: "http://x/a"}, []string{"--globoff", "http://x/a"}},
		"a quote in the path": {api.LogRequest{Method: "GET", URL: "http://x/a';touch /tmp/no;'"}, []string{"--globoff", "http://x/a';touch /tmp/no;'"}},
		"a command":           {api.LogRequest{Method: "$(id)", URL: "http://x/`id`?$HOME"}, []string{"--globoff", "-X", "$(id)", "http://x/`id`?$HOME"}},
		"headers": {api.LogRequest{Method: "GET", URL: "http://x/", Headers: map[string]string{"x-a": "it's \"$HOME\"", "host": "y", "cookie": removed, "bad:name": "v", "bad name": "v", "": "v", "x-b": "two\r\nX-C: 3"}},
			[]string{"--globoff", "http://x/", "-H", `x-a: it's "$HOME"`, "-H", "x-b: twoX-C: 3"}},
		"basic":       {api.LogRequest{Method: "GET", URL: "http://x/", Auth: "basic", Headers: map[string]string{"authorization": removed}}, []string{"--globoff", "http://x/", "-u", "ID:SECRET"}},
		"a key":       {api.LogRequest{Method: "GET", URL: "http://x/", Auth: "apikey"}, []string{"--globoff", "http://x/", "-H", "X-API-Key: SECRET"}},
		"a token":     {api.LogRequest{Method: "GET", URL: "http://x/", Auth: "bearer"}, []string{"--globoff", "http://x/", "-H", "Authorization: Bearer TOKEN"}},
		"a wrong one": {api.LogRequest{Method: "GET", URL: "http://x/", Auth: "none", Headers: map[string]string{"authorization": removed}}, []string{"--globoff", "http://x/", "-H", "Authorization: AUTH"}},
		"a body":      {api.LogRequest{Method: "PUT", URL: "http://x/", Headers: map[string]string{"content-length": "3"}}, []string{"--globoff", "-X", "PUT", "http://x/", "--data-binary", "@body"}},
	} {
		line := curl(&api.Invocation{Request: tc.in})
		script := `curl() { for a in "$@"; do printf '%s\0' "$a"; done; }; POSTERN_KEY_ID=ID POSTERN_KEY_SECRET=SECRET POSTERN_TOKEN=TOKEN POSTERN_AUTHORIZATION=AUTH; ` + line
		out, err := exec.Command("sh", "-c", script).CombinedOutput()
		if got := strings.Join(tc.want, "\x00") + "\x00"; err != nil || string(out) != got {
			t.Errorf("%s: %q, want %q (%v)", name, out, got, err)
		}
	}
}
