package signature_test

import (
	"crypto/md5"
	"crypto/sha256"
	"net/http"
	"testing"
	"time"

	"postern.dev/postern/internal/signature"
)

// signed is a voice request whose signature is over a path and a content type
// that are not those that it is sent with.
func signed(path, query, signedPath, kind, signedKind, body string) signature.Request {
	digest := ""
	if body != "" {
		m := md5.Sum([]byte(body))
		digest = b64(m[:])
	}
	stamp := now.Format(time.RFC3339)
	text := "POST\n" + digest + "\n" + signedKind + "\nx-timestamp:" + stamp + "\n" + signedPath
	h := http.Header{"X-Timestamp": {stamp}, "Authorization": {"application app:" + b64(sum(sha256.New, decoded(secret), text))}}
	if kind != "" {
		h.Set("Content-Type", kind)
	}
	return signature.Request{Method: "POST", Path: path, Query: query, Header: h, Body: []byte(body), Now: now}
}

// The spellings of a path that senders use, and those that would carry a
// signature to a path that it was not made for.
func TestVoice_Paths(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, path, query, signed string
		want                      error
	}{
		{"as sent", "/ice", "", "/ice", nil},
		{"as sent, encoded", "/a%20b/ice", "", "/a%20b/ice", nil},
		{"decoded", "/a%20b/ice", "", "/a b/ice", nil},
		{"decoded, not ASCII", "/%C3%A9/ice", "", "/é/ice", nil},
		{"decoded, a plus stays", "/a+b%2B/ice", "", "/a+b+/ice", nil},
		{"without its query", "/ice", "a=b", "/ice", nil},
		{"with its query", "/ice", "a=b", "/ice?a=b", nil},
		{"decoded, with the query", "/a%20b/ice", "x=1", "/a b/ice?x=1", signature.ErrSignature},
		{"a path that reads like another with its query", "/ice%3Fa=b", "", "/ice?a=b", signature.ErrSignature},
		{"the query of another", "/ice", "a=c", "/ice?a=b", signature.ErrSignature},
		{"the query dropped", "/ice", "", "/ice?a=b", signature.ErrSignature},
		{"a slash that was none", "/a%2fice", "", "/a/ice", signature.ErrSignature},
		{"an escape that was none", "/a%2562/ice", "", "/a%62/ice", signature.ErrSignature},
		{"decoded twice", "/a%2562/ice", "", "/ab/ice", signature.ErrSignature},
		{"a fragment that was none", "/ice%23x", "", "/ice#x", signature.ErrSignature},
		{"decoded to a line break", "/ice%0a", "", "/ice\n", signature.ErrSignature},
		{"decoded to bad UTF-8", "/%ff/ice", "", "/\xff/ice", signature.ErrSignature},
		{"a bad escape", "/%zz/ice", "", "/%zz/ice", nil},
		{"below an address of ours", "/fn/orders/ice", "", "/ice", signature.ErrSignature},
		{"a path of another callback", "/ace", "", "/ice", signature.ErrSignature},
		{"no slash", "ice", "", "ice", signature.ErrMalformed},
		{"a query in the path", "/ice?a=b", "", "/ice?a=b", signature.ErrMalformed},
		{"a fragment in the path", "/ice#a", "", "/ice#a", signature.ErrMalformed},
		{"a space in the path", "/a b", "", "/a b", signature.ErrMalformed},
		{"bytes in the path", "/\xff", "", "/\xff", signature.ErrMalformed},
		{"a line break in the query", "/ice", "a\nb", "/ice?a\nb", signature.ErrMalformed},
		{"a fragment in the query", "/ice", "a#b", "/ice?a#b", signature.ErrMalformed},
	} {
		r := signed(tc.path, tc.query, tc.signed, jsonType, jsonType, body)
		if _, err := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: senders()[0].keys(secret)}).Verify(t.Context(), &r); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// The content type decides how a handler reads the body, so what was signed
