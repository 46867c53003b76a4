package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postern.dev/postern/internal/accesskey"
)

// console is a terminal with a program at it.
type console struct {
	*testing.T
	master, slave *os.File
	cmd           *exec.Cmd
	transcript    // what the terminal shows
}

// newConsole runs the real program at a terminal of its own.
func newConsole(t *testing.T, args ...string) *console {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{T: t, master: master, slave: slave, cmd: exec.Command(binary, args...)}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.Env = []string{"HOME=" + t.TempDir(), "POSTERN_KEYCHAIN=file", "TERM=dumb"}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(c, master)
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		slave.Close()
		master.Close()
		<-read
	})
	return c
}

func (c *console) echoes() bool {
	c.Helper()
	state, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		c.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// What is typed at the prompt for the secret is not shown.
func TestTerminal_SecretIsNotShown(t *testing.T) {
	t.Parallel()
	secret := accesskey.NewSecret().Reveal()
	c := newConsole(t, "auth", "login", "--server", "http://127.0.0.1:1", "--key-id", "pak_01jd0000000000000000000000")
	eventually(t, "the prompt", func() bool { return strings.Contains(c.text(), "Key secret") && !c.echoes() })
	fmt.Fprintln(c.master, secret)
	err := c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); code != 5 || !c.echoes() {
		t.Errorf("exit code %d (%v), echo %v", code, err, c.echoes())
	}
	eventually(t, "the error", func() bool { return strings.Contains(c.text(), "no server answers") })
	if strings.Contains(c.text(), secret[:20]) {
		t.Error("the secret is on the screen")
	}
}

// An interrupt at that prompt ends the program at once and gives the terminal
// its echo back.
func TestTerminal_Interrupt(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "auth", "login", "--server", "http://127.0.0.1:1", "--key-id", "pak_01jd0000000000000000000000")
	eventually(t, "the prompt", func() bool { return strings.Contains(c.text(), "Key secret") && !c.echoes() })
	fmt.Fprint(c.master, "psk_half\x03")
	err := c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); code != 130 || !c.echoes() {
		t.Errorf("exit code %d (%v), echo %v", code, err, c.echoes())
	}
	if strings.Contains(c.text(), "psk_half") {
		t.Error("the secret is on the screen")
	}
}

// Nor is the value of a function's secret, or the passphrase of the keychain that
// it goes to.
func TestTerminal_SecretsAddIsNotShown(t *testing.T) {
	t.Parallel()
	c := newConsole(t, "secrets", "add", "STRIPE_KEY", "--function", "shop")
	for _, answer := range []struct{ prompt, text string }{{"Value of STRIPE_KEY (not shown)", "sk_swordfish"}, {"New passphrase for", "open swordfish"}, {"The same once more", "open swordfish"}} {
		eventually(t, "the prompt "+answer.prompt, func() bool { return strings.Contains(c.text(), answer.prompt) && !c.echoes() })
		fmt.Fprintln(c.master, answer.text)
	}
	err := c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); code != 0 || !c.echoes() {
		t.Errorf("exit code %d (%v), echo %v", code, err, c.echoes())
	}
	eventually(t, "the result", func() bool { return strings.Contains(c.text(), "STRIPE_KEY of shop is in the encrypted file") })
	if strings.Contains(c.text(), "swordfish") {
		t.Error("a secret is on the screen")
	}
}
