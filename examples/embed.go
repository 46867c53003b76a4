// Package examples holds the example functions, so that the demo can deploy
// one without a checkout.
package examples

import "embed"

// Files are the examples, a directory each.
//
//go:embed protect protect-sinch stream webhooks
var Files embed.FS
