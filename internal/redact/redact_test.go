package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"postern.dev/postern/internal/redact"
)

const awkward = `p@ss "w\rd"/ä+1😀=`

func TestBytes(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal(awkward)
	if err != nil {
		t.Fatal(err)
	}
	basic := func(user string) string { return base64.StdEncoding.EncodeToString([]byte(user + ":" + awkward)) }
	set := redact.New(map[string]string{
		"KEY": "sk_live_abc123", "LONGER": "sk_live_abc123_more", "AWKWARD": awkward, "SHORT": "seven77", "NONE": "", "MARK": "redacted",
		"PEM": "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\r\nAQEFAASCBKcwggSjAgEA\nshort==\n-----END KEY-----\n", "SPACED": "  around it\n",
		"OVER": "one-two-three", "LAPS": "two-three-four", "SAME_A": "the same value", "SAME_B": "the same value",
	})
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":                   {"a line\n", "a line\n"},
		"empty":                     {"", ""},
		"as it is":                  {"key=sk_live_abc123;", "key=[redacted KEY];"},
		"a prefix of another":       {"sk_live_abc123_more sk_live_abc123_mor!", "[redacted LONGER] [redacted KEY]_mor!"},
		"almost":                    {"sk_live_abc12", "sk_live_abc12"},
		"twice":                     {"sk_live_abc123,sk_live_abc123", "[redacted KEY],[redacted KEY]"},
		"twice and touching":        {"sk_live_abc123sk_live_abc123!", "[redacted KEY]!"},
		"begun again":               {"sk_live_sk_live_abc123", "sk_live_[redacted KEY]"},
		"two that overlap":          {"<one-two-three-four>", "<[redacted OVER]>"},
		"two names of one value":    {"the same value", "[redacted SAME_A]"},
		"too short":                 {"seven77", "seven77"},
		"a part of the replacement": {"redacted [redacted KEY]", "[redacted MARK] [[redacted MARK] KEY]"},
		"spaces around it":          {"'around it'", "'[redacted SPACED]'"},
		"hex":                       {hex.EncodeToString([]byte("sk_live_abc123")), "[redacted KEY]"},
		"hex in upper case":         {fmt.Sprintf("0x%X,", awkward), "0x[redacted AWKWARD],"},
		"awkward":                   {awkward + awkward + "=", "[redacted AWKWARD]="},
		"JSON":                      {string(quoted), `"[redacted AWKWARD]"`},
		"JSON of Python":            {`{"a": "p@ss \"w\\rd\"/\u00e4+1\ud83d\ude00="}`, `{"a": "[redacted AWKWARD]"}`},
		"JSON of .NET":              {`"p@ss \u0022w\\rd\u0022/\u00E4\u002B1\uD83D\uDE00="`, `"[redacted AWKWARD]"`},
		"JSON of PHP":               {`"p@ss \"w\\rd\"\/\u00e4+1\ud83d\ude00="`, `"[redacted AWKWARD]"`},
		"Go":                        {fmt.Sprintf("%+q", awkward[:12]) + awkward, `"p@ss \"w\\rd\"/"[redacted AWKWARD]`},
		"an inspector":              {`'p@ss "w\\rd"/ä+1😀='`, `'[redacted AWKWARD]'`},
		"a query":                   {"?x=" + url.QueryEscape(awkward) + "&y", "?x=[redacted AWKWARD]&y"},
		"a query in lower case":     {"?x=" + strings.ToLower(url.QueryEscape(awkward)), "?x=[redacted AWKWARD]"},
		"a path":                    {"/" + url.PathEscape(awkward) + "/", "/[redacted AWKWARD]/"},
		"Basic, a":                  {"Basic " + basic("a") + ",", "Basic YT[redacted AWKWARD]=,"},
		"Basic, ab":                 {"Basic " + basic("ab") + ",", "Basic YWI6[redacted AWKWARD],"},
		"Basic, abc":                {"Basic " + basic("abc") + ",", "Basic YWJjO[redacted AWKWARD]==,"},
		"lines of PEM":              {"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEA\n-----END KEY-----", "-----BEGIN KEY-----\n[redacted PEM]\n[redacted PEM]\n-----END KEY-----"},
		"lines of PEM in JSON":      {`"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\r\nAQEFAASCBKcwggSjAgEA\nshort==\n-----END KEY-----\n"`, `"[redacted PEM]\n"`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(set.Bytes([]byte(tc.text))); got != tc.want {
				t.Errorf("%q became\n%q, want\n%q", tc.text, got, tc.want)
			}
			if got := set.String(tc.text); got != tc.want {
				t.Errorf("as a string %q", got)
			}
			var b bytes.Buffer
			w := set.Writer(&b)
			for _, c := range []byte(tc.text) {
				w.Write([]byte{c})
			}
			w.Close()
			if b.String() != tc.want {
				t.Errorf("byte by byte %q", b.String())
			}
		})
	}
}

