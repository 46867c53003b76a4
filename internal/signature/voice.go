package signature

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/url"
	"strings"
	"unicode/utf8"
)

// VoiceV1 is the scheme of voice callbacks: `Authorization: application
// key:signature` and x-timestamp.
func VoiceV1() Scheme { return voice{name: "voice-v1", words: []string{"application"}, query: true} }

// VoiceV2 is the scheme of the second generation: `service` instead of
// `application`, which some examples of it still say.
func VoiceV2() Scheme { return voice{name: "voice-v2", words: []string{"service", "application"}} }

// voice signs five lines: method, MD5 of the body, content type, time, path.
type voice struct {
	name  string
	words []string // of the Authorization header, in any case
	query bool     // some of its senders sign the query
}

func (s voice) Name() string           { return s.name }
func (s voice) hash() func() hash.Hash { return sha256.New }

func (s voice) key(secret string) (k key, err error) {
	k.secret, err = lenientBase64(secret)
	return k, err
}

func (s voice) read(r *Request) (c claim, err error) {
	auth, err1 := one(r, "Authorization")
	stamp, err2 := one(r, "X-Timestamp")
	kind, err3 := optional(r, "Content-Type")
	if err = cmp.Or(err1, err2, err3); err != nil {
		return c, err
	}
	word, rest, _ := strings.Cut(auth, " ")
	id, text, _ := strings.Cut(rest, ":")
	sum, good := canonicalBase64(text, sha256.Size)
	at, timed := isoTime(stamp)
	if !s.takes(word) || !isToken(id) || !good || !timed || !isMethod(r.Method) || !isTarget(r) {
		return c, ErrMalformed
	}
	c.keyID, c.at, c.proofs = id, at, []proof{{sum: sum}}

	digest := ""
	if len(r.Body) > 0 {
		sum := md5.Sum(r.Body)
		digest = base64.StdEncoding.EncodeToString(sum[:])
	}
	kinds := []string{kind}
	if len(r.Body) == 0 && kind != "" {
		kinds = append(kinds, "") // some sign none where there is nothing for it to describe
	}
	for _, kind := range kinds {
		for _, path := range s.paths(r) {
			c.contents = append(c.contents, content{head: r.Method + "\n" + digest + "\n" + kind + "\nx-timestamp:" + stamp + "\n" + path})
		}
	}
	return c, nil
}

func (s voice) takes(word string) bool {
	for _, w := range s.words {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// paths are the spellings of the path that senders sign: as sent, decoded, and
// as sent with the query. Each text must stand for one path only, or a
// signature could be carried to another; so a decoded path is left out if it
// could be read as one as sent: with an escape, a query or a fragment in it, or
// a slash that was none.
func (s voice) paths(r *Request) []string {
	paths := []string{r.Path}
	if strings.IndexByte(r.Path, '%') >= 0 {
		decoded, err := url.PathUnescape(r.Path)
		if err == nil && utf8.ValidString(decoded) && !strings.ContainsAny(decoded, "%?#\n") && strings.Count(decoded, "/") == strings.Count(r.Path, "/") {
			paths = append(paths, decoded)
		}
	}
	if s.query && r.Query != "" {
		paths = append(paths, r.Path+"?"+r.Query)
	}
	return paths
}

// isMethod reports whether a method is in upper case, in which it is signed
// whatever its case was.
func isMethod(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != ""
}

// isTarget reports whether path and query are what they are said to be.
func isTarget(r *Request) bool {
	return strings.HasPrefix(r.Path, "/") && isPrintable(r.Path) && !strings.ContainsAny(r.Path, " ?#") && isPrintable(r.Query) && !strings.ContainsAny(r.Query, " #")
}
