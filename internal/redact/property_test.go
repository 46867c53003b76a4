package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern.dev/postern/internal/redact"
)

// told is one or more replacements; which name is told where several would do is
// for the tables.
var told = regexp.MustCompile(`(\[redacted [A-Z]+\])+`)

func plain(text []byte) string { return told.ReplaceAllString(string(text), "[redacted]") }

// drawSecrets are secrets of few different characters, so that they are alike.
func drawSecrets(t *rapid.T, alphabet string, longest int) map[string]string {
	value := rapid.StringOfN(rapid.RuneFrom([]rune(alphabet)), 8, longest, longest).Filter(func(s string) bool {
		return strings.TrimSpace(s) == s && len(s) >= redact.MinLength
	})
	out := map[string]string{}
	for i, v := range rapid.SliceOfN(value, 1, 4).Draw(t, "values") {
		out["SECRET"+string(rune('A'+i))] = v
	}
	return out
}

// write gives a text to a writer in parts.
func write(t *rapid.T, set *redact.Set, text []byte) []byte {
	var b bytes.Buffer
	w := set.Writer(&b)
	parts := rapid.SliceOf(rapid.IntRange(0, 7)).Draw(t, "parts")
	rest := text
	for _, n := range parts {
		n = min(n, len(rest))
		w.Write(rest[:n])
		rest = rest[n:]
	}
	w.Write(rest)
	w.Close()
	return b.Bytes()
}

var inPercent = regexp.MustCompile(`%[0-9A-F]{2}`)

// forms are the ways to write a value, by encoders that nobody here wrote, and
// between which bytes of each the value is.
var forms = map[string]func(t *rapid.T, v string) (text string, from, to int){
	"raw": func(_ *rapid.T, v string) (string, int, int) { return v, 0, len(v) },
	"hex": func(t *rapid.T, v string) (string, int, int) {
		return rapid.SampledFrom([]func(string) string{strings.ToLower, strings.ToUpper}).Draw(t, "case")(hex.EncodeToString([]byte(v))), 0, 2 * len(v)
	},
	"url": func(t *rapid.T, v string) (string, int, int) {
		text := rapid.SampledFrom([]func(string) string{url.QueryEscape, url.PathEscape}).Draw(t, "escape")(v)
		if rapid.Bool().Draw(t, "lower") {
			text = inPercent.ReplaceAllStringFunc(text, strings.ToLower)
		}
		return text, 0, len(text)
	},
	"json": func(t *rapid.T, v string) (string, int, int) {
		quoted, _ := json.Marshal(v)
		text := rapid.SampledFrom([]string{string(quoted), strconv.Quote(v), strconv.QuoteToASCII(v)}).Draw(t, "quote")
		if strings.Contains(text, `\U`) {
			text = string(quoted)
		}
		return text, 1, len(text) - 1
	},
	"base64": func(t *rapid.T, v string) (string, int, int) {
		around := rapid.StringMatching(`[xyz:]{0,5}`)
		before, after := around.Draw(t, "before"), around.Draw(t, "after")
		enc := rapid.SampledFrom([]*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding}).Draw(t, "alphabet")
		return enc.EncodeToString([]byte(before + v + after)), len(before) * 8 / 6, ((len(before)+len(v))*8 + 5) / 6
	},
}

// Whatever the secrets, the text, the form and the writes: nothing of a value is
// left, and everything else is as it was.
func TestAnything(t *testing.T) {
	t.Parallel()
	names := []string{"raw", "hex", "url", "json", "base64"}
	rapid.Check(t, func(t *rapid.T) {
		values := drawSecrets(t, "ab1Z/+= %\\\"'&<é😀\t-_", 120)
		set := redact.New(values)
		var text, want bytes.Buffer
		for range rapid.IntRange(1, 4).Draw(t, "occurrences") {
			filler := rapid.StringMatching(`[xyz:.,\n]{0,12}`).Draw(t, "filler")
			name := rapid.IntRange(0, len(values)-1).Draw(t, "which")
			form, from, to := forms[rapid.SampledFrom(names).Draw(t, "form")](t, values["SECRET"+string(rune('A'+name))])
			text.WriteString(filler + "\x1d" + form + "\x1d")
			want.WriteString(filler + "\x1d" + form[:from] + "[redacted]" + form[to:] + "\x1d")
		}
		if got := plain(set.Bytes(text.Bytes())); got != want.String() {
			t.Fatalf("%q\nbecame %q\nwant   %q", text.String(), got, want.String())
		}
		if got := plain(write(t, set, text.Bytes())); got != want.String() {
			t.Fatalf("in parts, %q\nbecame %q\nwant   %q", text.String(), got, want.String())
		}
	})
}

