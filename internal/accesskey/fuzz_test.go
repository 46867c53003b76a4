package accesskey_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/accesskey"
)

// The wire form is a promise: keys minted once must parse for ever, and secret
// scanners recompute the checksum. These were made with another CRC-32
// (Python's zlib) over another base62.
var knownSecrets = []string{
	"psk_00000000000000000000000000000000000000000004K3v2N",
	"psk_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz2cqJSg",
	"psk_789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn3vTAWe",
}

func TestParseSecret_KnownSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range knownSecrets {
		s, err := accesskey.ParseSecret(text)
		if err != nil || s.Reveal() != text || s.Hash() != sha256.Sum256([]byte(text)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Every other byte at every place: 53 × 255 wrong secrets, none of which passes.
func TestParseSecret_RefusesEverySingleChange(t *testing.T) {
	t.Parallel()
	good := []byte(knownSecrets[2])
	for i := range good {
		was := good[i]
		for b := range 256 {
			good[i] = byte(b)
			if byte(b) != was && accesskey.WellFormed(good) {
				t.Errorf("byte %d changed to %#x passes", i, b)
			}
		}
		good[i] = was
	}
	for i := range len(good) - 1 { // the typist's other mistake
		if good[i] == good[i+1] {
			continue
		}
		good[i], good[i+1] = good[i+1], good[i]
		if accesskey.WellFormed(good) {
			t.Errorf("bytes %d and %d in the wrong order pass", i, i+1)
		}
		good[i], good[i+1] = good[i+1], good[i]
	}
}

// A fuzz test whose seeds went missing would pass and check nothing.
func TestFuzzSeedsExist(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"FuzzParseSecret", "FuzzValidID"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*"))
		if err != nil || len(seeds) < 3 {
			t.Errorf("%s has %d seeds (%v)", name, len(seeds), err)
		}
		for _, f := range seeds {
			if data, err := os.ReadFile(f); err != nil || !strings.HasPrefix(string(data), "go test fuzz v1\n") {
				t.Errorf("%s is no seed: %v", f, err)
			}
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, s := range knownSecrets {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := accesskey.ParseSecret(text)
		if accesskey.WellFormed([]byte(text)) != (err == nil) {
			t.Fatal("WellFormed and ParseSecret disagree")
		}
		if err != nil {
			if strings.Contains(err.Error(), text) && text != "" && len(text) > 8 {
				t.Fatalf("the refusal repeats what was sent: %v", err)
			}
			return
		}
		if s.Reveal() != text {
			t.Fatalf("parse and print differ: %q", text)
		}
		if len(text) != accesskey.SecretLen || !strings.HasPrefix(text, "psk_") || strings.Trim(text[4:], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q was accepted", text)
		}
	})
}

func FuzzValidID(f *testing.F) {
	f.Fuzz(func(t *testing.T, id string) {
		if !accesskey.ValidID(id) {
			return
		}
		if len(id) != accesskey.IDLen || strings.ToLower(id) != id || strings.ContainsAny(id, ":/ \x00") {
			t.Fatalf("%q was accepted", id)
		}
	})
}

func BenchmarkParseSecret_Refusal(b *testing.B) {
	bad := knownSecrets[2][:accesskey.SecretLen-1] + "!"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := accesskey.ParseSecret(bad); err == nil {
			b.Fatal("accepted")
		}
	}
}
