// Package keychaintest runs a Secret Service for tests: a session bus of its
// own with a gnome-keyring-daemon on it, in a directory of its own. It touches
// neither the bus nor the keyring of whoever runs the tests.
package keychaintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// NoBus is the variable that leads a process to no session bus.
const NoBus = "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus"

// Session is a bus and a keyring on it.
type Session struct {
	// Env are the variables that lead a process to the keyring.
	Env       []string
	dir       string // with a short name, because a socket's path may not be long
	bus, ring *exec.Cmd
}

// No service files: nothing is started because somebody calls its name.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`

// Start starts a session whose keyring lies below home and is opened with
// password; a keyring that is there already stays locked to any other.
func Start(home, password string) (*Session, error) {
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		return nil, err
	}
	s := &Session{dir: dir}
	socket := filepath.Join(dir, "bus")
	s.Env = []string{"DBUS_SESSION_BUS_ADDRESS=unix:path=" + socket, "XDG_RUNTIME_DIR=" + dir, "XDG_DATA_HOME=" + filepath.Join(home, "share"), "HOME=" + home, "PATH=/usr/bin:/bin"}
	if err := s.start(socket, password); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start a keyring (packages dbus and gnome-keyring): %w", err)
	}
	return s, nil
}

func (s *Session) start(socket, password string) error {
	config := filepath.Join(s.dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, socket), 0o600); err != nil {
		return err
	}
	s.bus = s.command(nil, "dbus-daemon", "--nofork", "--config-file="+config)
	if err := s.bus.Start(); err != nil {
		s.bus = nil
		return err
	}
	conn, err := dial(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	s.ring = s.command(strings.NewReader(password), "gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	if err := s.ring.Start(); err != nil {
		s.ring = nil
		return err
	}
	return until(func() error {
		var owned bool
		err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&owned)
		if err == nil && !owned {
			err = errors.New("the keyring does not appear on the bus")
		}
		return err
	})
}

func dial(socket string) (conn *dbus.Conn, err error) {
	return conn, until(func() (err error) { conn, err = dbus.Connect("unix:path=" + socket); return err })
}

func (s *Session) command(in io.Reader, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = s.Env, s.dir, in
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Freeze stops the keyring in its tracks: calls reach it and are not answered.
func (s *Session) Freeze() error { return s.ring.Process.Signal(syscall.SIGSTOP) }

// Silence ends the keyring and leaves the bus.
func (s *Session) Silence() error {
	err := s.ring.Process.Kill()
	s.ring.Wait()
	s.ring = nil
	return err
}

// Lookup asks secret-tool, a program of others, for a secret.
func (s *Session) Lookup(service, account string) (string, error) {
	out, err := s.command(nil, "secret-tool", "lookup", "service", service, "username", account).Output()
	return string(out), err
}

// Stop ends both processes and removes all but the keyring.
func (s *Session) Stop() {
	for _, cmd := range []*exec.Cmd{s.ring, s.bus} {
		if cmd != nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	os.RemoveAll(s.dir)
}

// until repeats what fails, for ten seconds.
func until(ok func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
