//go:build !linux

package keychain

// reachable is for systems where a bus leads to the keychain.
func reachable() error { return nil }
