package cli

import (
	"bytes"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

// The line to try is told with what it asks for: a profile's secret is in no
// variable, and curl wants it typed.
func TestPrintDeployed_Try(t *testing.T) {
	t.Parallel()
	done := api.DeployResponse{Function: api.Function{Name: "f", URLs: []string{"http://h/fn/f"}}, Routes: []api.Route{{Path: "/a", Handler: "a", Guard: "access key"}}}
	for as, want := range map[string]string{
		"pak_01jd0000000000000000000000":        "Try it (curl asks for the key's secret):\n  curl -u pak_01jd0000000000000000000000 http://h/fn/f/a\n",
		`"$POSTERN_KEY_ID:$POSTERN_KEY_SECRET"`: "Try it:\n  curl -u \"$POSTERN_KEY_ID:$POSTERN_KEY_SECRET\" http://h/fn/f/a\n",
	} {
		var b bytes.Buffer
		printDeployed(printer{w: &b}, done, as)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
	// A part of the calls is told with the way to the rest, on a line of its own.
	done.Function.Deployment.Number = 2
	done.Function.Candidate = &api.Version{}
	done.Function.Candidate.Number, done.Function.Candidate.Percent = 2, 10
	var b bytes.Buffer
	printDeployed(printer{w: &b}, done, "")
	if want := "f version 2 is live with 10% of the calls\nTo give it all of them: postern functions promote f --percent 100\n"; !strings.HasPrefix(b.String(), want) {
		t.Errorf("%s", b.String())
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
