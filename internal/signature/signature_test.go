package signature_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/signature"
)

const otherSecret = "AAAAAAAAAAAAAAAAAAAAAA=="

// change is what is done to a good request on its way. What is empty is left
// as it is.
type change struct {
	method, path, query, kind, body string
	noBody                          bool
	after                           time.Duration
}

func (c change) apply(r *signature.Request) {
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&r.Method, c.method)
	set(&r.Path, c.path)
	set(&r.Query, c.query)
	if c.kind != "" {
		http.Header(r.Header).Set("Content-Type", c.kind)
	}
	if c.body != "" || c.noBody {
		r.Body = []byte(c.body)
	}
	r.Now = r.Now.Add(c.after)
}

// What is done to every sender's request, and how it ends for those who sign
// what was changed. Voice alone signs more than body and time.
var changes = []struct {
	name  string
	to    change
	want  error
	voice error // of voice, where that is another
}{
	{"as it was sent", change{}, nil, nil},
	{"a byte of the body changed", change{body: strings.Replace(body, "c-1", "c-2", 1)}, signature.ErrSignature, nil},
	{"a byte of the body gone", change{body: body[:len(body)-1]}, signature.ErrSignature, nil},
	{"a byte more", change{body: body + "\n"}, signature.ErrSignature, nil},
	{"the body in another order", change{body: `{"callid":"c-1","event":"ice"}`}, signature.ErrSignature, nil},
	{"a body in bad UTF-8", change{body: "{\"event\":\"\xff\xfe\"}"}, signature.ErrSignature, nil},
	{"no body", change{noBody: true}, signature.ErrSignature, nil},
	{"another path", change{path: "/webhook/y"}, nil, signature.ErrSignature},
	{"a path in another case", change{path: "/Webhook/x"}, nil, signature.ErrSignature},
	{"a slash more", change{path: "//webhook/x"}, nil, signature.ErrSignature},
	{"the path with an escape, of which it is the meaning", change{path: "/webhook/%78"}, nil, nil},
	{"the path with a slash escaped", change{path: "/webhook%2fx"}, nil, signature.ErrSignature},
	{"the path escaped twice", change{path: "/webhook/%2578"}, nil, signature.ErrSignature},
	{"a query that nobody signed", change{query: "a=b"}, nil, nil},
	{"another method", change{method: "PUT"}, nil, signature.ErrSignature},
	{"the method in lower case", change{method: "post"}, nil, signature.ErrMalformed},
	{"another content type", change{kind: "application/x-www-form-urlencoded"}, nil, signature.ErrSignature},
	{"a parameter of the content type", change{kind: jsonType + "; charset=utf-7"}, nil, signature.ErrSignature},
}

var times = []struct {
	name  string
	after time.Duration
	want  error
}{
	{"at the end of the window", 5 * time.Minute, nil},
	{"after the window", 5*time.Minute + time.Millisecond, signature.ErrStale},
	{"a year later", 365 * 24 * time.Hour, signature.ErrStale},
	{"at the beginning of the window", -5 * time.Minute, nil},
	{"before the window", -5*time.Minute - time.Millisecond, signature.ErrFuture},
	{"a year before", -365 * 24 * time.Hour, signature.ErrFuture},
}

func TestVerify_Changes(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		isVoice := strings.HasPrefix(s.name, "voice")
		for _, tc := range changes {
			r := s.request(now)
			tc.to.apply(&r)
			want := tc.want
			if isVoice && tc.voice != nil {
				want = tc.voice
			}
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err != want {
				t.Errorf("%s, %s: %v, want %v", s.name, tc.name, err, want)
			}
		}
		for _, tc := range times {
			r := s.request(now)
			r.Now = now.Add(tc.after)
			want := tc.want
			if !s.timed {
				want = nil
			}
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err != want {
				t.Errorf("%s, %s: %v, want %v", s.name, tc.name, err, want)
			}
		}
	}
}

