package state_test

import (
	"fmt"
	"testing"

	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/state/statetest"
)

// One call in the host, with SQLite behind it; the frames come on top.
func BenchmarkService(b *testing.B) {
	call := newService(b).For(function.NewFunctionID(statetest.NewSteps().Now()))
	for op, fields := range map[string][]string{"cache.get": {"k"}, "cache.set": {"k", `{"user":"u-1"}`, "60000"}, "cache.increment": {"n", "1", "60000"}, "storage.read": {"k"}} {
		if _, err := call(b.Context(), "storage.write", [][]byte{[]byte("k"), []byte("data")}); err != nil {
			b.Fatal(err)
		}
		var in [][]byte
		for _, f := range fields {
			in = append(in, []byte(f))
		}
		b.Run(op, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := call(b.Context(), op, in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint(op, " at once"), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := call(b.Context(), op, in); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
