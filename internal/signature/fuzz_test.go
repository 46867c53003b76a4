package signature_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/signature"
)

// A fuzz test whose seeds went missing would pass and check nothing.
func TestFuzzSeedsExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"FuzzVerify_Unsigned", "FuzzVoice_OneMeaning", "FuzzStandard_Signed"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*"))
		if err != nil || len(seeds) < 3 {
			t.Errorf("%s has %d seeds (%v)", name, len(seeds), err)
		}
		for _, f := range seeds {
			if data, err := os.ReadFile(f); err != nil || !strings.HasPrefix(string(data), "go test fuzz v1\n") {
				t.Errorf("%s is no seed: %v", f, err)
			}
		}
	}
}

// Without the secret nothing passes, whatever stands in which header.
func FuzzVerify_Unsigned(f *testing.F) {
	all := senders()
	f.Add(0, "application app:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "2026-01-02T03:04:05Z", "", "/ice", "a=b", []byte(body))
	f.Fuzz(func(t *testing.T, n int, first, second, third, path, query string, text []byte) {
		s := all[(n%len(all)+len(all))%len(all)]
		r := signature.Request{Method: "POST", Path: path, Query: query, Header: http.Header{}, Body: text, Now: now}
		for i, value := range []string{first, second, third} {
			if i < len(s.headers) {
				r.Header[s.headers[i]] = []string{value}
			}
		}
		before := bytes.Clone(text)
		v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys("c2VjcmV0IG9mIHRoaXMgcnVu")})
		if d, err := v.Verify(t.Context(), &r); err == nil {
			t.Fatalf("%s: %+v passes", s.name, d)
		}
		if !bytes.Equal(before, r.Body) {
			t.Fatal("the body was altered")
		}
	})
}

// A voice signature that is good for one target is good for no other path:
// whatever passes is that path in another spelling.
func FuzzVoice_OneMeaning(f *testing.F) {
	f.Add("/ice", "", "/ice", "a=b")
	f.Fuzz(func(t *testing.T, path, query, other, otherQuery string) {
		v := func() *signature.Verifier {
			return verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: senders()[0].keys(secret)})
		}
		for _, text := range []string{path, path + "?" + query} {
			r := signed(path, query, text, jsonType, jsonType, body)
			if _, err := v().Verify(t.Context(), &r); err != nil {
				continue
			}
			r.Path, r.Query = other, otherQuery
			if _, err := v().Verify(t.Context(), &r); err != nil {
				continue
			}
			// It passes for both: decoded as often as it takes, they are one path.
			a, b := fully(path), fully(other)
			if a != b {
				t.Fatalf("%q signed for %q passes for %q", text, path, other)
			}
			if text != path && otherQuery != query {
				t.Fatalf("the query %q is good for %q", otherQuery, query)
			}
		}
	})
}

// fully is a path with its good escapes undone once, others left.
func fully(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) && strings.IndexByte(hexDigits, path[i+1]) >= 0 && strings.IndexByte(hexDigits, path[i+2]) >= 0 {
			c := strings.IndexByte(hexDigits, path[i+1])%16<<4 | strings.IndexByte(hexDigits, path[i+2])%16
			b.WriteByte(byte(c))
			i += 2
			continue
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

const hexDigits = "0123456789abcdef0123456789ABCDEF" // an index modulo 16 is the digit

// What is signed for one ID, time and body is good for no other.
func FuzzStandard_Signed(f *testing.F) {
	f.Add("msg_1", "1767323045", []byte(body), "msg_2", "1767323045", []byte(body))
	f.Fuzz(func(t *testing.T, id, stamp string, text []byte, otherID, otherStamp string, otherText []byte) {
		s := senders()[4]
		line := "v1," + base64.StdEncoding.EncodeToString(hmac256(id+"."+stamp+"."+string(text)))
		try := func(id, stamp string, text []byte) error {
			r := signature.Request{Method: "POST", Path: "/x", Body: text, Now: now, Header: http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {line}}}
			_, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r)
			return err
		}
		if try(id, stamp, text) != nil || id == otherID && stamp == otherStamp && bytes.Equal(text, otherText) {
			return
		}
		if try(otherID, otherStamp, otherText) == nil {
			t.Fatalf("%q %q %q is good for %q %q %q", id, stamp, text, otherID, otherStamp, otherText)
		}
	})
}