func TestVerify_Keys(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		for _, tc := range []struct {
			name    string
			secrets []string
			want    error
		}{
			{"the key of another function", []string{otherSecret}, signature.ErrSignature},
			{"no secret", nil, signature.ErrNoSecret},
			{"an empty secret", []string{""}, signature.ErrNoSecret},
			{"the new secret and the old", []string{otherSecret, secret}, nil},
			{"the old secret and the new", []string{secret, otherSecret}, nil},
			{"an empty one and the right one", []string{"", secret}, nil},
		} {
			r := s.request(now)
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(tc.secrets...)}).Verify(t.Context(), &r); err != tc.want {
				t.Errorf("%s, %s: %v, want %v", s.name, tc.name, err, tc.want)
			}
		}
	}
	// Voice names its key: another's is not even tried.
	r := senders()[0].request(now)
	v := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: []signature.Key{{ID: "other", Secret: signature.NewSecret(secret)}}})
	if _, err := v.Verify(t.Context(), &r); err != signature.ErrUnknownKey {
		t.Errorf("another application's key: %v", err)
	}
}

// What is done to each header that a signature needs.
func TestVerify_Headers(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("a", 1<<20)
	for _, s := range senders() {
		for _, name := range s.headers {
			good := s.request(now).Header[name][0]
			for what, tc := range map[string]struct {
				values []string
				want   error
			}{
				"missing":                  {nil, signature.ErrMissing},
				"empty":                    {[]string{""}, signature.ErrMissing},
				"twice":                    {[]string{good, good}, signature.ErrMalformed},
				"twice, once empty":        {[]string{good, ""}, signature.ErrMalformed},
				"joined with a comma":      {[]string{good + ", " + good}, signature.ErrMalformed},
				"a space before":           {[]string{" " + good}, signature.ErrMalformed},
				"a space after":            {[]string{good + " "}, signature.ErrMalformed},
				"a tab after":              {[]string{good + "\t"}, signature.ErrMalformed},
				"a line break after":       {[]string{good + "\n"}, signature.ErrMalformed},
				"a NUL after":              {[]string{good + "\x00"}, signature.ErrMalformed},
				"bad UTF-8":                {[]string{good + "\xff"}, signature.ErrMalformed},
				"a letter of another kind": {[]string{good + "\u00e9"}, signature.ErrMalformed},
				"a MiB":                    {[]string{big}, signature.ErrMalformed},
				"the good one and a MiB":   {[]string{good + big}, signature.ErrMalformed},
			} {
				r := s.request(now)
				r.Header[name] = tc.values
				_, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r)
				if err != tc.want {
					t.Errorf("%s, %s %s: %v, want %v", s.name, name, what, err, tc.want)
				}
			}
			r := s.request(now)
			r.Header[name] = []string{`"` + good + `"`} // of an ID that is another ID
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err == nil {
				t.Errorf("%s, %s in quotes goes through", s.name, name)
			}
			r = s.request(now) // a name that is not net/http's is no name
			r.Header[strings.ToLower(name)] = r.Header[name]
			delete(r.Header, name)
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err != signature.ErrMissing {
				t.Errorf("%s, %s in another spelling: %v", s.name, name, err)
			}
		}
	}
}

// There is one spelling of a signature.
func TestVerify_Malleability(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		r := s.request(now)
		header := r.Header
		name, text := "", ""
		for _, h := range s.headers { // the signature is what is longest
			if v := header[h][0]; len(v) > len(text) {
				name, text = h, v
			}
		}
		spellings := map[string]string{"upper case": strings.ToUpper(text), "cut": text[:len(text)-1], "doubled": text + text[len(text)-8:]}
		if strings.HasSuffix(text, "=") {
			last := text[len(text)-2]
			alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			spare := alphabet[strings.IndexByte(alphabet, last)|1]
			if last == spare {
				t.Fatal("a last letter has no spare bits")
			}
			spellings["spare bits set"] = text[:len(text)-2] + string(spare) + "="
			spellings["no padding"] = text[:len(text)-1]
			spellings["more padding"] = text + "="
			spellings["a line break inside"] = text[:len(text)-10] + "\r\n" + text[len(text)-10:]
			spellings["the other alphabet, no padding"] = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text)
			at := strings.LastIndexAny(text[:len(text)-44+1], ":, ") + 1 // where the base64 begins
			head, raw := text[:at], text[at:]
			bytes, err := base64.StdEncoding.DecodeString(raw)
			if err != nil {
				t.Fatal(s.name, err)
			}
			spellings["as hex"] = head + fmt.Sprintf("%x", bytes)
		}
		for what, other := range spellings {
			r := s.request(now)
			r.Header[name] = []string{other}
			v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)})
			want := signature.ErrMalformed
			if _, err := v.Verify(t.Context(), &r); err == nil || what != "upper case" && err != want {
				t.Errorf("%s, %s %q: %v", s.name, name, other, err)
			}
		}
	}
}

