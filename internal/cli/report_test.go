package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
)

func TestReport(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cause")
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"unknown", cause, 1, "postern: error: the cause\n"},
		{"invalid", fault.New(fault.Invalid, "bad").WithHint("do"), 1, "postern: error: bad\npostern: hint: do\n"},
		{"conflict with a code hides the cause", fault.Wrap(cause, fault.Conflict, "taken").WithCode("x"), 1, "postern: error: taken\n"},
		{"without a code it shows", fault.Wrap(cause, fault.Internal, "broken"), 1, "postern: error: broken: the cause\n"},
		{"usage", usageError{"what", "see"}, 2, "postern: error: what\npostern: hint: see\n"},
		{"settings", &config.Error{Problems: []config.Problem{{Key: "a", Text: "a is bad", Hint: "fix a"}, {Key: "b", Text: "b is bad"}}}, 2,
			"postern: error: a is bad\npostern: hint: fix a\npostern: error: b is bad\n"},
		{"not found", fmt.Errorf("wrapped: %w", fault.New(fault.NotFound, "none")), 3, "postern: error: none\n"},
		{"unauthenticated", fault.New(fault.Unauthenticated, "who"), 4, "postern: error: who\n"},
		{"denied", fault.New(fault.Denied, "no"), 4, "postern: error: no\n"},
		{"unavailable", fault.New(fault.Unavailable, "away"), 5, "postern: error: away\n"},
		{"timeout", fault.New(fault.Timeout, "late"), 5, "postern: error: late\n"},
		{"too many", fault.New(fault.TooMany, "slow"), 5, "postern: error: slow\n"},
		{"remote escape sequences", fault.New(fault.Denied, "a\x1b[2Jb").WithHint("c\rd"), 4, "postern: error: ab\npostern: hint: cd\n"},
		{"lines", fault.New(fault.Invalid, "a\nb\n"), 1, "postern: error: a\n  b\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if code := report(t.Context(), Stdio{Err: &b}, tt.err, false); code != tt.code || b.String() != tt.want {
				t.Errorf("report = %d %q, want %d %q", code, b.String(), tt.code, tt.want)
			}
		})
	}
}

func TestReport_Interrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b bytes.Buffer
	if code := report(ctx, Stdio{Err: &b}, fmt.Errorf("deploy: %w", context.Canceled), false); code != 130 {
		t.Errorf("code %d %q, want 130", code, b.String())
	}
}

func TestReport_JSONIsOneLineEach(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := fault.New(fault.Conflict, "two\nlines").WithCode("conflict").WithHint("h")
	if code := report(t.Context(), Stdio{Err: &b}, err, true); code != 1 {
		t.Errorf("code %d", code)
	}
	if want := `{"code":"conflict","error":"two\nlines","hint":"h"}` + "\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
