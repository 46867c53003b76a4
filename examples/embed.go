// Package examples holds the example functions, so that the demo can deploy
// one, and a new function begin as one, without a checkout.
package examples

import "embed"

// Files are the examples, a directory each. Not here: what npm installs, and
// http-go, which is a module of its own.
//
//go:embed protect protect-sinch stream webhooks ivr routing http-node http-python
//go:embed sms/*.ts sms/*.json sms/.npmrc
var Files embed.FS
