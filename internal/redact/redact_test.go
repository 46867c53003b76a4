package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
