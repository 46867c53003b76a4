package accesskey_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"postern.dev/postern/internal/accesskey"
)

func TestNewSecret_ParsesBack(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		s := accesskey.NewSecret()
		text := s.Reveal()
		if accesskey.SecretLen != 53 || len(text) != 53 {
			t.Fatalf("secret has %d characters, want 53", len(text))
		}
		got, err := accesskey.ParseSecret(text)
		if err != nil {
			t.Fatalf("ParseSecret(new secret): %v", err)
		}
		if got.Hash() != sha256.Sum256([]byte(text)) {
			t.Fatal("Hash is not the SHA-256 of the whole text")
		}
		if seen[text] {
			t.Fatal("the same secret twice")
		}
		seen[text] = true
	}
}

// Any change of a single character must be refused: that is what CRC-32 is for.
func TestParseSecret_RefusesAnyTypingError(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(accesskey.NewSecret().Reveal())
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		to := rapid.Byte().Filter(func(b byte) bool { return b != text[at] }).Draw(t, "to")
		text[at] = to
		if _, err := accesskey.ParseSecret(string(text)); !errors.Is(err, accesskey.ErrMalformed) {
			t.Fatalf("changed byte %d to %q: err = %v", at, to, err)
		}
		if accesskey.WellFormed(text) {
			t.Fatal("WellFormed on bytes disagrees with ParseSecret")
		}
	})
}

func TestParseSecret_Refuses(t *testing.T) {
	t.Parallel()
	good := accesskey.NewSecret().Reveal()
	for name, s := range map[string]string{
		"empty": "", "prefix only": "psk_", "one short": good[:len(good)-1], "one long": good + "0",
		"leading space": " " + good[1:], "trailing newline": good[:len(good)-1] + "\n", "upper-case prefix": "PSK_" + good[4:],
		"id prefix": "pak_" + good[4:], "dash": good[:10] + "-" + good[11:], "not UTF-8": good[:10] + "\xff" + good[11:],
		"only zeros": "psk_" + strings.Repeat("0", 49),
	} {
		if _, err := accesskey.ParseSecret(s); !errors.Is(err, accesskey.ErrMalformed) {
			t.Errorf("%s: err = %v, want ErrMalformed", name, err)
		}
	}
}

func TestParseSecret_RefusesWithoutAllocating(t *testing.T) {
	bad := "psk_" + strings.Repeat("a", 49)
	if n := testing.AllocsPerRun(100, func() { accesskey.ParseSecret(bad) }); n != 0 {
		t.Errorf("a refusal allocates %v times", n)
	}
	raw := []byte(accesskey.NewSecret().Reveal())
	if n := testing.AllocsPerRun(100, func() { accesskey.WellFormed(raw) }); n != 0 {
		t.Errorf("WellFormed on bytes allocates %v times", n)
	}
}

func TestSecret_NeverPrintsItself(t *testing.T) {
	t.Parallel()
	s := accesskey.NewSecret()
	holder := struct{ Key accesskey.Secret }{s}
	hidden := struct{ key accesskey.Secret }{s}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "key", s, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "key", s)
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v", &s, []accesskey.Secret{s}),
		fmt.Sprintf("%v %#v", map[string]any{"key": s}, map[accesskey.Secret]int{s: 1}), fmt.Errorf("key %v: %w", s, accesskey.ErrMalformed).Error(),
		fmt.Sprintf("%v %+v %#v", holder, &holder, holder), fmt.Sprintf("%v %+v %#v", hidden, &hidden, hidden), string(asJSON), log.String(),
	} {
		if strings.Contains(out, s.Reveal()) || strings.Contains(out, s.Reveal()[4:20]) {
			t.Errorf("the secret got out: %s", out)
		}
		if strings.Contains(out, fmt.Sprintf("%x", s.Reveal())) {
			t.Errorf("the secret got out in hex: %s", out)
		}
	}
	if none := (accesskey.Secret{}); none.Reveal() != "" || none.String() != "[redacted]" {
		t.Error("the zero secret")
	}
}

func TestID_FormAndOrder(t *testing.T) {
	t.Parallel()
	a, b := accesskey.NewID(time.UnixMilli(1)), accesskey.NewID(time.UnixMilli(2))
	if !accesskey.ValidID(a) || !accesskey.ValidID(b) || a >= b {
		t.Errorf("IDs %q, %q: want valid and in order of time", a, b)
	}
	for _, s := range []string{"", "pak_", a + "0", a[:len(a)-1], strings.ToUpper(a), "psk_" + a[4:], a[:8] + ":" + a[9:], a[:29] + "u", "pak_8" + a[5:], "pak_" + strings.Repeat("z", 26)} {
		if accesskey.ValidID(s) {
			t.Errorf("ValidID(%q) = true", s)
		}
	}
}

func BenchmarkWellFormed(b *testing.B) {
	raw := []byte(accesskey.NewSecret().Reveal())
	b.ReportAllocs()
	for b.Loop() {
		if !accesskey.WellFormed(raw) {
			b.Fatal("refused")
		}
	}
}

// What is packed is the ID and nothing else.
func TestPackID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		packed := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bits"))
		text := accesskey.UnpackID(packed)
		again, ok := accesskey.PackID(string(text[:]))
		if !ok || again != packed || !accesskey.ValidID(string(text[:])) {
			t.Fatalf("%x is %s, and that %x", packed, text, again)
		}
		u, err := ulid.ParseStrict(string(text[4:]))
		if err != nil || u != ulid.ULID(packed) {
			t.Fatalf("%s is not the ULID %x: %v", text, packed, err)
		}
	})
}
