package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

var errNoFunction = usageError{"there is no function in this directory", "go to the function's directory, or name it: --function NAME"}

// ofFunction is the function that a command is about: the one that was named, or
// that in this directory.
func ofFunction(named string) (string, error) {
	if named != "" {
		return named, function.ValidName(named)
	}
	m, _, err := function.LoadManifest(".")
	if codeOf(err) == "manifest_missing" {
		return "", errNoFunction
	}
	return m.Name, err
}

// notWritten says what a file that was to be written here could not be; other is
// what to do where something has its name already.
func notWritten(path, other string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok || err == nil {
		return err
	}
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Conflict, path+" is there already; nothing was written").WithCode("file_exists").WithHint(other)
	}
	return fault.New(fault.Invalid, "cannot write "+path+": "+cause(err)).WithHint("name a place that is there, and that you may write to")
}

// orForce is what to do where a file is there that --force replaces.
const orForce = "name another file, or replace it with --force"

// openRegular opens a file to be uploaded. A directory, a pipe or a device is none.
func openRegular(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, usageError{"cannot read " + clean(path) + ": " + cause(err), "name a file that is there"}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = usageError{clean(path) + " is no regular file", "name a file"}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// amount is a number of bytes as people read it.
func amount(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for ; v >= 1023.95 && unit < len(units)-1; unit++ {
		v /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}
