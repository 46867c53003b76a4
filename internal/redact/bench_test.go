package redact_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"testing"

	"postern.dev/postern/internal/redact"
)

// secrets are as many as people have: keys of providers, passwords, URLs.
func secrets(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("SECRET_%d", i)] = []string{"sk_live_", "postgres://user:", "", "p&ss w/rd="}[i%4] + rand.Text()
	}
	return out
}

// logText is lines as functions and servers write them.
func logText(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `{"time":"2026-11-21T16:38:%02dZ","level":"INFO","msg":"request","requestId":"req_%s","method":"POST","path":"/orders/%d","status":200,"took":"1.%03dms"}`+"\n", i%60, rand.Text(), i, i%1000)
		fmt.Fprintf(&b, "GET https://api.example.com/v1/customers/%d?expand=orders 200 in %d ms, connected to postgres://db.internal\n", i, i%977)
	}
	return b.Bytes()[:size]
}

func BenchmarkWriter(b *testing.B) {
	text := logText(1 << 20)
	for _, n := range []int{1, 100, 1000, 10000} {
		set := redact.New(secrets(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := set.Writer(io.Discard)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				for part := text; len(part) > 0; part = part[min(32<<10, len(part)):] {
					w.Write(part[:min(32<<10, len(part))])
				}
			}
		})
	}
}

func BenchmarkLine(b *testing.B) {
	set := redact.New(secrets(100))
	line := logText(180)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		set.Bytes(line)
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{5, 100, 5000} {
		values := secrets(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				redact.New(values)
			}
		})
	}
}
