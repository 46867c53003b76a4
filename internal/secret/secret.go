// Package secret seals small secrets so that they can lie in the database: a
// function's own key, and the secrets that people give to functions.
//
// [Box] seals under the installation's sealing key, with NaCl secretbox. What it
// seals is bound to a name: a sealed value that is moved to another row does not
// open there. [Vault] keeps the secrets of functions and of projects: each owner
// has a data key of its own, which seals the values, and which a [Keeper] seals:
// a key derived from the sealing key, or one that a KMS or a Vault never gives
// away. In memory are data keys and what is sealed; a value is opened for whom
// it is for, and not kept here.
package secret

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"postern.dev/postern/internal/fault"
)

// ErrUnsealable says that a value does not open: it was altered, sealed with
// another key, or bound to another name.
var ErrUnsealable = errors.New("the sealed value does not open")

// Box seals and opens. It is safe for concurrent use.
type Box struct {
	keeper *secrets.Keeper
	key    [keySize]byte
}

const keySize = 32

// OpenBox opens the box whose key is in keyFile, and makes a key when there is
// no file. A key file that others may read is refused: what it sealed must be
// taken as known.
func OpenBox(keyFile string) (*Box, error) {
	key, err := openKey(keyFile)
	if err != nil {
		return nil, err
	}
	return newBox(key), nil
}

func newBox(key [keySize]byte) *Box { return &Box{localsecrets.NewKeeper(key), key} }

// openKey reads a key, and makes one when there is no file.
func openKey(path string) ([keySize]byte, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeKey(path); err == nil || errors.Is(err, fs.ErrExist) {
			key, err = readKey(path)
		}
	}
	return key, err
}

func readKey(path string) (key [keySize]byte, err error) {
	// O_NONBLOCK: a pipe in the place of the key must not hang the start.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return key, fmt.Errorf("open the sealing key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return key, fmt.Errorf("open the sealing key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return key, fault.New(fault.Invalid, fmt.Sprintf("the sealing key %s is no regular file (%v)", path, info.Mode().Type())).
			WithHint("move it away and restore the key from a backup")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return key, fault.New(fault.Invalid, fmt.Sprintf("others may read the sealing key %s (mode %v)", path, info.Mode().Perm())).
			WithHint("chmod 600 " + path)
	}
	if _, err := io.ReadFull(f, key[:]); err != nil || info.Size() != keySize {
		return key, fault.New(fault.Invalid, fmt.Sprintf("the sealing key %s is damaged: it has %d bytes, not %d", path, info.Size(), keySize)).
			WithHint("restore it from a backup; if there is none, remove it: the next start says what is lost with it")
	}
	return key, nil
}

// writeKey makes a key file atomically: whole and new, or not at all.
func writeKey(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".sealing-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make the sealing key: %w", err)
	}
	defer os.Remove(tmp.Name())
	key := make([]byte, keySize)
	rand.Read(key)
	_, err = tmp.Write(key)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(tmp.Name(), path) // fails when another was faster
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("make the sealing key: %w", err)
	}
	return nil
}

// syncDir makes the key's name survive a power cut: the database that holds
// what it sealed survives one, and would be of no use without it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Derive makes a key of its own for a purpose, by HKDF (RFC 5869): the same on
// every node that has the sealing key, and telling nothing of it.
func (b *Box) Derive(purpose string) (key [32]byte, err error) {
	out, err := hkdf.Key(sha256.New, b.key[:], nil, "postern "+purpose, len(key))
	if err != nil {
		return key, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	return [32]byte(out), nil
}

// Seal seals plain under the name bind.
func (b *Box) Seal(ctx context.Context, bind string, plain []byte) ([]byte, error) {
	sealed, err := b.keeper.Encrypt(ctx, bound(bind, plain))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", bind, err)
	}
	return sealed, nil
}

// Open returns what was sealed under the name bind, or ErrUnsealable.
func (b *Box) Open(ctx context.Context, bind string, sealed []byte) ([]byte, error) {
	message, err := b.keeper.Decrypt(ctx, sealed)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", bind, ErrUnsealable)
	}
	return unbound(bind, message)
}

// bound is plain with the name that it is sealed under.
func bound(bind string, plain []byte) []byte {
	message := binary.AppendUvarint(make([]byte, 0, len(bind)+len(plain)+binary.MaxVarintLen64), uint64(len(bind)))
	return append(append(message, bind...), plain...)
}

// unbound undoes bound; under another name it is ErrUnsealable.
func unbound(bind string, message []byte) ([]byte, error) {
	n, used := binary.Uvarint(message)
	if used <= 0 || n > uint64(len(message)-used) || string(message[used:used+int(n)]) != bind {
		return nil, fmt.Errorf("open %s: %w", bind, ErrUnsealable)
	}
	return message[used+int(n):], nil
}
