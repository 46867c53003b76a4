// Package signature verifies callbacks that their sender has signed: who sent
// these bytes, and are they new?
//
// [Verifier] is the type to know. A [Scheme] only reads a request: what its
// sender claims to have signed, when, and with which proofs. The Verifier does
// the rest for every scheme alike, so that none can leave a step out: secret
// there, one reading of each header, proof in constant time, time window,
// replay. Nothing here knows of connections; bytes go in, a [Verdict] or one of
// the errors below comes out. A caller of the gateway is told the same of all
// of them, the log tells them apart.
//
// Not every scheme signs everything. Voice signs method, content type, time,
// path and body (by MD5: that is the sender's protocol), and no host; the others
// sign the body, with or without a time. So a handler may believe its body, and
// what a scheme leaves out no more than that of a stranger.
package signature

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"
)

// Why a callback is refused.
var (
	ErrNoSecret   = errors.New("no secret is set for this callback")
	ErrMissing    = errors.New("the callback is not signed")
	ErrMalformed  = errors.New("the callback's signature cannot be read")
	ErrUnknownKey = errors.New("the callback is signed with a key that is not ours")
	ErrSignature  = errors.New("the callback's signature is wrong")
	ErrStale      = errors.New("the callback was signed too long ago")
	ErrFuture     = errors.New("the callback was signed in the future")
	ErrReplayed   = errors.New("the callback was taken before")
	// ErrMemory says that nobody can tell whether it was: the memory is full
	// or away. It may be sent again.
	ErrMemory = errors.New("callbacks cannot be remembered at the moment")
)

// Request is a request as it was received. Verifying alters nothing of it.
type Request struct {
	Method string
	Path   string // as sent: encoded, without query
	Query  string // as sent, without the question mark
	// Header has its names in net/http's spelling; one in another is not seen.
	Header map[string][]string
	Body   []byte // whole
	Now    time.Time
}

// Verdict is what is known of a callback that is good.
type Verdict struct {
	Scheme string
	KeyID  string    // the name of the key that it was signed with
	At     time.Time // when it was signed; zero where the scheme signs no time
	// ID is what the sender calls the callback, for a handler that wants to do
	// each once: a nonce, a message ID, an event ID. Empty where there is none.
	ID   string
	Mark Mark // by which it is remembered
}

// Mark stands for one callback in a Memory.
type Mark [16]byte

// Memory remembers callbacks, so that none is taken twice. [*Replays] is one,
// for one process; [*Shared] is that of nodes behind one door, over restarts.
type Memory interface {
	// Take remembers the mark until a time and reports whether it was new. Of
	// calls at the same time with one mark it tells exactly one that it was. An
	// error, whatever it is, refuses the callback.
	Take(ctx context.Context, m Mark, now, until time.Time) (fresh bool, err error)
	// Forget gives a mark back: the callback was not served, and its sender may
	// send the very same bytes again.
	Forget(ctx context.Context, m Mark) error
}

// Scheme is one way of signing: [VoiceV1], [VoiceV2], [Conversation],
// [Numbers], [Standard], or what [Custom] describes.
type Scheme interface {
	// Name is the scheme's name in verdicts and logs.
	Name() string
	// key makes a key of a secret as its owner has it.
	key(secret string) (key, error)
	// hash is the hash of the scheme's HMAC.
	hash() func() hash.Hash
	// read finds what is claimed. It decides nothing.
	read(r *Request) (claim, error)
}

// claim is what a request says of its own signature.
type claim struct {
	keyID    string    // the sender's name for its key; empty where the scheme has none
	at       time.Time // zero where the scheme signs no time
	id       string
	idMember string    // where there is no id: the member of the JSON body that is one
	contents []content // what may have been signed, all of one meaning
	proofs   []proof   // one that is good will do
}

// content is what was signed, in parts, so that a body is not copied.
type content struct {
	head string
	body []byte
	tail string
}

// proof is one signature: an HMAC, or Ed25519's.
type proof struct {
	public bool
	sum    []byte
}

