package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// The second factor (RFC 6238), with what every app for it takes.
const (
	period        = 30 // seconds of a step
	skew          = 1  // steps that a clock may be off, either way
	secretLen     = 20
	recoveryCodes = 10
	pictureSize   = 264
	enrolWithin   = 15 * time.Minute
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// Enrolment is a second factor that is not confirmed yet. It is nowhere but on
// the page: Sealed is what the page sends back.
type Enrolment struct {
	Secret  string // to be typed into an app, in groups of four
	Picture []byte // the same as a QR code, a PNG
	Sealed  string
}

// Enrol begins a second factor for the user of a session.
func (s *Service) Enrol(ctx context.Context, in Session) (Enrolment, error) {
	if in.Principal.User == nil {
		return Enrolment{}, errNoUser
	}
	secret := make([]byte, secretLen)
	rand.Read(secret)
	until := s.now().Add(enrolWithin)
	sealed, err := s.o.Sealer.Seal(ctx, bindEnrolment(in.OwnerID), append([]byte(until.Format(time.RFC3339)+" "), secret...))
	if err != nil {
		return Enrolment{}, err
	}
	return s.enrolment(in, secret, encoding.EncodeToString(sealed))
}

func (s *Service) enrolment(in Session, secret []byte, sealed string) (Enrolment, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: s.o.Name, AccountName: in.Name, Secret: secret, Period: period})
	if err != nil {
		return Enrolment{}, fmt.Errorf("make the address of a second factor: %w", err)
	}
	picture, err := key.Image(pictureSize, pictureSize)
	if err != nil {
		return Enrolment{}, fmt.Errorf("draw a second factor: %w", err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		return Enrolment{}, fmt.Errorf("draw a second factor: %w", err)
	}
	var groups []string
	for part := range slices.Chunk([]byte(base32Plain.EncodeToString(secret)), 4) {
		groups = append(groups, string(part))
	}
	return Enrolment{Secret: strings.Join(groups, " "), Picture: out.Bytes(), Sealed: sealed}, nil
}

// Again is an enrolment as it was shown before, from what the page sent back.
func (s *Service) Again(ctx context.Context, in Session, sealed string) (Enrolment, error) {
	secret, err := s.openEnrolment(ctx, in, sealed)
	if err != nil {
		return Enrolment{}, err
	}
	return s.enrolment(in, secret, sealed)
}

var errEnrolment = fault.New(fault.Invalid, "the page was open for too long").WithHint("begin again, with a new code to scan")

func bindEnrolment(userID string) string { return "totp enrolment/" + userID }
func bindTOTP(userID string) string      { return "totp/" + userID }

func (s *Service) openEnrolment(ctx context.Context, in Session, text string) ([]byte, error) {
	sealed, err := encoding.DecodeString(text)
	if err != nil {
		return nil, errEnrolment
	}
	plain, err := s.o.Sealer.Open(ctx, bindEnrolment(in.OwnerID), sealed)
	if err != nil {
		return nil, errEnrolment // somebody else's, or nobody's
	}
	until, secret, _ := bytes.Cut(plain, []byte(" "))
	if at, err := time.Parse(time.RFC3339, string(until)); err != nil || len(secret) != secretLen || s.now().After(at) {
		return nil, errEnrolment
	}
	return secret, nil
}

// Confirm turns the second factor of an enrolment on, when its app shows the right
// code and the password is the user's, and returns the recovery codes, which are
// shown this once. Other sessions of the user end.
func (s *Service) Confirm(ctx context.Context, in Session, sealed, code, password string) (recovery []string, err error) {
	defer func() { s.record("turnOnSecondFactor", in, err) }()
	secret, err := s.openEnrolment(ctx, in, sealed)
	if err != nil {
		return nil, err
	}
	if err := s.proves(ctx, in, password); err != nil {
		return nil, err
	}
	step, ok := stepOf(secret, code, s.now())
	if !ok {
		return nil, errNewCode
	}
	kept, err := s.o.Sealer.Seal(ctx, bindTOTP(in.OwnerID), secret)
	if err != nil {
		return nil, err
	}
	recovery, hashes := newRecovery()
	_, err = s.o.Store.UpdateUser(ctx, in.ProjectID, in.OwnerID, s.now(), func(u *platform.User) error {
		if len(u.TOTP) > 0 {
			return fault.New(fault.Conflict, "there is a second factor already").WithHint("turn it off before you set up another")
		}
		u.TOTP, u.TOTPStep, u.Recovery = kept, step, hashes
		return nil
	})
	if err == nil {
		err = s.EndOthers(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	return recovery, nil
}

// TurnOff ends the second factor of a session's user, who shows the password.
func (s *Service) TurnOff(ctx context.Context, in Session, password string) (err error) {
	defer func() { s.record("turnOffSecondFactor", in, err) }()
	if err := s.proves(ctx, in, password); err != nil {
		return err
	}
	_, err = s.o.Store.UpdateUser(ctx, in.ProjectID, in.OwnerID, s.now(), func(u *platform.User) error {
		u.TOTP, u.Recovery = nil, nil
		return nil
	})
	return err
}

// takeCode takes a code of a user, each of them once: of an app, or one of
// those for recovery.
func (s *Service) takeCode(ctx context.Context, u *platform.User, code string) error {
	code = plainCode(code)
	if len(code) != otp.DigitsSix.Length() {
		hash := sha256.Sum256([]byte(code))
		for i, h := range u.Recovery {
			if subtle.ConstantTimeCompare(h[:], hash[:]) == 1 {
				u.Recovery = slices.Delete(slices.Clone(u.Recovery), i, i+1)
				return nil
			}
		}
		return ErrCode
	}
	secret, err := s.o.Sealer.Open(ctx, bindTOTP(u.ID), u.TOTP)
	if err != nil {
		return fmt.Errorf("open the second factor of %s: %w", u.ID, err)
	}
	step, ok := stepOf(secret, code, s.now())
	if !ok || step <= u.TOTPStep {
		return ErrCode
	}
	u.TOTPStep = step
	return nil
}

// stepOf is the step of time whose code is given, the newest where two are alike.
func stepOf(secret []byte, code string, now time.Time) (step int64, ok bool) {
	code = plainCode(code)
	for at := now.Unix()/period - skew; at <= now.Unix()/period+skew; at++ {
		want, err := hotp.GenerateCode(base32Plain.EncodeToString(secret), uint64(at))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = at, true
		}
	}
	return step, ok
}

// plainCode is a code without what people put into it to read it.
func plainCode(code string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

// newRecovery makes codes of 80 random bits, and their hashes.
func newRecovery() (codes []string, hashes [][sha256.Size]byte) {
	for range recoveryCodes {
		var b [10]byte
		rand.Read(b[:])
		code := strings.ToLower(base32Plain.EncodeToString(b[:]))
		hashes = append(hashes, sha256.Sum256([]byte(code)))
		codes = append(codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
	}
	return codes, hashes
}
