package usage

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/platform"
)

// FuzzDecode: whatever stands in a journal, nothing panics, and what is taken
// for a batch is one that encodes to the same rows.
func FuzzDecode(f *testing.F) {
	one := pending{batch: 7, rows: map[cell]platform.Counts{{series{"prj_a", "fn-a", "a\nb\x00\xff", "pak_1", ""}, 20000}: {Invocations: 1, BytesOut: 1 << 40}}}
	good, err := encode(one)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{strings.TrimSuffix(string(good), "\n"), "", " ", "00000000 ", "00000000 {}", "zzzzzzzz {}", string(good[:20]), "44136fa3 {}"} {
		f.Add(seed)
	}
	if l, ok := decode(strings.TrimSuffix(string(good), "\n")); !ok || l.Batch != 7 || len(l.Rows) != 1 || l.Rows[0].FunctionName != "a\nb\ufffd\ufffd" {
		f.Fatalf("%v %+v", ok, l)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := decode(text)
		if !ok {
			return
		}
		p := pending{batch: l.Batch, rows: map[cell]platform.Counts{}}
		for _, r := range l.Rows {
			k := cell{series{r.ProjectID, r.FunctionID, r.FunctionName, r.Caller, r.Code}, r.Day}
			if _, twice := p.rows[k]; twice || r.CallerName != "" {
				return // none that was written is like this
			}
			p.rows[k] = r.Counts
		}
		again, err := encode(p)
		if err != nil {
			t.Fatal(err)
		}
		l2, ok := decode(strings.TrimSuffix(string(again), "\n"))
		if !ok || l2.Batch != l.Batch || len(l2.Rows) != len(l.Rows) {
			t.Errorf("%s", cmp.Diff(l, l2))
		}
	})
}