// key is a secret in the form in which it is used: one of the two.
type key struct {
	id     string
	secret []byte
	public ed25519.PublicKey
}

// Key is one secret of a sender's.
type Key struct {
	// ID is what the sender calls it (voice: the application's key or the
	// service's ID), else a name for the log.
	ID     string
	Secret Secret
}

// Config describes a Verifier.
type Config struct {
	Scheme Scheme
	// Keys are all that are good at the moment: several while one is being
	// replaced. Those whose secret is empty count as missing.
	Keys []Key
	// Window is by how much a signature may be older or newer than now: 5
	// minutes where it is zero, and never without bound.
	Window time.Duration
	// Keep is how long a callback is remembered that says no time: 24 hours
	// where it is zero. After that a copy of it would be taken again.
	Keep time.Duration
	// Scope is within which a callback is taken once, such as a project:
	// senders of different scopes cannot spend each other's.
	Scope  string
	Memory Memory
}

const (
	defaultWindow = 5 * time.Minute
	maxWindow     = time.Hour
	defaultKeep   = 24 * time.Hour
	// A callback is remembered for that much longer than it is good, so that a
	// clock that steps back does not make it new.
	clockStep = time.Minute
)

// Verifier verifies the callbacks of one sender. It is immutable and safe for
// concurrent use.
type Verifier struct {
	scheme Scheme
	keys   []*key // pointers: fmt does not follow them, so a Verifier prints no secret
	window time.Duration
	keep   time.Duration
	scope  string
	memory Memory
}

// New makes a Verifier. Without a key it is made all the same and refuses
// everything with ErrNoSecret: an operator who forgot a secret has shut the
// door, not left it open. A secret that cannot be one is an error that does not
// show it.
func New(c Config) (*Verifier, error) {
	v := &Verifier{scheme: c.Scheme, window: c.Window, keep: c.Keep, scope: c.Scope, memory: c.Memory}
	switch {
	case c.Scheme == nil || c.Memory == nil:
		return nil, errors.New("a verifier needs a scheme and a memory")
	case c.Window < 0 || c.Window > maxWindow:
		return nil, fmt.Errorf("the window of %s must be positive and at most %v", c.Scheme.Name(), maxWindow)
	case c.Keep < 0:
		return nil, fmt.Errorf("the time for which %s is remembered must be positive", c.Scheme.Name())
	}
	if v.window == 0 {
		v.window = defaultWindow
	}
	if v.keep == 0 {
		v.keep = defaultKeep
	}
	for _, k := range c.Keys {
		if k.Secret.reveal() == "" {
			continue
		}
		made, err := c.Scheme.key(k.Secret.reveal())
		if err != nil {
			return nil, fmt.Errorf("the secret %q of %s: %w", k.ID, c.Scheme.Name(), err)
		}
		made.id = k.ID
		v.keys = append(v.keys, &made)
	}
	return v, nil
}

// Scheme is the name of the scheme.
func (v *Verifier) Scheme() string { return v.scheme.Name() }

// Verify says who signed the request, and remembers it, or why it is refused:
// one of this package's errors, to be asked for with errors.Is. Time and replay
// are looked at last, when they are known to be the sender's own words: nobody
// but a sender puts anything into the memory.
func (v *Verifier) Verify(ctx context.Context, r *Request) (Verdict, error) {
	if len(v.keys) == 0 {
		return Verdict{}, ErrNoSecret
	}
	c, err := v.scheme.read(r)
	if err != nil {
		return Verdict{}, err
	}
	k, signed, err := v.match(&c)
	if err != nil {
		return Verdict{}, err
	}
	if err := v.inTime(&c, r.Now); err != nil {
		return Verdict{}, err
	}
	until := r.Now.Add(v.keep)
	if !c.at.IsZero() {
		until = c.at.Add(v.window + clockStep)
	}
	mark := v.mark(c.keyID, signed)
	if fresh, err := v.memory.Take(ctx, mark, r.Now, until); err != nil {
		return Verdict{}, fmt.Errorf("%w: %w", ErrMemory, err)
	} else if !fresh {
		return Verdict{}, ErrReplayed
	}
	if c.idMember != "" {
		c.id = member(r.Body, c.idMember)
	}
	return Verdict{Scheme: v.scheme.Name(), KeyID: k.id, At: c.at, ID: c.id, Mark: mark}, nil
}

