package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"postern.dev/postern/internal/fault"
)

// The cost of a hash (RFC 9106): about 60 ms of one core and 32 MiB, a half more
// than OWASP asks for at least. Two are made at a time and 32 wait, for some
// seconds, so all sign-ins together have 64 MiB and no more.
const (
	costMemory  = 32 << 10 // KiB
	costTime    = 3
	costThreads = 1
	saltLen     = 16
	hashLen     = 32
	atOnce      = 2
	mayWait     = 32
	longestWait = 5 * time.Second
)

// MinPassword is how many characters a password has at least, MaxPassword how
// many bytes at most.
const (
	MinPassword = 12
	MaxPassword = 1024
)

// CheckPassword says what is wrong with a new password of a user, without
// repeating it.
func CheckPassword(name, password string) error {
	bad := func(text, hint string) error {
		return fault.New(fault.Invalid, "password "+text).WithCode("password_weak").WithHint(hint)
	}
	different := map[rune]bool{}
	for _, r := range password {
		different[r] = true
	}
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return bad("is no text", "write it in UTF-8, without a zero byte")
	case utf8.RuneCountInString(password) < MinPassword:
		return bad(fmt.Sprintf("has fewer than %d characters", MinPassword), "four words that have nothing to do with one another make a good one")
	case len(password) > MaxPassword:
		return bad(fmt.Sprintf("has more than %d bytes", MaxPassword), "take a shorter one")
	case len(different) < 5:
		return bad("has fewer than five different characters", "four words that have nothing to do with one another make a good one")
	case strings.EqualFold(password, name) || len(name) > 3 && len(password) < 2*len(name) && strings.Contains(strings.ToLower(password), name):
		return bad("is little more than the user's name", "take one that does not hold the name")
	}
	return nil
}

// hasher makes hashes of passwords, a few at a time.
type hasher struct {
	cost    params
	running chan struct{}
	waiting chan struct{}
	decoy   string // what a user who is not there is compared with
}

func newHasher() *hasher {
	return (&hasher{running: make(chan struct{}, atOnce), waiting: make(chan struct{}, mayWait)}).at(params{costMemory, costTime, costThreads})
}

// at sets the cost.
func (h *hasher) at(cost params) *hasher {
	h.cost, h.decoy = cost, encodePHC(cost, []byte(rand.Text()), make([]byte, hashLen)) // of no password
	return h
}

// enter waits for its turn.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, errBusy
	}
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running }, nil
	case <-timer.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash is a password in the PHC string format.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltLen)
	rand.Read(salt)
	return encodePHC(h.cost, salt, h.cost.key(password, salt, hashLen)), nil
}

// is reports whether a password is the one of a hash, and whether that was made
// at another cost than is usual now. Without a hash it takes as long, and is none.
func (h *hasher) is(ctx context.Context, stored, password string) (right, stale bool, err error) {
	none := stored == ""
	if none {
		stored = h.decoy
	}
	p, salt, want, err := decodePHC(stored)
	if err != nil {
		return false, false, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	right = subtle.ConstantTimeCompare(p.key(password, salt, uint32(len(want))), want) == 1
	return right && !none, p != h.cost, nil
}

type params struct {
	memory, time uint32
	threads      uint8
}

func (p params) key(password string, salt []byte, n uint32) []byte {
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, n)
}

var phc = base64.RawStdEncoding.Strict()

func encodePHC(p params, salt, hash []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, phc.EncodeToString(salt), phc.EncodeToString(hash))
}

// decodePHC reads a hash. One whose cost is beyond all reason, as only a row that
// somebody else wrote has it, is refused before it takes the memory.
func decodePHC(text string) (p params, salt, hash []byte, err error) {
	bad := fault.New(fault.Internal, "the hash of a password is none that can be read")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.time, p.threads) {
		return p, nil, nil, bad
	}
	salt, serr := phc.DecodeString(parts[4])
	hash, herr := phc.DecodeString(parts[5])
	switch {
	case serr != nil || herr != nil || len(salt) < 8 || len(salt) > 64 || len(hash) < 16 || len(hash) > 64,
		p.memory < 8 || p.memory > 256<<10 || p.time < 1 || p.time > 16 || p.threads < 1 || p.threads > 16:
		return p, nil, nil, bad
	}
	return p, salt, hash, nil
}