// However long a value is, a part of it is found, and little is held back.
func TestWriter_LongValue(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyzé", 300)
	var b bytes.Buffer
	w := redact.New(map[string]string{"LONG": long}).Writer(&b)
	fmt.Fprint(w, "value: ", long[:200])
	if b.String() != "value: [redacted LONG]" {
		t.Errorf("of 200 bytes %q", b.String())
	}
	fmt.Fprint(w, long[200:], " end\n")
	if b.String() != "value: [redacted LONG] end\n" {
		t.Errorf("of all %.300q", b.String())
	}
}

// What was cut off in the middle of a value does not show the half of it.
func TestCut(t *testing.T) {
	t.Parallel()
	set := redact.New(map[string]string{"KEY": "sk_live_abc123_more_of_it"})
	for text, want := range map[string]struct{ cut, closed string }{
		"x sk_live_abc123_more_of_i": {"x [redacted KEY]", "x [redacted KEY]"},
		"x sk_live_ab":               {"x [redacted KEY]", "x sk_live_ab"},
		"x c2tfbGl2ZV9hYmMx":         {"x [redacted KEY]", "x [redacted KEY]"},
		"x sk_":                      {"x sk_", "x sk_"},
		"x sk_live_ab.":              {"x sk_live_ab.", "x sk_live_ab."},
	} {
		if got := string(set.Cut([]byte(text))); got != want.cut {
			t.Errorf("%q cut is %q, want %q", text, got, want.cut)
		}
		var b bytes.Buffer
		w := set.Writer(&b)
		w.Write([]byte(text))
		if w.Close(); b.String() != want.closed {
			t.Errorf("%q that ended is %q, want %q", text, b.String(), want.closed)
		}
	}
}

