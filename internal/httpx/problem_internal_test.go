package httpx

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is written by hand is what encoding/json writes.
func TestAppendProblem(t *testing.T) {
	t.Parallel()
	same := func(p Problem) bool {
		want, err := json.Marshal(p)
		return err == nil && string(appendProblem(nil, &p)) == string(want)
	}
	for _, text := range []string{"", "plain", `"`, `\`, "<&>", "\x00\x1f\x7f", "ü\u2028", "\xff", strings.Repeat("x", 4096)} {
		if !same(Problem{text, text, 401, text, text, text, text}) {
			t.Errorf("%q is written in another way", text)
		}
	}
	for _, c := range Codes() {
		if !same(Problem{Type: "urn:postern:problem:" + c.Code, Title: c.Title, Status: c.Status, Code: c.Code, Hint: c.Remedy}) {
			t.Errorf("%s is written in another way", c.Code)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		p := Problem{text.Draw(t, "type"), text.Draw(t, "title"), rapid.Int().Draw(t, "status"), text.Draw(t, "detail"), text.Draw(t, "code"), text.Draw(t, "hint"), text.Draw(t, "id")}
		if !same(p) {
			t.Errorf("%+v is written in another way", p)
		}
	})
}
