package signature

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// writer is the other half of a Scheme: it writes what read reads.
type writer interface {
	// write puts a signature into a request's header, and what is signed with it:
	// the sender's name for the key, what it calls the callback, and the time.
	write(r *Request, keyID, id string, sum []byte)
}

// ErrPrivate says that a secret verifies and does not sign: it is the public half
// of one that the sender alone has.
var ErrPrivate = errors.New("this secret is a public key: only its sender can sign")

// Sign signs a request as the sender of a scheme does, at r.Now, for those who
// have its secret and want to try their own callbacks. id is what the sender calls
// the callback, where the scheme has such a thing. All else of the request is to be
// as it is sent.
func Sign(s Scheme, k Key, id string, r *Request) error {
	w, ok := s.(writer)
	if !ok {
		return errors.New("nothing signs by " + s.Name())
	}
	made, err := s.key(k.Secret.reveal())
	switch {
	case err != nil:
		return err
	case made.public != nil:
		return ErrPrivate
	}
	mac := hmac.New(s.hash(), made.secret)
	w.write(r, k.ID, id, make([]byte, mac.Size())) // for read to say what is signed
	c, err := s.read(r)
	if err != nil {
		return err
	}
	c.contents[0].write(mac)
	w.write(r, k.ID, id, mac.Sum(nil))
	return nil
}

func (r *Request) set(name, value string) { r.Header[name] = []string{value} }

func (r *Request) unix() string { return strconv.FormatInt(r.Now.Unix(), 10) }

func (s voice) write(r *Request, keyID, _ string, sum []byte) {
	r.set("Authorization", s.words[0]+" "+keyID+":"+base64.StdEncoding.EncodeToString(sum))
	r.set("X-Timestamp", r.Now.UTC().Format(time.RFC3339Nano))
}

func (conversation) write(r *Request, _, id string, sum []byte) {
	r.set("X-Sinch-Webhook-Signature", base64.StdEncoding.EncodeToString(sum))
	r.set("X-Sinch-Webhook-Signature-Nonce", id)
	r.set("X-Sinch-Webhook-Signature-Timestamp", r.unix())
	r.set("X-Sinch-Webhook-Signature-Algorithm", "HmacSHA256")
}

func (numbers) write(r *Request, _, _ string, sum []byte) {
	r.set("X-Sinch-Signature", hex.EncodeToString(sum))
}

func (standard) write(r *Request, _, id string, sum []byte) {
	r.set("Webhook-Id", id)
	r.set("Webhook-Timestamp", r.unix())
	r.set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum))
}

func (s *custom) write(r *Request, _, _ string, sum []byte) {
	text := hex.EncodeToString(sum)
	if s.Encoding == "base64" {
		text = base64.StdEncoding.EncodeToString(sum)
	}
	if s.TimestampHeader != "" {
		r.set(s.TimestampHeader, r.unix())
	}
	if s.SignatureField == "" {
		r.set(s.Header, s.Prefix+text)
		return
	}
	var fields []string
	if s.TimestampField != "" {
		fields = append(fields, s.TimestampField+"="+r.unix())
	}
	r.set(s.Header, strings.Join(append(fields, s.SignatureField+"="+text), ","))
}