func TestNothingToFind(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]*redact.Set{"nil": nil, "none": redact.New(nil), "too short": redact.New(map[string]string{"A": "a", "B": "", "C": "       x       \n"}), "live": new(redact.Live).Set(), "no live": (*redact.Live)(nil).Set()} {
		text := []byte("a       x       \n")
		if got := set.Bytes(text); &got[0] != &text[0] || !set.Empty() || set.String("a") != "a" || string(set.Cut(text)) != string(text) {
			t.Errorf("%s: %q", name, got)
		}
		var b bytes.Buffer
		w := set.Writer(&b)
		w.Write(text)
		if err := w.Close(); err != nil || b.String() != string(text) {
			t.Errorf("%s: %q, %v", name, b.String(), err)
		}
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	var l redact.Live
	const text = "old-value-1 new-value-2 another-3"
	check := func(want string) {
		t.Helper()
		if got := l.Set().String(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check(text)
	values := map[string]string{"A": "old-value-1"}
	l.Add("one", values)
	values["A"] = "new-value-2" // the map was not kept
	check("[redacted A] new-value-2 another-3")
	l.Add("two", map[string]string{"A": "new-value-2", "B": "another-3"})
	check("[redacted A] [redacted A] [redacted B]")
	set := l.Set()
	l.Add("two", map[string]string{"A": "new-value-2"})
	l.Remove("three")
	if l.Set() != set {
		t.Error("the set is made anew for nothing")
	}
	l.Add("one", map[string]string{"A": "replaced-1"}) // a worker that has the old one may still write it
	check("[redacted A] [redacted A] [redacted B]")
	l.Remove("two")
	check("[redacted A] new-value-2 another-3")
	l.Remove("one")
	check(text)
}

// Among thousands, what came last is found as if all had been there at once: also
// where its values overlap with those before.
func TestLive_AmongMany(t *testing.T) {
	t.Parallel()
	value := func() string { // of few different characters, so that they are alike
		b := make([]byte, 8+rand.IntN(8))
		for i := range b {
			b[i] = "abX"[rand.IntN(3)]
		}
		return string(b)
	}
	many := secrets(400)
	for range 20 {
		var l redact.Live
		all := maps.Clone(many)
		l.Add("many", many)
		l.Add("early", map[string]string{"EARLY": value(), "SOON": value()})
		maps.Copy(all, l.Values("early"))
		first := l.Set()
		l.Add("late", map[string]string{"LATE": value()})
		maps.Copy(all, l.Values("late"))
		if l.Set() == first {
			t.Fatal("the set has nothing of what came late")
		}
		text := value()
		for range 30 {
			text += value() + l.Values("late")["LATE"] + l.Values("early")["SOON"][:5] + hex.EncodeToString([]byte(l.Values("late")["LATE"]))
		}
		got, want := told.ReplaceAllString(l.Set().String(text), "[]"), told.ReplaceAllString(redact.New(all).String(text), "[]")
		if got != want {
			t.Fatalf("%s\n got %s\nwant %s", text, got, want)
		}
		var b bytes.Buffer
		w := l.Set().Writer(&b)
		for part := []byte(text); len(part) > 0; part = part[min(7, len(part)):] {
			w.Write(part[:min(7, len(part))])
		}
		if w.Close(); told.ReplaceAllString(b.String(), "[]") != want {
			t.Errorf("in parts: %s\nwant %s", b.String(), want)
		}
		l.Remove("late")
		l.Remove("many")
		if late := l.Set().String(text); redact.New(l.Values("early")).String(text) != late {
			t.Errorf("what is gone is found: %s", late)
		}
	}
}

// An owner whose values change for ever does not grow for ever.
func TestLive_Bounded(t *testing.T) {
	t.Parallel()
	var l redact.Live
	for i := range 1500 {
		l.Add("one", map[string]string{"A": fmt.Sprintf("value-number-%d", i)})
	}
	if n := len(l.All("one")); n != 1000 {
		t.Errorf("%d values are known", n)
	}
	if got := l.Set().String("value-number-1499 value-number-0000"); got != "[redacted A] value-number-0000" {
		t.Error(got)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriter_Errors(t *testing.T) {
	t.Parallel()
	w := redact.New(map[string]string{"A": "one-two-three"}).Writer(failing{})
	if _, err := w.Write([]byte("text\n")); err != io.ErrClosedPipe {
		t.Error(err)
	}
}

func TestAllocations(t *testing.T) {
	values := secrets(100)
	values["HERE"] = "one-two-three"
	set, text := redact.New(values), logText(64<<10)
	w := set.Writer(io.Discard)
	if n := testing.AllocsPerRun(20, func() { set.Bytes(text[:200]) }); n != 0 {
		t.Errorf("a line without a value costs %v allocations", n)
	}
	text = append(text, "one-two-three\n"...)
	w.Write(text)
	if n := testing.AllocsPerRun(20, func() { w.Write(text) }); n != 0 {
		t.Errorf("a stream costs %v allocations a write", n)
	}
}
