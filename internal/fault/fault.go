// Package fault holds the few kinds of error that callers act on.
//
// A [Kind] says what class of failure happened; three faces translate it, each
// in one table: HTTP status (package httpx), OAuth2 error code (later), and
// process exit code (package cli). The public text of a fault may be shown to
// whoever made the request; the wrapped cause is for the log alone.
//
// The zero Kind is Internal, so an error that nobody classified is never shown.
package fault

import "errors"

// Kind is the class of a failure.
type Kind uint8

const (
	Internal        Kind = iota // unknown or our own mistake; never shown in detail
	Invalid                     // the input is wrong; sending it again will not help
	Unauthenticated             // nobody was recognised
	Denied                      // somebody was recognised and may not
	NotFound                    // no such thing, or none that the caller may know of
	Conflict                    // the thing exists already, or changed meanwhile
	TooMany                     // over a limit; later it may work
	Unavailable                 // a part that is needed is away; later it may work
	Timeout                     // a deadline passed
)

// Error is a classified failure. Make one with [New] or [Wrap].
type Error struct {
	Kind Kind
	// Code is the stable machine code of docs/errors.md, such as
	// "manifest_invalid". Empty means the code that stands for the kind.
	Code string
	// Text is one sentence for whoever made the request.
	Text string
	// Hint is what to type or do next; may be empty.
	Hint  string
	cause error
}

// New returns an error of the given kind whose text may be shown to the caller.
func New(kind Kind, text string) *Error { return &Error{Kind: kind, Text: text} }

// Wrap is New with a cause that goes to the log and never to the caller.
func Wrap(err error, kind Kind, text string) *Error {
	return &Error{Kind: kind, Text: text, cause: err}
}

// WithCode sets the stable code and returns e.
func (e *Error) WithCode(code string) *Error { e.Code = code; return e }

// WithHint sets the hint and returns e.
func (e *Error) WithHint(hint string) *Error { e.Hint = hint; return e }

// Error is the text followed by the cause: the log's face of the failure.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Text + ": " + e.cause.Error()
	}
	return e.Text
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// KindOf is the kind of the outermost fault in err's chain, Internal if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
