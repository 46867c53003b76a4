package worker_test

import (
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/worker"
)

// BenchmarkDo_Node is the whole way to a real worker and back, with 64 calls
// in flight.
func BenchmarkDo_Node(b *testing.B) {
	w, _ := start(b, `export const webhook = (c: any, r: any) => ({ received: r.body ?? null });`)
	header := map[string][]string{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Authorization": {"Basic xxxxxxxxxxxxxxxxxxxxxxxxxx"}}
	var failed atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := worker.Request{ID: "req_0123456789abcdefghij", Method: "GET", Handler: "webhook", Path: "/webhook", ClientIP: "127.0.0.1", KeyID: "pak_01h", ProjectID: "prj_01h",
				AuthMethod: "basic", Scopes: "invoke", Host: "127.0.0.1:8080", Header: header}
			res, err := w.Do(b.Context(), &r)
			if err != nil || res.Status != 200 {
				failed.Add(1)
				continue
			}
			res.Close()
		}
	})
	if failed.Load() > 0 {
		b.Fatalf("%d calls failed", failed.Load())
	}
}
