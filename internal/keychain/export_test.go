package keychain

import (
	"time"
)

// CheapFile is File with a work factor that tests can afford.
func CheapFile(path string, passphrase func(fresh bool) (string, error)) *Keychain {
	return newKeychain(&file{path: path, ask: passphrase, work: 4}, path, 0)
}

// Hanging is a keychain whose calls block until release is closed, and then
// do what they were asked to.
func Hanging(release <-chan struct{}, stored map[string]string) *Keychain {
	return newKeychain(hanging{release, stored}, "a keychain that hangs", limit)
}

// Limit is the longest that a call of System's takes.
const Limit time.Duration = limit

type hanging struct {
	release <-chan struct{}
	stored  map[string]string
}

func (h hanging) get(account string) (string, error) { <-h.release; return h.stored[account], nil }
func (h hanging) set(account, secret string) error {
	<-h.release
	h.stored[account] = secret
	return nil
}
func (h hanging) delete(account string) error { <-h.release; delete(h.stored, account); return nil }
func (h hanging) unanswered() error           { return system{}.unanswered() }

// Bounded is a keychain in memory with the limits of a system's.
func Bounded(goos string, stored map[string]string) *Keychain {
	release := make(chan struct{})
	close(release)
	return newKeychain(withBounds(goos, hanging{release, stored}), "a keychain of "+goos, limit)
}

// SystemError is what System makes of an error of the library.
func SystemError(account string, err error) error { return systemError(account, err) }
