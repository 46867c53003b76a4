package accesskey

import "bytes"

// redactFrom is how much of a secret's text there must be before it counts as
// one: what is left of a secret after this many characters cannot be guessed.
const redactFrom = 16

// Redact returns text with everything that looks like a secret replaced, also
// one that is mistyped or cut off: people send secrets where they do not
// belong, as a user name or in a path, and a log is read by many. It returns
// text itself where there is nothing to replace.
func Redact(text []byte) []byte {
	var out []byte
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(secretPrefix))
		if i < 0 {
			if out == nil {
				return text
			}
			return append(out, text[from:]...)
		}
		begin := from + i + len(secretPrefix)
		end := begin
		for end < len(text) && (isBase62(text[end]) || text[end] == '_') { // one may follow another
			end++
		}
		out = append(out, text[from:begin]...)
		if from = begin; end-begin >= redactFrom {
			out, from = append(out, redacted...), end
		}
	}
}

// Within reports whether text has a secret in it.
func Within(text string) bool {
	return !bytes.Equal(Redact([]byte(text)), []byte(text))
}
