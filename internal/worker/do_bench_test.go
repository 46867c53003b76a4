package worker

import (
	"testing"
)

// smallCall is the call that decides the speed of the gateway: a few headers,
// no body.
func smallCall() *Request {
	return &Request{ID: "req_0123456789abcdefghij", Method: "GET", Handler: "webhook", Path: "/webhook", Host: "127.0.0.1:8080", ClientIP: "127.0.0.1",
		KeyID: "pak_01jd0000000000000000000000", ProjectID: "prj_01jd0000000000000000000000", AuthMethod: "basic", Scopes: "invoke",
		Header: map[string][]string{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Authorization": {"Basic xxxxxxxxxxxxxxxxxxxxxxxxxx"}}}
}

// BenchmarkDo is the host's side of a call: encoding, two system calls shared
// by as many as are in flight, hand-over, parsing. The other end is a goroutine
// of the same process, whose time counts as well.
func BenchmarkDo(b *testing.B) {
	for _, bm := range []struct {
		name     string
		inFlight int
	}{{"1", 1}, {"64", 32}} {
		b.Run(bm.name, func(b *testing.B) {
			c, p, _ := connect(b, socketPair)
			go p.echo()
			b.ReportAllocs()
			run := func(next func() bool) {
				r := smallCall()
				for next() {
					res, err := c.do(b.Context(), r)
					if err != nil {
						b.Error(err)
						return
					}
					res.Close()
				}
			}
			if bm.inFlight == 1 {
				run(b.Loop)
				return
			}
			b.SetParallelism(bm.inFlight) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) { run(pb.Next) })
		})
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	r, buf := smallCall(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		appendRequest(buf[:0], 1, r)
	}
}

func BenchmarkCopyHeader(b *testing.B) {
	_, headers, _, err := parseResponse(reply(200, "", "content-type", "application/json"))
	if err != nil {
		b.Fatal(err)
	}
	r, into := &Response{table: headers}, map[string][]string{}
	b.ReportAllocs()
	for b.Loop() {
		clear(into)
		r.CopyHeader(into)
	}
}
