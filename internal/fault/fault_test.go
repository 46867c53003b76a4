package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"postern.dev/postern/internal/fault"
)

// What nobody classified is internal, and so is never shown.
func TestKindOf(t *testing.T) {
	t.Parallel()
	denied := fault.New(fault.Denied, "no")
	for name, c := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"nil":                            {nil, fault.Internal},
		"unclassified":                   {io.EOF, fault.Internal},
		"zero":                           {new(fault.Error), fault.Internal},
		"classified":                     {denied, fault.Denied},
		"wrapped by another package":     {fmt.Errorf("open door: %w", denied), fault.Denied},
		"joined":                         {errors.Join(io.EOF, denied), fault.Denied},
		"classified again: the outer":    {fault.Wrap(denied, fault.Unavailable, "later"), fault.Unavailable},
		"classified again as internal":   {fault.Wrap(denied, fault.Internal, "our mistake"), fault.Internal},
		"an unclassified cause, wrapped": {fault.Wrap(io.EOF, fault.Timeout, "too late"), fault.Timeout},
	} {
		if got := fault.KindOf(c.err); got != c.want {
			t.Errorf("%s: kind %d, want %d", name, got, c.want)
		}
	}
}

// The cause is for the log: it is in the error's text, never in its public one.
func TestError_TwoFaces(t *testing.T) {
	t.Parallel()
	err := fault.Wrap(io.ErrUnexpectedEOF, fault.Invalid, "the body is cut off").WithCode("body_cut").WithHint("send it whole")
	if got, want := err.Error(), "the body is cut off: unexpected EOF"; got != want {
		t.Errorf("for the log: %q, want %q", got, want)
	}
	if err.Text != "the body is cut off" || err.Code != "body_cut" || err.Hint != "send it whole" {
		t.Errorf("for the caller: %q %q %q", err.Text, err.Code, err.Hint)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if plain := fault.New(fault.NotFound, "no such key"); plain.Error() != "no such key" || errors.Unwrap(plain) != nil {
		t.Errorf("without a cause: %q, unwraps to %v", plain, errors.Unwrap(plain))
	}
}
