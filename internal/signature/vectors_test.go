package signature_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"postern.dev/postern/internal/signature"
)

// vector is one request in testdata/vectors.json, which other languages can
// read: senders' own examples and what their libraries are known to send.
type vector struct {
	Name, Scheme        string
	Keys                []struct{ ID, Secret string }
	Method, Path, Query string
	Headers             map[string]string
	Body                string
	Now                 time.Time
	Want                string // the refusal; empty if it is good
}

func readVectors(tb testing.TB) []vector {
	tb.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil || len(vs) < 32 {
		tb.Fatalf("%d vectors, %v", len(vs), err)
	}
	return vs
}

var refusals = map[string]error{"malformed": signature.ErrMalformed, "signature": signature.ErrSignature}

func schemeNamed(tb testing.TB, name string) signature.Scheme {
	tb.Helper()
	for _, s := range []signature.Scheme{signature.VoiceV1(), signature.VoiceV2(), signature.Conversation(), signature.Numbers(), signature.Standard()} {
		if s.Name() == name {
			return s
		}
	}
	for _, d := range []signature.Custom{signature.Stripe, signature.GitHub, signature.Slack} {
		if d.Name == name {
			return scheme(tb, d)
		}
	}
	tb.Fatalf("no scheme is named %s", name)
	return nil
}

func scheme(tb testing.TB, d signature.Custom) signature.Scheme {
	tb.Helper()
	s, err := d.Scheme()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func verifier(tb testing.TB, c signature.Config) *signature.Verifier {
	tb.Helper()
	if c.Memory == nil {
		c.Memory = signature.NewReplays(1 << 10)
	}
	v, err := signature.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestVectors(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, tc := range readVectors(t) {
		seen[tc.Scheme]++
		c := signature.Config{Scheme: schemeNamed(t, tc.Scheme)}
		for _, k := range tc.Keys {
			c.Keys = append(c.Keys, signature.Key{ID: k.ID, Secret: signature.NewSecret(k.Secret)})
		}
		header := http.Header{}
		for name, value := range tc.Headers {
			header.Set(name, value)
		}
		r := signature.Request{Method: tc.Method, Path: tc.Path, Query: tc.Query, Header: header, Body: []byte(tc.Body), Now: tc.Now}
		v := verifier(t, c)
		got, err := v.Verify(t.Context(), &r)
		if !errors.Is(err, refusals[tc.Want]) {
			t.Errorf("%s: %v, want %q", tc.Name, err, tc.Want)
		}
		if tc.Want != "" {
			continue
		}
		if got.Scheme != tc.Scheme {
			t.Errorf("%s: the verdict is %+v", tc.Name, got)
		}
		if _, err := v.Verify(t.Context(), &r); err != signature.ErrReplayed {
			t.Errorf("%s, again: %v", tc.Name, err)
		}
		if r.Body = append(r.Body, ' '); true {
			if _, err := v.Verify(t.Context(), &r); err != signature.ErrSignature {
				t.Errorf("%s, with a byte more: %v", tc.Name, err)
			}
		}
	}
	for _, name := range []string{"voice-v1", "voice-v2", "conversation", "numbers", "standard-webhooks", "stripe", "github", "slack"} {
		if seen[name] == 0 {
			t.Errorf("there is no vector of %s", name)
		}
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	want := map[string]signature.Verdict{
		"E: a voice callback":                                       {KeyID: "669E367E-6BBA-48AB-AF15-266871C28135", At: time.Date(2014, 9, 24, 10, 59, 41, 0, time.UTC)},
		"H: a contact was made":                                     {At: time.Unix(1634579353, 0).UTC(), ID: "01FJA8B4A7BM43YGWSG9GBV067"},
		"J: a number left, signed with callback-secret":             {ID: "01hpa0mww4m79q8j2dwn3ggbgz"},
		"standard webhooks: among others, one of a version to come": {KeyID: "old", At: time.Unix(1614265330, 0).UTC(), ID: "msg_p5jXN8AQM9LWM0D4loKWxJek"},
		"stripe": {At: time.Unix(1492774577, 0).UTC(), ID: "evt_1"},
	}
	checked := 0
	for _, tc := range readVectors(t) {
		w, ok := want[tc.Name]
		if !ok {
			continue
		}
		checked++
		c := signature.Config{Scheme: schemeNamed(t, tc.Scheme)}
		for _, k := range tc.Keys {
			c.Keys = append(c.Keys, signature.Key{ID: k.ID, Secret: signature.NewSecret(k.Secret)})
		}
		header := http.Header{}
		for name, value := range tc.Headers {
			header.Set(name, value)
		}
		got, err := verifier(t, c).Verify(t.Context(), &signature.Request{Method: tc.Method, Path: tc.Path, Query: tc.Query, Header: header, Body: []byte(tc.Body), Now: tc.Now})
		w.Scheme, w.Mark = tc.Scheme, got.Mark
		if err != nil || got != w || got.Mark == (signature.Mark{}) {
			t.Errorf("%s: %+v, %v; want %+v", tc.Name, got, err, w)
		}
	}
	if checked != len(want) {
		t.Errorf("%d of %d were checked", checked, len(want))
	}
}
