package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// steps tells how far a long command is: a line for each step when it is done,
// with how long it took. At a terminal the line is there while the step runs.
type steps struct {
	out  printer
	live bool
	name string // of the step that runs
}

// newSteps tells on w; quiet tells nothing.
func newSteps(w io.Writer, quiet bool) *steps {
	if quiet {
		return &steps{out: printer{w: io.Discard}}
	}
	return &steps{out: newPrinter(w), live: isTerminal(w)}
}

// do runs a step. note is what there is to tell of it.
func (s *steps) do(name string, run func() (note string, err error)) error {
	began := time.Now()
	s.name = name
	s.at("")
	note, err := run()
	s.clear()
	took := time.Since(began).Round(10 * time.Millisecond).Seconds()
	if err != nil {
		s.out.line("%-9s %6.2f s  %s", name, took, s.out.paint(red, "failed"))
		return err
	}
	s.out.line("%s", strings.TrimRight(fmt.Sprintf("%-9s %6.2f s  %s", name, took, clean(note)), " "))
	return nil
}

// clear takes away the line of the step that runs, for something else that is to
// be said. The step's own comes when it is done.
func (s *steps) clear() {
	if s.live {
		s.out.ask("\r\x1b[2K")
	}
}

// at tells how far the step is that runs, where somebody looks on.
func (s *steps) at(how string) {
	if s.live {
		s.out.ask(fmt.Sprintf("\r\x1b[2K%-9s %s", s.name, clean(how)))
	}
}
