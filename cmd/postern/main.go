// Command postern is the gateway, the control plane and the command line of
// Postern in one binary. Run `postern --help`.
package main

import (
	"os"

	"postern.dev/postern/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