// Each bit of a signature counts.
func TestVerify_EachByte(t *testing.T) {
	t.Parallel()
	const digits, letters = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for _, s := range senders() {
		r := s.request(now)
		name, text := "", ""
		for _, h := range s.headers { // the signature is what is longest
			if v := r.Header[h][0]; len(v) > len(text) {
				name, text = h, v
			}
		}
		alphabet, end := digits, len(text)
		if strings.HasSuffix(text, "=") {
			alphabet, end = letters, len(text)-2 // the last letter has spare bits
		}
		for i := end - 40; i < end; i++ {
			at := strings.IndexByte(alphabet, text[i])
			r.Header[name] = []string{text[:i] + string(alphabet[(at+len(alphabet)/2)%len(alphabet)]) + text[i+1:]}
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err != signature.ErrSignature {
				t.Errorf("%s, %d changed in %s: %v", s.name, i, text, err)
			}
		}
	}
}

// recorder is a memory that tells how long it was asked to remember.
type recorder struct{ until time.Time }

func (m *recorder) Take(_ context.Context, _ signature.Mark, _, until time.Time) (bool, error) {
	m.until = until
	return true, nil
}
func (*recorder) Forget(context.Context, signature.Mark) error { return nil }

// Whenever a callback is received, it is remembered for longer than it is good.
func TestVerify_RememberedLongEnough(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		for _, after := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
			var m recorder
			r := s.request(now)
			r.Now = now.Add(after)
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Memory: &m}).Verify(t.Context(), &r); err != nil {
				t.Fatal(err)
			}
			want := now.Add(6 * time.Minute) // the window, and a minute by which a clock may step back
			if !s.timed {
				want = r.Now.Add(24 * time.Hour)
			}
			if !m.until.Equal(want) {
				t.Errorf("%s, received after %v: remembered until %v, want %v", s.name, after, m.until, want)
			}
		}
	}
}

// An event ID comes out of a body that its sender has signed, and may still be
// anything.
func TestVerdict_EventID(t *testing.T) {
	t.Parallel()
	s := senders()[3]
	for text, want := range map[string]string{
		`{"eventId":"e-1"}`: "e-1", `{"eventid":"e-1"}`: "", `{"eventId":7}`: "", `{"eventId":null}`: "", `{"eventId":"a\nb"}`: "", `{"eventId":"a b"}`: "",
		`{"eventId":"` + strings.Repeat("a", 257) + `"}`: "", `["eventId"]`: "", `{`: "", `"eventId"`: "", "{\"eventId\":\"\u00e9\"}": "",
	} {
		r := s.request(now)
		r.Body = []byte(text)
		s.sign(secret, &r, now)
		if d, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)}).Verify(t.Context(), &r); err != nil || d.ID != want {
			t.Errorf("%s: %q, %v", text, d.ID, err)
		}
	}
}

func TestVerify_Replays(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		memory := signature.NewReplays(1 << 10)
		c := signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Memory: memory, Scope: "prj_a", Keep: time.Hour}
		here, there := verifier(t, c), verifier(t, c) // two functions, or two nodes that share a store
		c.Scope = "prj_b"
		elsewhere := verifier(t, c)
		for _, tc := range []struct {
			name  string
			by    *signature.Verifier
			after time.Duration
			want  error
		}{
			{"the first", here, 0, nil},
			{"at once", here, 0, signature.ErrReplayed},
			{"by another function or node", there, 0, signature.ErrReplayed},
			{"in another project", elsewhere, 0, nil},
			{"a minute later", here, time.Minute, signature.ErrReplayed},
			{"at the end of the window", here, 5 * time.Minute, signature.ErrReplayed},
			{"and when the clock has stepped back", here, -time.Minute, signature.ErrReplayed},
		} {
			r := s.request(now)
			r.Now = now.Add(tc.after)
			if _, err := tc.by.Verify(t.Context(), &r); err != tc.want {
				t.Errorf("%s, %s: %v, want %v", s.name, tc.name, err, tc.want)
			}
		}
		r := s.request(now)
		r.Now = now.Add(time.Hour + time.Second)
		want := signature.ErrStale
		if !s.timed {
			want = nil // it is forgotten by now: see Numbers
		}
		if _, err := here.Verify(t.Context(), &r); err != want {
			t.Errorf("%s, an hour later: %v, want %v", s.name, err, want)
		}
	}
}

