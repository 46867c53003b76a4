package signature_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"postern.dev/postern/internal/signature"
)

func hmac256(message string) []byte { return sum(sha256.New, decoded(secret), message) }

// open is a memory that takes everything, for measuring what is before it.
type open struct{}

func (open) Take(context.Context, signature.Mark, time.Time, time.Time) (bool, error) {
	return true, nil
}
func (open) Forget(context.Context, signature.Mark) error { return nil }

// What a forged callback costs does not grow with its body; a good one may have
// its event ID looked for.
func TestVerify_Allocations(t *testing.T) {
	for _, s := range senders() {
		for what, tc := range map[string]struct {
			body []byte
			key  string
			most float64
		}{
			"good": {[]byte(body), secret, 33}, "good, of a MiB": {make([]byte, 1<<20), secret, 22}, "forged": {make([]byte, 1<<20), otherSecret, 14},
		} {
			r := s.request(now)
			r.Body = tc.body
			s.sign(tc.key, &r, now)
			v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Memory: open{}})
			if n := testing.AllocsPerRun(5, func() { v.Verify(t.Context(), &r) }); n > tc.most {
				t.Errorf("%s, %s: %v allocations, at most %v", s.name, what, n, tc.most)
			} else {
				t.Logf("%s, %s: %v", s.name, what, n)
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, s := range senders() {
		b.Run(s.name, func(b *testing.B) {
			r := s.request(now)
			v := verifier(b, signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Memory: open{}})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
