//go:build !unix

package userfile

// Where files have no modes, those of the user's own directory are private by
// the access list that they inherit.
const (
	noFollow = 0
	hasModes = false
)