// Anything that is not signed, and any of several good signatures, may change
// between two copies: it is one callback.
func TestVerify_ReplayIsByWhatIsSigned(t *testing.T) {
	t.Parallel()
	s := senders()[4]
	v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret, otherSecret)})
	r := s.request(now)
	first := r.Header["Webhook-Signature"][0]
	s.sign(otherSecret, &r, now)
	second := r.Header["Webhook-Signature"][0]
	for i, list := range []string{first + " " + second, second + " " + first, first, second, "v2,x " + second} {
		r.Header["Webhook-Signature"] = []string{list}
		r.Path = fmt.Sprint("/webhook/", i)
		if _, err := v.Verify(t.Context(), &r); (err == nil) != (i == 0) {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestVerify_Forget(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)})
		r := s.request(now)
		for try := range 3 {
			d, err := v.Verify(t.Context(), &r)
			if err != nil {
				t.Fatalf("%s, try %d: %v", s.name, try, err)
			}
			if _, err := v.Verify(t.Context(), &r); err != signature.ErrReplayed {
				t.Errorf("%s, while try %d is served: %v", s.name, try, err)
			}
			if err := v.Forget(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// away is a memory that cannot be reached.
type away struct{}

var errAway = errors.New("connection refused")

func (away) Take(context.Context, signature.Mark, time.Time, time.Time) (bool, error) {
	return true, errAway
}
func (away) Forget(context.Context, signature.Mark) error { return errAway }

func TestVerify_MemoryFailsClosed(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		for name, m := range map[string]signature.Memory{"away": away{}, "full": signature.NewReplays(0)} {
			r := s.request(now)
			if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Memory: m}).Verify(t.Context(), &r); !errors.Is(err, signature.ErrMemory) {
				t.Errorf("%s, the memory is %s: %v", s.name, name, err)
			}
		}
	}
}

// Who has no secret puts nothing into the memory, and cannot fill it.
func TestVerify_RefusedIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := senders()[0]
	memory := signature.NewReplays(64)
	v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Memory: memory})
	for i := range 500 {
		r := s.request(now)
		r.Body = fmt.Append(nil, i)
		if _, err := v.Verify(t.Context(), &r); err != signature.ErrSignature {
			t.Fatal(err)
		}
		r = s.request(now.Add(-time.Hour))
		r.Now = now
		if _, err := v.Verify(t.Context(), &r); err != signature.ErrStale {
			t.Fatal(err)
		}
	}
	r := s.request(now)
	if _, err := v.Verify(t.Context(), &r); err != nil {
		t.Errorf("after 1,000 bad ones, a good one: %v", err)
	}
}

func TestVerify_OnceOfMany(t *testing.T) {
	t.Parallel()
	s := senders()[2]
	v := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret)})
	r := s.request(now)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(context.Background(), &r); err == nil {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("it was taken %d times", taken.Load())
	}
}

