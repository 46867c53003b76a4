package function_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

func TestParseManifest_Workers(t *testing.T) {
	t.Parallel()
	m, _, err := function.ParseManifest(function.SourcePostern, []byte(`{"name":"a","runtime":"node","workers":{"max":2,"spare":1,"memory":"256MiB"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := function.Workers{Max: 2, Spare: 1, Memory: 256 << 20}
	if diff := cmp.Diff(want, m.Workers); diff != "" {
		t.Error(diff)
	}
	again, err := function.DecodeManifest(m.Encode())
	if err != nil || again.Workers != want {
		t.Errorf("read again: %+v, %v", again.Workers, err)
	}
	for text, want := range map[string]string{
		`2`: "must be an object", `{"max":0}`: "no number of workers", `{"max":-1}`: "no number", `{"max":1.5}`: "no number", `{"max":"2"}`: "no number", `{"max":1025}`: "from 1 to 1024",
		`{"max":99999999999}`: "no number", `{"spare":-1}`: "no number", `{"max":1,"spare":2}`: "more than workers.max", `{"memory":"much"}`: "is no size", `{"memory":"64MiB"}`: "from 96 MiB",
		`{"memory":"65GiB"}`: "to 64 GiB", `{"memory":0}`: "is no size", `{"maximum":2}`: `unknown option "maximum"`,
	} {
		_, _, err := function.ParseManifest(function.SourcePostern, []byte("{\"name\":\"a\",\"runtime\":\"node\",\n\"workers\":"+text+"}"))
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "postern.json:2:") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{`{"max":-1}`, `{"memory":1}`, `{"max":1,"spare":2}`, `{"spare":5000}`} {
		if _, err := function.DecodeManifest([]byte(`{"name":"a","runtime":"node","source":"postern.json","workers":` + text + `}`)); err == nil {
			t.Errorf("an artefact with workers %s is taken", text)
		}
	}
}
