package config

import "os"

// Process is the environment that this process was started with, as NAME=value:
// of use to a function that is run here.
func Process() []string { return os.Environ() }

// SearchPath is where this process looks for commands.
func SearchPath() string { return os.Getenv("PATH") }