// slow finds what a set should find, with regular expressions.
func slow(values map[string]string, text []byte) string {
	var alternatives []string
	for _, v := range values {
		var byURL, byJSON strings.Builder
		for _, c := range []byte(v) {
			r := regexp.QuoteMeta(string(c))
			fmt.Fprintf(&byURL, "(?:%s|(?i:%%%02x)", r, c)
			if c == ' ' || c == '+' {
				byURL.WriteString(`|\+| |(?i:%20|%2b)`)
			}
			byURL.WriteString(")")
			short := ""
			if strings.IndexByte("\"\\/'`", c) >= 0 {
				short = `|\\` + r
			}
			if c == '\\' { // escaped, or it would begin an escape
				r = `\\\\`
			}
			fmt.Fprintf(&byJSON, `(?:%s%s|\\u(?i:%04x)|\\x(?i:%02x))`, r, short, c, c)
		}
		if strings.Contains(v, "%") {
			byURL = strings.Builder{}
			for _, c := range []byte(v) { // a % is escaped, or it would begin an escape
				if r := regexp.QuoteMeta(string(c)); c == '%' {
					byURL.WriteString("%25")
				} else if c == ' ' || c == '+' {
					byURL.WriteString(`(?:[ +]|(?i:%20|%2b))`)
				} else {
					fmt.Fprintf(&byURL, "(?:%s|(?i:%%%02x))", r, c)
				}
			}
		}
		alternatives = append(alternatives, regexp.QuoteMeta(v), byURL.String(), byJSON.String(), "(?i:"+hex.EncodeToString([]byte(v))+")")
		for before := range 3 {
			alternatives = append(alternatives, base64Pattern(v, before))
		}
	}
	re := regexp.MustCompile("^(?s:" + strings.Join(alternatives, "|") + ")")
	re.Longest()
	var out []byte
	end := -1
	for i := range text {
		if m := re.FindIndex(text[i:]); m != nil {
			if i > end { // what touches is told once
				out = append(out, "[redacted]"...)
			}
			end = max(end, i+m[1])
		}
		if i >= end {
			out = append(out, text[i])
		}
	}
	return string(out)
}

// base64Pattern is every text that base64 can make of a value with some bytes
// before it: of each character the bits that are known.
func base64Pattern(v string, before int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	from, to := before*8, (before+len(v))*8
	bit := func(n int) int { return int(v[n/8-before]>>(7-n%8)) & 1 }
	var out strings.Builder
	for c := from / 6 * 6; c < to; c += 6 {
		out.WriteByte('[')
		for b := range 64 {
			fits := true
			for k := range 6 {
				fits = fits && (c+k < from || c+k >= to || b>>(5-k)&1 == bit(c+k))
			}
			if fits {
				out.WriteString(map[bool]string{true: `\`}[b > 61] + alphabet[b:b+1] + map[int]string{62: `\-`, 63: "_"}[b])
			}
		}
		out.WriteByte(']')
		if c < from || c+6 > to {
			out.WriteByte('?')
		}
	}
	return out.String()
}

// On texts that are made of parts of forms it finds what regular expressions do.
func TestAgainstRegularExpressions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := drawSecrets(t, `ab1Z/+ %\"&-_`, 20)
		set := redact.New(values)
		var text bytes.Buffer
		for range rapid.IntRange(1, 6).Draw(t, "parts") {
			name := rapid.IntRange(0, len(values)-1).Draw(t, "which")
			form, _, _ := forms[rapid.SampledFrom([]string{"raw", "hex", "url", "json", "base64"}).Draw(t, "form")](t, values["SECRET"+string(rune('A'+name))])
			from := rapid.IntRange(0, len(form)).Draw(t, "from") * rapid.IntRange(0, 1).Draw(t, "whole")
			text.WriteString(form[from:rapid.IntRange(from, len(form)).Draw(t, "to")])
		}
		text.WriteByte('\n')
		want := slow(values, text.Bytes())
		if got := plain(set.Bytes(text.Bytes())); got != want {
			t.Fatalf("%q\nbecame %q\nwant   %q", text.String(), got, want)
		}
		if got := plain(write(t, set, text.Bytes())); got != want {
			t.Fatalf("in parts, %q\nbecame %q\nwant   %q", text.String(), got, want)
		}
	})
}

// A line is not held back: after each line feed everything was written.
func TestWriter_LineAtOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := drawSecrets(t, "ab1Z/+= %\\\"é\n\r\t", 60)
		set := redact.New(values)
		var b bytes.Buffer
		w := set.Writer(&b)
		for range rapid.IntRange(1, 5).Draw(t, "lines") {
			form, _, _ := forms[rapid.SampledFrom([]string{"raw", "hex", "url", "json", "base64"}).Draw(t, "form")](t, values["SECRETA"])
			line := form[:rapid.IntRange(0, len(form)).Draw(t, "to")] + "\n"
			w.Write([]byte(line))
			if !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
				t.Fatalf("%q is held back: %q", line, b.String())
			}
		}
		had := b.Len()
		if w.Close(); b.Len() != had {
			t.Fatalf("%q was held back", b.Bytes()[had:])
		}
	})
}

func FuzzWriter(f *testing.F) {
	f.Add("sk_live_abc123", "a sk_live_abc123 b", 3)
	f.Add("p@ss \"w\\rd\"/\n line two of it", `{"a":"p@ss \"w\\rd\"/"}`, 1)
	f.Add("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 7)
	f.Add("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", "%ff%FE\\xfd\xfc//79/Pv6+fg=", 2)
	f.Fuzz(func(t *testing.T, value, text string, size int) {
		set := redact.New(map[string]string{"A": value})
		want := set.Bytes([]byte(text + "\n"))
		var b bytes.Buffer
		w := set.Writer(&b)
		for rest := []byte(text + "\n"); len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		w.Close()
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("in parts %q, at once %q", b.Bytes(), want)
		}
		if v := strings.TrimSpace(value); len(v) >= redact.MinLength && !strings.ContainsAny(v, "\n[]") && !strings.Contains("[redacted A]", v) && strings.Contains(set.String(text+v+text), v) {
			t.Errorf("%q is left in %q", v, set.String(text+v+text))
		}
	})
}
