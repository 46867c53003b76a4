package signature

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"net/textproto"
	"strings"
)

// Custom describes a scheme as data: an HMAC over the body, with a time or
// without, as most senders have one. The zero value of a field is what is said
// beside it.
type Custom struct {
	Name string `json:"name"` // in verdicts and logs
	// Header is where the signature is. It is the whole value after Prefix; or,
	// where SignatureField is set, each field of that name in a list
	// "name=value,name=value", of which others are passed over.
	Header         string `json:"header"`
	Prefix         string `json:"prefix"`
	SignatureField string `json:"signatureField"`
	// The time is in a header of its own or in a field of the list, in Unix
	// seconds. Where neither is set the scheme signs none, and what is said of
	// replays at Numbers is true of it.
	TimestampHeader string `json:"timestampHeader"`
	TimestampField  string `json:"timestampField"`
	// Signed is what is signed: a text with {body} in it and, if and only if
	// there is a time, {timestamp}.
	Signed   string `json:"signed"`   // "{body}"
	Encoding string `json:"encoding"` // of the signature: "hex" (in lower case), which is the default, or "base64"
	Hash     string `json:"hash"`     // "sha256", which is the default, "sha1" or "sha512"
	// SecretEncoding is "base64" for a secret that is to be decoded; else it is
	// taken as it is.
	SecretEncoding string `json:"secretEncoding"`
	// IDMember is the member of a JSON body that names the event.
	IDMember string `json:"idMember"`
}

// Stripe, GitHub and Slack are the schemes of these senders.
var (
	Stripe = Custom{Name: "stripe", Header: "Stripe-Signature", SignatureField: "v1", TimestampField: "t", Signed: "{timestamp}.{body}", IDMember: "id"}
	GitHub = Custom{Name: "github", Header: "X-Hub-Signature-256", Prefix: "sha256="}
	Slack  = Custom{Name: "slack", Header: "X-Slack-Signature", Prefix: "v0=", TimestampHeader: "X-Slack-Request-Timestamp", Signed: "v0:{timestamp}:{body}", IDMember: "event_id"}
)

const (
	bodyPlace = "{body}"
	timePlace = "{timestamp}"
)

// custom is a Custom that was found good.
type custom struct {
	Custom
	sum        func() hash.Hash
	size       int
	decode     func(text string, size int) ([]byte, bool)
	head, tail string // of Signed, around the body
}

// Scheme makes the scheme, or says what is wrong with its description.
func (d Custom) Scheme() (Scheme, error) {
	s := &custom{Custom: d, decode: canonicalHex, sum: sha256.New}
	switch d.Hash {
	case "", "sha256":
	case "sha1":
		s.sum = sha1.New
	case "sha512":
		s.sum = sha512.New
	default:
		return nil, fmt.Errorf("the hash %q is not sha256, sha1 or sha512", d.Hash)
	}
	switch d.Encoding {
	case "", "hex":
	case "base64":
		s.decode = canonicalBase64
	default:
		return nil, fmt.Errorf("the encoding %q is not hex or base64", d.Encoding)
	}
	if d.SecretEncoding != "" && d.SecretEncoding != "base64" {
		return nil, fmt.Errorf("the secret's encoding %q is not base64", d.SecretEncoding)
	}
	if d.Name == "" || d.Header == "" {
		return nil, errors.New("a scheme needs a name and the header that the signature is in")
	}
	for _, name := range []string{d.Header, d.TimestampHeader} {
		if !isHeaderName(name) {
			return nil, fmt.Errorf("%.64q is no name of a header", name)
		}
	}
	s.size = s.sum().Size()
	s.Header, s.TimestampHeader = textproto.CanonicalMIMEHeaderKey(d.Header), textproto.CanonicalMIMEHeaderKey(d.TimestampHeader)
	s.Signed = cmp.Or(d.Signed, bodyPlace)
	return s, s.template()
}

// template checks what is signed. Each of these would be a door: a body that is
// not signed, a time that is not, two readings of where the time ends.
func (s *custom) template() error {
	s.head, s.tail, _ = strings.Cut(s.Signed, bodyPlace)
	timed := s.TimestampHeader != "" || s.TimestampField != ""
	switch {
	case strings.Count(s.Signed, bodyPlace) != 1:
		return errors.New("what is signed must have {body} in it once")
	case s.TimestampHeader != "" && s.TimestampField != "":
		return errors.New("the time is either in a header or in a field")
	case s.TimestampField != "" && s.SignatureField == "":
		return errors.New("the time is in a field, so the signature must be in one")
	case s.TimestampField != "" && s.TimestampField == s.SignatureField:
		return errors.New("the time and the signature are in one field")
	case s.Prefix != "" && s.SignatureField != "":
		return errors.New("a signature in a field has no prefix")
	case timed && strings.Count(s.Signed, timePlace) != 1:
		return errors.New("what is signed must have {timestamp} in it once: a time that is not signed says nothing")
	case !timed && strings.Contains(s.Signed, timePlace):
		return errors.New("what is signed has {timestamp} in it, but nothing says where the time is")
	case endsInTime(s.head), strings.HasPrefix(s.tail, timePlace):
		return errors.New("between {timestamp} and {body} must be something that is no digit")
	}
	return nil
}

func endsInTime(head string) bool {
	return strings.HasSuffix(strings.TrimRight(head, "0123456789"), timePlace)
}

func (s *custom) Name() string           { return s.Custom.Name }
func (s *custom) hash() func() hash.Hash { return s.sum }

func (s *custom) key(secret string) (k key, err error) {
	if s.SecretEncoding == "base64" {
		k.secret, err = lenientBase64(secret)
		return k, err
	}
	return key{secret: []byte(secret)}, nil
}

func (s *custom) read(r *Request) (c claim, err error) {
	value, err := one(r, s.Header)
	if err != nil {
		return c, err
	}
	stamp := ""
	if s.TimestampHeader != "" {
		if stamp, err = one(r, s.TimestampHeader); err != nil {
			return c, err
		}
	}
	if s.SignatureField != "" {
		err = s.fields(value, &stamp, &c)
	} else {
		text, ok := strings.CutPrefix(value, s.Prefix)
		if !ok {
			return c, ErrMalformed
		}
		err = s.proof(text, &c)
	}
	if err != nil {
		return c, err
	}
	if s.TimestampHeader != "" || s.TimestampField != "" {
		var timed bool
		if c.at, timed = unixSeconds(stamp); !timed {
			return c, ErrMalformed
		}
	}
	c.idMember = s.IDMember
	c.contents = []content{{head: strings.Replace(s.head, timePlace, stamp, 1), body: r.Body, tail: strings.Replace(s.tail, timePlace, stamp, 1)}}
	return c, nil
}

// fields reads a list of fields.
func (s *custom) fields(list string, stamp *string, c *claim) error {
	if strings.IndexByte(list, ' ') >= 0 {
		return ErrMalformed // two lists that somebody joined are two answers
	}
	for field := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case s.SignatureField:
			if err := s.proof(value, c); err != nil {
				return err
			}
		case s.TimestampField:
			if *stamp != "" {
				return ErrMalformed
			}
			*stamp = value
		}
	}
	if len(c.proofs) == 0 {
		return ErrMalformed
	}
	return nil
}

func (s *custom) proof(text string, c *claim) error {
	sum, good := s.decode(text, s.size)
	if c.proofs = append(c.proofs, proof{sum: sum}); !good || len(c.proofs) > maxProofs {
		return ErrMalformed
	}
	return nil
}