// What a look at the headers refuses, the whole refuses too; what it lets
// through may still be forged.
func TestLook(t *testing.T) {
	t.Parallel()
	for _, s := range senders() {
		for _, tc := range []struct {
			name  string
			keys  []signature.Key
			drop  string
			after time.Duration
			want  error
		}{
			{"a good one", s.keys(secret), "", 0, nil},
			{"of another key, which only the body shows", s.keys(otherSecret), "", 0, nil},
			{"no secret", nil, "", 0, signature.ErrNoSecret},
			{"not signed", s.keys(secret), s.headers[0], 0, signature.ErrMissing},
			{"stale", s.keys(secret), "", time.Hour, signature.ErrStale},
			{"of the future", s.keys(secret), "", -time.Hour, signature.ErrFuture},
		} {
			if tc.after != 0 && !s.timed {
				continue
			}
			r := s.request(now)
			delete(r.Header, tc.drop)
			r.Now = now.Add(tc.after)
			v := verifier(t, signature.Config{Scheme: s.scheme, Keys: tc.keys})
			whole := r
			if r.Body = nil; v.Look(&r) != tc.want {
				t.Errorf("%s, %s: %v, want %v", s.name, tc.name, v.Look(&r), tc.want)
			}
			if _, err := v.Verify(t.Context(), &whole); tc.want != nil && err != tc.want {
				t.Errorf("%s, %s: the whole is %v, want %v", s.name, tc.name, err, tc.want)
			}
		}
	}
	r := senders()[0].request(now)
	v := verifier(t, signature.Config{Scheme: signature.VoiceV1(), Keys: []signature.Key{{ID: "other", Secret: signature.NewSecret(secret)}}})
	if err := v.Look(&r); err != signature.ErrUnknownKey {
		t.Errorf("another application's key: %v", err)
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	memory := signature.NewReplays(64)
	keys := func(text string) []signature.Key {
		return []signature.Key{{ID: "app", Secret: signature.NewSecret(text)}}
	}
	shop := scheme(t, custom64)
	for name, c := range map[string]signature.Config{
		"no scheme":                     {Memory: memory},
		"no memory":                     {Scheme: signature.VoiceV1()},
		"a negative window":             {Scheme: signature.VoiceV1(), Memory: memory, Window: -1},
		"a window without bound":        {Scheme: signature.VoiceV1(), Memory: memory, Window: 1 << 62},
		"a negative time to remember":   {Scheme: signature.Numbers(), Memory: memory, Keep: -1},
		"a voice secret of no base64":   {Scheme: signature.VoiceV1(), Memory: memory, Keys: keys("hunter2!hunter2!")},
		"a voice secret that is cut":    {Scheme: signature.VoiceV2(), Memory: memory, Keys: keys("hunte")},
		"a voice secret of padding":     {Scheme: signature.VoiceV1(), Memory: memory, Keys: keys("====")},
		"a voice secret in two lines":   {Scheme: signature.VoiceV1(), Memory: memory, Keys: keys("aGVs\nbG8=")},
		"a prefix and nothing after it": {Scheme: signature.Standard(), Memory: memory, Keys: keys("whsec_")},
		"a sender's private key":        {Scheme: signature.Standard(), Memory: memory, Keys: keys("whsk_aHVudGVyMg==")},
		"half a public key":             {Scheme: signature.Standard(), Memory: memory, Keys: keys("whpk_aHVudGVyMg==")},
		"a public key of no base64":     {Scheme: signature.Standard(), Memory: memory, Keys: keys("whpk_hunter2!")},
		"a custom secret of no base64":  {Scheme: shop, Memory: memory, Keys: keys("hunter2!")},
	} {
		_, err := signature.New(c)
		if err == nil {
			t.Errorf("%s goes through", name)
		} else if strings.Contains(err.Error(), "hunte") || strings.Contains(err.Error(), "aHVu") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func TestVerify_Window(t *testing.T) {
	t.Parallel()
	s := senders()[0]
	for _, tc := range []struct {
		window, after time.Duration
		want          error
	}{
		{time.Second, time.Second, nil}, {time.Second, 2 * time.Second, signature.ErrStale}, {time.Hour, time.Hour, nil}, {time.Hour, -time.Hour - 1e6, signature.ErrFuture},
	} {
		r := s.request(now)
		r.Now = now.Add(tc.after)
		if _, err := verifier(t, signature.Config{Scheme: s.scheme, Keys: s.keys(secret), Window: tc.window}).Verify(t.Context(), &r); err != tc.want {
			t.Errorf("a window of %v, after %v: %v, want %v", tc.window, tc.after, err, tc.want)
		}
	}
}

func TestSecret_Redacted(t *testing.T) {
	t.Parallel()
	s := signature.NewSecret("hunter2")
	k := signature.Key{ID: "app", Secret: s}
	v := verifier(t, signature.Config{Scheme: signature.Conversation(), Keys: []signature.Key{k}})
	text, err := json.Marshal(map[string]any{"k": k})
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct{ k signature.Key }{k}
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %v %+v %#v %v", s, s, s, s, s, s, k, hidden, hidden, s.LogValue()) + string(text)
	if strings.Contains(printed, "hunter2") || strings.Contains(printed, "68756e74657232") {
		t.Error(printed)
	}
	if whole := fmt.Sprintf("%v %+v %#v", v, v, *v); strings.Contains(whole, "hunter2") || strings.Contains(whole, "104 117 110") || strings.Contains(whole, "0x68, 0x75") {
		t.Errorf("a verifier shows its keys: %s", whole)
	}
}