// Look refuses by the headers alone what Verify would refuse whatever the body
// is, so that a stranger's body need not be read. What it lets through is not
// verified.
func (v *Verifier) Look(r *Request) error {
	if len(v.keys) == 0 {
		return ErrNoSecret
	}
	c, err := v.scheme.read(r)
	if err != nil {
		return err
	}
	for _, k := range v.keys {
		if c.by(k) {
			return v.inTime(&c, r.Now)
		}
	}
	return ErrUnknownKey
}

// inTime checks the window of a claim that has a time.
func (v *Verifier) inTime(c *claim, now time.Time) error {
	switch {
	case c.at.IsZero():
		return nil
	case now.Sub(c.at) > v.window:
		return ErrStale
	case c.at.Sub(now) > v.window:
		return ErrFuture
	}
	return nil
}

// by reports whether a claim may be by that key.
func (c *claim) by(k *key) bool { return c.keyID == "" || c.keyID == k.id }

// Forget lets the callback of a verdict come again, because it was not served:
// no worker took it, or the handler failed. A sender's second try may be the
// first to the byte.
func (v *Verifier) Forget(ctx context.Context, d Verdict) error { return v.memory.Forget(ctx, d.Mark) }

// match finds the key and the content of a good proof.
func (v *Verifier) match(c *claim) (*key, content, error) {
	known := false
	for _, k := range v.keys {
		if !c.by(k) {
			continue
		}
		known = true
		for _, signed := range c.contents {
			if v.proves(k, signed, c.proofs) {
				return k, signed, nil
			}
		}
	}
	if !known {
		return nil, content{}, ErrUnknownKey
	}
	return nil, content{}, ErrSignature
}

// proves reports whether one of the proofs is the key's over the content. A key
// of the one kind is never tried as one of the other: a public key that is
// taken for an HMAC's secret would let everybody sign.
func (v *Verifier) proves(k *key, signed content, proofs []proof) bool {
	if k.public != nil {
		var message []byte
		for _, p := range proofs {
			if !p.public {
				continue
			}
			if message == nil {
				message = append(append(append([]byte{}, signed.head...), signed.body...), signed.tail...)
			}
			if ed25519.Verify(k.public, message, p.sum) {
				return true
			}
		}
		return false
	}
	var buf [64]byte
	mac := hmac.New(v.scheme.hash(), k.secret)
	signed.write(mac)
	want := mac.Sum(buf[:0])
	for _, p := range proofs {
		if !p.public && hmac.Equal(want, p.sum) {
			return true
		}
	}
	return false
}

func (c content) write(h hash.Hash) {
	h.Write([]byte(c.head))
	h.Write(c.body)
	h.Write([]byte(c.tail))
}

// mark is the same for two requests if and only if what is signed of them is:
// a second spelling of a signature, another of several good ones and all that
// is not signed make no second callback.
func (v *Verifier) mark(keyID string, signed content) Mark {
	h := sha256.New()
	var buf [sha256.Size]byte
	for _, s := range [...]string{v.scope, v.scheme.Name(), keyID} {
		h.Write(binary.AppendUvarint(buf[:0], uint64(len(s))))
		h.Write([]byte(s))
	}
	signed.write(h)
	return Mark(h.Sum(buf[:0]))
}

// member is a text member of a JSON object, or empty.
func member(body []byte, name string) string {
	var object map[string]json.RawMessage
	var text string
	if json.Unmarshal(body, &object) != nil || json.Unmarshal(object[name], &text) != nil || !isToken(text) {
		return ""
	}
	return text
}
