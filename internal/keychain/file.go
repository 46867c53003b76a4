package keychain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"filippo.io/age"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

// workFactor is the base-2 logarithm of scrypt's N for the file: 128 MiB of
// memory and a few tenths of a second for each guess at the passphrase.
const workFactor = 17

// File is a keychain in a file, encrypted with a passphrase (the age format).
// It is for machines that have no other; who uses it chose it. The function
// passphrase is called at most once, when the first secret is needed; fresh
// says that there is no file yet, so that what it returns becomes the passphrase.
func File(path string, passphrase func(fresh bool) (string, error)) *Keychain {
	return newKeychain(&file{path: path, ask: passphrase, work: workFactor}, "the encrypted file "+path, 0)
}

// file is the provider of File. Its calls are made one at a time.
type file struct {
	path string
	ask  func(fresh bool) (string, error)
	work int
	// passphrase is what ask returned, once it is known to be right.
	passphrase string
}

// contents is what is encrypted.
type contents struct {
	Version int               `json:"version"`
	Secrets map[string]string `json:"secrets"` // by account
}

const fileVersion = 1

func (f *file) get(account string) (string, error) {
	if f.absent() { // and asks for no passphrase to say so
		return "", notFound(account)
	}
	c, err := f.read()
	if err != nil {
		return "", err
	}
	secret, ok := c.Secrets[account]
	if !ok {
		return "", notFound(account)
	}
	return secret, nil
}

func (f *file) set(account, secret string) error {
	return f.change(func(c *contents) error { c.Secrets[account] = secret; return nil })
}

func (f *file) delete(account string) error {
	if f.absent() {
		return notFound(account)
	}
	return f.change(func(c *contents) error {
		if _, ok := c.Secrets[account]; !ok {
			return notFound(account)
		}
		delete(c.Secrets, account)
		return nil
	})
}

func (f *file) absent() bool {
	_, err := userfile.Read(f.path)
	return errors.Is(err, fs.ErrNotExist)
}

func (f *file) unanswered() error { return nil } // a file has no limit

// change reads, changes and writes as one step among all processes. The
// passphrase is asked for before the lock is taken: a prompt holds up nobody.
func (f *file) change(how func(*contents) error) error {
	_, err := userfile.Read(f.path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return err
	}
	if err := f.need(fresh); err != nil {
		return err
	}
	unlock, err := userfile.Lock(f.path)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := f.read()
	if err != nil {
		return err
	}
	if err := how(&c); err != nil {
		return err
	}
	if len(c.Secrets) == 0 { // and the next passphrase may be another
		return userfile.Remove(f.path)
	}
	sealed, err := f.seal(c)
	if err != nil {
		return fmt.Errorf("encrypt %s: %w", f.path, err)
	}
	return userfile.Write(f.path, sealed)
}

// read opens the file; where there is none it is empty.
func (f *file) read() (contents, error) {
	empty := contents{Version: fileVersion, Secrets: map[string]string{}}
	data, err := userfile.Read(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, f.need(true)
	}
	if err == nil {
		err = f.need(false)
	}
	if err != nil {
		return empty, err
	}
	c, err := f.open(data)
	if err != nil {
		f.passphrase = ""
	}
	return c, err
}

// need asks for the passphrase if it is not known.
func (f *file) need(fresh bool) error {
	if f.passphrase != "" {
		return nil
	}
	passphrase, err := f.ask(fresh)
	if err == nil && passphrase == "" {
		err = fault.New(fault.Invalid, "an empty passphrase protects nothing").WithHint("set POSTERN_KEYCHAIN_PASSPHRASE")
	}
	f.passphrase = passphrase
	return err
}

func (f *file) open(data []byte) (c contents, err error) {
	identity, err := age.NewScryptIdentity(f.passphrase)
	if err != nil {
		return c, fmt.Errorf("read %s: %w", f.path, err)
	}
	identity.SetMaxWorkFactor(workFactor) // no file of ours asks for more
	plain, err := age.Decrypt(bytes.NewReader(data), identity)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return c, fault.Wrap(ErrPassphrase, fault.Denied, "the passphrase does not open "+f.path).WithCode("wrong_passphrase").
			WithHint("check POSTERN_KEYCHAIN_PASSPHRASE; if it is lost, begin anew: rm " + f.path)
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(plain)
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && (c.Version != fileVersion || c.Secrets == nil) {
		err = fmt.Errorf("version %d is not %d", c.Version, fileVersion)
	}
	if err != nil { // of the JSON, an error could quote a part of a secret
		return contents{}, fault.New(fault.Invalid, f.path+" is damaged, or of a newer version").WithCode("keychain_damaged").
			WithHint("restore it, or begin anew: rm " + f.path)
	}
	return c, nil
}

func (f *file) seal(c contents) ([]byte, error) {
	recipient, err := age.NewScryptRecipient(f.passphrase)
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(f.work)
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}
