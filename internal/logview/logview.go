// Package logview is a function's log to walk through on a terminal.
//
// [Run] shows calls and lines as a list, newest last; a call can be opened, and
// copied. What it holds is bounded, and the screen is drawn a few times a second
// however much is written. Everything that came over the network is cleaned
// before it is drawn: a line of a log cannot move the cursor.
package logview

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	tea "charm.land/bubbletea/v2"

	"postern.dev/postern/internal/api"
)

// Options say what is shown and how. All but Search are needed.
type Options struct {
	Name      string              // of the function
	Clean     func(string) string // takes out of a text what could make a terminal do anything but print
	Entries   []api.LogEntry      // to begin with, oldest first
	Following bool                // from the start
	Search    string
	// Follow gives what is written from now on, until ctx ends; said is told when
	// the connection is lost, and with nil when there is one again.
	Follow func(ctx context.Context, take func(api.LogEntry), said func(error)) error
}

// Run shows the log until its reader leaves or ctx ends. What was copied last is
// written to out when the screen is gone, for terminals that do not take it.
func Run(ctx context.Context, in, out *os.File, o Options) error {
	m := newModel(ctx, o)
	defer m.stop()
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("show the log: %w", err)
	}
	if m.copied != "" {
		_, err := io.WriteString(out, m.copied+"\n")
		return err
	}
	return nil
}
