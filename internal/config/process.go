package config

import "os"

// Process is the environment that this process was started with, as NAME=value:
// of use to a function that is run here.
func Process() []string { return os.Environ() }

// SearchPath is where this process looks for commands.
func SearchPath() string { return os.Getenv("PATH") }

// NonInteractive reports whether POSTERN_NON_INTERACTIVE says that nothing is to
// be asked: any value does but 0 and false, as CI systems set such variables.
func NonInteractive() bool {
	switch os.Getenv("POSTERN_NON_INTERACTIVE") {
	case "", "0", "false":
		return false
	}
	return true
}
