package keychain

import (
	"errors"

	"github.com/godbus/dbus/v5"
)

// reachable refuses when no session bus is running. Without this look the
// library would start one, and a keyring behind it that asks nobody for its
// password; both would outlive us.
func reachable() error {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err != nil {
		return errors.New("no session bus is running")
	}
	return conn.Close()
}
