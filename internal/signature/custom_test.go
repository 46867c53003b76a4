package signature_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/internal/signature"
)

// A scheme that is described wrong is refused when it is described, not when
// somebody forges a callback.
func TestCustom_Refuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no name":                                    `{"header":"X"}`,
		"no header":                                  `{"name":"a"}`,
		"a hash that is broken":                      `{"name":"a","header":"X","hash":"md5"}`,
		"a hash in upper case":                       `{"name":"a","header":"X","hash":"SHA256"}`,
		"an encoding that nobody knows":              `{"name":"a","header":"X","encoding":"base32"}`,
		"a secret's encoding that nobody knows":      `{"name":"a","header":"X","secretEncoding":"hex"}`,
		"no body in what is signed":                  `{"name":"a","header":"X","timestampHeader":"T","signed":"{timestamp}"}`,
		"the body twice":                             `{"name":"a","header":"X","signed":"{body}.{body}"}`,
		"a time that is not signed":                  `{"name":"a","header":"X","timestampHeader":"T","signed":"{body}"}`,
		"a time that is not signed, by default":      `{"name":"a","header":"X","timestampHeader":"T"}`,
		"a time that is signed and nowhere sent":     `{"name":"a","header":"X","signed":"{timestamp}.{body}"}`,
		"the time twice":                             `{"name":"a","header":"X","timestampHeader":"T","signed":"{timestamp}.{body}.{timestamp}"}`,
		"the time in two places":                     `{"name":"a","header":"X","signatureField":"s","timestampField":"t","timestampHeader":"T","signed":"{timestamp}.{body}"}`,
		"the time in a field, the signature in none": `{"name":"a","header":"X","timestampField":"t","signed":"{timestamp}.{body}"}`,
		"time and signature in one field":            `{"name":"a","header":"X","timestampField":"t","signatureField":"t","signed":"{timestamp}.{body}"}`,
		"a prefix in a field":                        `{"name":"a","header":"X","prefix":"v=","signatureField":"s"}`,
		"nothing between time and body":              `{"name":"a","header":"X","timestampHeader":"T","signed":"{timestamp}{body}"}`,
		"a digit between time and body":              `{"name":"a","header":"X","timestampHeader":"T","signed":"{timestamp}0{body}"}`,
		"nothing between body and time":              `{"name":"a","header":"X","timestampHeader":"T","signed":"{body}{timestamp}"}`,
	} {
		var d signature.Custom
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(name, err)
		}
		if s, err := d.Scheme(); err == nil {
			t.Errorf("%s goes through as %v", name, s)
		}
	}
}

func TestCustom_Kinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ describe, header, value string }{
		"SHA-512 in base64":        {`{"name":"a","header":"x-signature","hash":"sha512","encoding":"base64"}`, "X-Signature", b64(sum(sha512.New, secret, body))},
		"SHA-512 in hex":           {`{"name":"a","header":"X-Signature","hash":"sha512","prefix":"sha512="}`, "X-Signature", "sha512=" + hex.EncodeToString(sum(sha512.New, secret, body))},
		"words around the body":    {`{"name":"a","header":"X-Signature","signed":"begin {body} end"}`, "X-Signature", hex.EncodeToString(sum(sha256.New, secret, "begin "+body+" end"))},
		"a field without a time":   {`{"name":"a","header":"X-Signature","signatureField":"sig"}`, "X-Signature", "alg=x,sig=" + hex.EncodeToString(sum(sha256.New, secret, body))},
		"a secret that is decoded": {`{"name":"a","header":"X-Signature","secretEncoding":"base64"}`, "X-Signature", hex.EncodeToString(sum(sha256.New, decoded(secret), body))},
	} {
		var d signature.Custom
		if err := json.Unmarshal([]byte(tc.describe), &d); err != nil {
			t.Fatal(name, err)
		}
		v := verifier(t, signature.Config{Scheme: scheme(t, d), Keys: []signature.Key{{Secret: signature.NewSecret(secret)}}})
		r := signature.Request{Method: "POST", Path: "/x", Body: []byte(body), Now: now, Header: http.Header{tc.header: {tc.value}}}
		if d, err := v.Verify(t.Context(), &r); err != nil || d.Scheme != "a" {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if r.Body = []byte(body + " "); true {
			if _, err := v.Verify(t.Context(), &r); err != signature.ErrSignature {
				t.Errorf("%s, with a byte more: %v", name, err)
			}
		}
	}
}

func TestCustom_Fields(t *testing.T) {
	t.Parallel()
	at := unix(now)
	mac := func(stamp string) string { return hex.EncodeToString(sum(sha256.New, secret, stamp+"."+body)) }
	good := mac(at)
	for _, tc := range []struct {
		name, list string
		want       error
	}{
		{"as it is sent", "t=" + at + ",v1=" + good, nil},
		{"in another order", "v1=" + good + ",t=" + at, nil},
		{"others between", "t=" + at + ",v0=" + strings.Repeat("0", 64) + ",x,v1=" + good, nil},
		{"two signatures", "t=" + at + ",v1=" + strings.Repeat("0", 64) + ",v1=" + good, nil},
		{"the good one under the old name", "t=" + at + ",v0=" + good, signature.ErrMalformed},
		{"two times", "t=" + at + ",t=" + at + ",v1=" + good, signature.ErrMalformed},
		{"no time", "v1=" + good, signature.ErrMalformed},
		{"an empty time", "t=,v1=" + good, signature.ErrMalformed},
		{"another time", "t=" + at[:len(at)-1] + "0,v1=" + good, signature.ErrSignature},
		{"a time with a sign", "t=+" + at + ",v1=" + mac("+"+at), signature.ErrMalformed},
		{"a time with a fraction", "t=" + at + ".5,v1=" + mac(at+".5"), signature.ErrMalformed},
		{"a time of twelve digits", "t=00" + at + ",v1=" + mac("00"+at), signature.ErrMalformed},
		{"a time in milliseconds", "t=" + at + "000,v1=" + mac(at+"000"), signature.ErrMalformed},
		{"a time in hex", "t=0x10,v1=" + mac("0x10"), signature.ErrMalformed},
		{"spaces", "t=" + at + ", v1=" + good, signature.ErrMalformed},
		{"nine signatures", "t=" + at + strings.Repeat(",v1="+strings.Repeat("0", 64), 8) + ",v1=" + good, signature.ErrMalformed},
		{"a field of 5 KiB", "t=" + at + ",v1=" + good + ",x=" + strings.Repeat("a", 5<<10), signature.ErrMalformed},
		{"a field that is empty", "t=" + at + ",v1=", signature.ErrMalformed},
	} {
		r := signature.Request{Method: "POST", Path: "/x", Body: []byte(body), Now: now, Header: http.Header{"Stripe-Signature": {tc.list}}}
		if _, err := verifier(t, signature.Config{Scheme: scheme(t, signature.Stripe), Keys: []signature.Key{{Secret: signature.NewSecret(secret)}}}).Verify(t.Context(), &r); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// A prefix says which signature it is, and one without it is none.
func TestCustom_Prefixes(t *testing.T) {
	t.Parallel()
	for _, s := range senders()[6:8] {
		for _, other := range []string{"", "sha1=", "v1=", "V0=", "SHA256=", "sha256:", "v0=v0="} {
			r := s.request(now)
			_, sum, _ := strings.Cut(r.Header[s.headers[0]][0], "=")
			r.Header[s.headers[0]] = []string{other + sum}
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err != signature.ErrMalformed {
				t.Errorf("%s with the prefix %q: %v", s.name, other, err)
			}
		}
	}
}
