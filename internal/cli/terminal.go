package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// terminal is a person who can be asked. Questions go to standard error, so
// that standard output holds results only.
type terminal struct {
	in  *os.File
	out printer
}

// terminalOf is nil when standard input is no terminal.
func terminalOf(std Stdio) *terminal {
	f, ok := std.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &terminal{f, newPrinter(std.Err)}
}

// silent is standard input that nobody may be asked at. What would be a question
// is an error that names what answers it.
type silent struct{ io.Reader }

// unasked makes standard input silent: a terminal has nothing to say then, and
// anything else is read as what it was.
func unasked(in io.Reader) io.Reader {
	if interactive(in) {
		in = strings.NewReader("")
	}
	return silent{in}
}

// line asks a question; an empty answer is preset.
func (t *terminal) line(ctx context.Context, question, preset string) (string, error) {
	if preset != "" {
		question += " [" + clean(preset) + "]"
	}
	t.out.ask(question + ": ")
	text, err := t.read(ctx, func() (string, error) { return readLine(t.in) })
	if err != nil {
		t.out.line("") // what comes next is no answer
	}
	if text = strings.TrimSpace(text); text == "" {
		text = preset
	}
	return text, err
}

// until asks a question until its answer passes, and says of each that does not
// what is wrong with it.
func (t *terminal) until(ctx context.Context, question, preset string, passes func(string) error) (string, error) {
	for {
		text, err := t.line(ctx, question, preset)
		if err != nil {
			return "", err
		}
		wrong := passes(text)
		if wrong == nil {
			return text, nil
		}
		complaints, _ := explain(ctx, wrong)
		for _, c := range complaints {
			t.out.line("  %s", indent(clean(c.Error)))
			if c.Hint != "" {
				t.out.line("  %s %s", t.out.paint(cyan, "hint:"), indent(clean(c.Hint)))
			}
		}
	}
}

// secret asks a question whose answer is not shown while it is typed.
func (t *terminal) secret(ctx context.Context, question string) (string, error) {
	t.out.ask(question + ": ")
	text, err := t.read(ctx, func() (string, error) {
		data, err := term.ReadPassword(int(t.in.Fd()))
		return string(data), err
	})
	t.out.line("")
	return strings.TrimSpace(text), err
}

// read waits for an answer or an interrupt. A read from a terminal cannot be
// called off: it is left to the end of the process, which is near, and the
// terminal is put back as it was, or the shell would go on without an echo.
func (t *terminal) read(ctx context.Context, ask func() (string, error)) (string, error) {
	before, err := term.GetState(int(t.in.Fd()))
	if err != nil {
		return "", err
	}
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := ask()
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if errors.Is(a.err, io.EOF) {
			return "", usageError{"nothing was typed", "type an answer, or give it with a flag"}
		}
		return a.text, a.err
	case <-ctx.Done():
		term.Restore(int(t.in.Fd()), before)
		return "", ctx.Err()
	}
}

// readLine reads one line byte by byte: what is behind it is for the next
// question, which may be read in another way.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < 4096; {
		n, err := r.Read(one)
		switch {
		case n == 1 && one[0] == '\n':
			return string(line), nil
		case n == 1:
			line = append(line, one[0])
		case err != nil:
			return string(line), err
		}
	}
	return "", errors.New("the line is too long")
}
