package environ

import (
	"slices"
	"strings"
)

// baseNames are what every function is given; FUNCTION_ID is the platform's alone.
var baseNames = []string{"PROJECT_ID", "PROJECT_ID_API_KEY", "PROJECT_ID_API_SECRET", "FUNCTION_ID"}

// BaseKeys are the base names that a .env file may give values to, for a function
// that is run where its developer is.
func BaseKeys() []string { return slices.Clone(baseNames[:3]) }

// NewText is a .env file with keys and no values.
func NewText(function string, secrets []string) string {
	var b strings.Builder
	b.WriteString("# What " + function + " needs beside its manifest. A key without a value is a secret: its value\n" +
		"# lies in the keychain (postern secrets add KEY) or on the platform. Do not commit values.\n\n" +
		"# Given to every function. Here they come from: postern auth login\n")
	for _, key := range BaseKeys() {
		b.WriteString(key + "=\n")
	}
	if len(secrets) > 0 {
		b.WriteString("\n# Secrets\n")
	}
	for _, key := range secrets {
		b.WriteString(key + "=\n")
	}
	return b.String()
}