// without one is not taken with one.
func TestVoice_ContentType(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, kind, signed, body string
		want                     error
	}{
		{"as sent", jsonType, jsonType, body, nil},
		{"none", "", "", body, nil},
		{"none, and no body", "", "", "", nil},
		{"no body, and not signed", jsonType, "", "", nil},
		{"a body, and not signed", jsonType, "", body, signature.ErrSignature},
		{"taken off", "", jsonType, body, signature.ErrSignature},
		{"taken off, and no body", "", jsonType, "", signature.ErrSignature},
		{"in another case", "Application/JSON", jsonType, body, signature.ErrSignature},
		{"a space more", jsonType + " ", jsonType, body, signature.ErrSignature},
		{"a line that is the next one's", "a\nx-timestamp:2026-01-02T03:04:05Z", "a\nx-timestamp:2026-01-02T03:04:05Z", body, signature.ErrMalformed},
	} {
		r := signed("/ice", "", "/ice", tc.kind, tc.signed, tc.body)
		if _, err := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: senders()[0].keys(secret)}).Verify(t.Context(), &r); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	r := signed("/ice", "", "/ice", jsonType, jsonType, body)
	r.Header["Content-Type"] = []string{jsonType, jsonType}
	if _, err := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: senders()[0].keys(secret)}).Verify(t.Context(), &r); err != signature.ErrMalformed {
		t.Errorf("two content types: %v", err)
	}
}

func TestVoice_Authorization(t *testing.T) {
	t.Parallel()
	good := senders()[0].request(now).Header["Authorization"][0][len("application "):]
	for _, tc := range []struct {
		name, value string
		want        error
	}{
		{"another case", "aPPLICATION " + good, nil},
		{"the other generation's word", "service " + good, signature.ErrMalformed},
		{"two spaces", "application  " + good, signature.ErrMalformed},
		{"a space inside", "application app: " + good[4:], signature.ErrMalformed},
		{"a colon more", "application app:" + good, signature.ErrMalformed},
		{"no key", "application " + good[3:], signature.ErrMalformed},
		{"no signature", "application app", signature.ErrMalformed},
		{"an empty signature", "application app:", signature.ErrMalformed},
		{"no word", good, signature.ErrMalformed},
		{"the key in the clear", "Basic " + b64([]byte("app:"+secret)), signature.ErrMalformed},
		{"the undecoded pair, which some take", "Basic app:" + secret, signature.ErrMalformed},
		{"the key alone, as once for public calls", "Application app", signature.ErrMalformed},
		{"a user's", "User " + good, signature.ErrMalformed},
		{"a token", "Bearer " + good, signature.ErrMalformed},
		{"the key in another case", "application APP" + good[3:], signature.ErrUnknownKey},
		{"a key that is longer", "application app1" + good[3:], signature.ErrUnknownKey},
	} {
		r := senders()[0].request(now)
		r.Header["Authorization"] = []string{tc.value}
		if _, err := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: senders()[0].keys(secret)}).Verify(t.Context(), &r); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestVoice_Timestamps(t *testing.T) {
	t.Parallel()
	for stamp, good := range map[string]bool{
		"2026-01-02T03:04:05Z": true, "2026-01-02T03:04:05.123Z": true, "2026-01-02T03:04:05.1234567Z": true, "2026-01-02T03:04:05.123456789Z": true,
		"2026-01-02T03:04:05+00:00": true, "2026-01-02T03:04:05": false, "2026-01-02T05:04:05+02:00": false, "2026-01-02 03:04:05Z": false,
		"2026-01-02T03:04Z": false, "2026-01-02": false, "1767323045": false, "x-timestamp:2026-01-02T03:04:05Z": false, "undefined": false,
		"2026-13-02T03:04:05Z": false, "2026-02-30T03:04:05Z": false, "2026-01-02T25:04:05Z": false, "0001-01-01T00:00:00Z": false,
		"2026-01-02T03:04:05.1234567890123Z": false, "-2026-01-02T03:04:05Z": false, "2026-01-02t03:04:05z": false,
	} {
		r := signature.Request{Method: "POST", Path: "/ice", Now: now, Header: http.Header{"X-Timestamp": {stamp}}}
		text := "POST\n\n\nx-timestamp:" + stamp + "\n/ice"
		r.Header["Authorization"] = []string{"application app:" + b64(sum(sha256.New, decoded(secret), text))}
		_, err := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: senders()[0].keys(secret)}).Verify(t.Context(), &r)
		if good && err != nil || !good && err != signature.ErrMalformed {
			t.Errorf("%s: %v", stamp, err)
		}
	}
}
