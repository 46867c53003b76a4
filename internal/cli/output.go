package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"postern.dev/postern/internal/config"
)

const (
	red    = "31"
	yellow = "33"
	cyan   = "36"
)

// printer writes results, in colour where that is wanted.
type printer struct {
	w      io.Writer
	colour bool
}

func newPrinter(w io.Writer) printer { return printer{w: w, colour: isTerminal(w)} }

// paint wraps text in an ANSI colour, or leaves it.
func (p printer) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// ask writes a question without ending the line.
func (p printer) ask(question string) { fmt.Fprint(p.w, question) }

// json writes v as one line, in which what clean removes is escaped: JSON lets
// all but C0 stand as it is, and terminals obey it.
func (p printer) json(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(line) { // which is valid UTF-8
		if unsafeRune(r) && r != utf8.RuneError {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	_, err = fmt.Fprintf(p.w, "%s\n", &b)
	return err
}

// table writes rows below headings in aligned columns. Cells are cleaned, so
// what a server says cannot move the cursor.
func (p printer) table(headings []string, rows [][]string) {
	all := append([][]string{headings}, rows...)
	widths := make([]int, len(headings))
	for _, row := range all {
		for i := range row {
			row[i] = strings.ReplaceAll(clean(row[i]), "\n", " ")
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range all {
		var b strings.Builder
		for i, cell := range row {
			text := cell
			if cell == "open" {
				text = p.paint(yellow, cell)
			}
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		p.line("%s", strings.TrimRight(b.String(), " "))
	}
}

// isTerminal reports whether w is a terminal that may be coloured.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || config.NoColor() {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// interactive reports whether somebody can answer a question: r is a terminal.
// The null device is a character device as well, and answers nothing.
func interactive(r io.Reader) bool {
	if _, ok := r.(silent); ok {
		return true // a question is due, and refused
	}
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// clean removes from s what could make a terminal do anything but print:
// escape sequences whole, other control characters but newline and tab, and
// the marks that reverse the direction of text (CVE-2021-42574).
func clean(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == 0x1b:
			n = escapeLen(s)
		case !unsafeRune(r):
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x20 || r >= 0x7f && r <= 0x9f || r == utf8.RuneError:
		return true
	default:
		return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}
}

// escapeLen is the length of the escape sequence that s begins with, as in
// ECMA-48: CSI up to its final byte, OSC and its kin up to BEL or ST, else two.
func escapeLen(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_':
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == 0x1b && i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
		}
		return len(s)
	default:
		_, n := utf8.DecodeRuneInString(s[1:])
		return 1 + n
	}
}

// quote puts a name into quotation marks for a message.
func quote(s string) string { return fmt.Sprintf("%q", s) }
