package environ

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// DotenvFile is the name of the file beside the manifest.
const DotenvFile = ".env"

// maxDotenv is far above what anybody writes: a file that was named so by
// mistake must not take the program down.
const maxDotenv = 1 << 20

// Dotenv is what a .env file says.
type Dotenv struct {
	Present bool
	Entries []Entry
	// Open says that others on the machine may read the file.
	Open bool
}

// Entry is one key of the file. Its value is blank where it lies elsewhere.
type Entry struct {
	Name  string
	Value Value
	Line  int // from 1
}

// Flaw is something in the file that is not to be read in one way. It repeats
// nothing that could be a part of a value.
type Flaw struct {
	Line, Column int // from 1; a column is a character
	Text, Hint   string
}

// ReadDotenv reads the .env file in dir; that there is none is no error. Its
// error names each line that is wrong.
func ReadDotenv(dir string) (Dotenv, error) {
	d, flaws, err := CheckDotenv(dir)
	if len(flaws) == 0 {
		return d, err
	}
	var lines []string
	for _, f := range flaws {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", DotenvFile, f.Line, f.Column, f.Text))
	}
	return Dotenv{}, fault.New(fault.Invalid, strings.Join(lines, "\n")).WithCode("dotenv_invalid").WithHint(flaws[0].Hint)
}

// CheckDotenv is ReadDotenv for who corrects the file: what is wrong in it is no
// error.
func CheckDotenv(dir string) (Dotenv, []Flaw, error) {
	data, mode, err := readFile(filepath.Join(dir, DotenvFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Dotenv{}, nil, nil
	}
	if err != nil {
		return Dotenv{}, nil, err
	}
	entries, flaws := ParseDotenv(data)
	return Dotenv{Present: true, Entries: entries, Open: mode.Perm()&0o004 != 0}, flaws, nil
}

// readFile reads a regular file, and follows no link to another: a project that
// somebody else wrote must not choose which of our files are sent as its settings.
func readFile(path string) ([]byte, fs.FileMode, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, 0, err
	}
	if !before.Mode().IsRegular() {
		return nil, 0, fault.New(fault.Invalid, path+" is no regular file").WithCode("dotenv_invalid").
			WithHint("put a file in its place: no link is followed there, and nothing is read from a pipe")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "cannot read "+path).WithCode("dotenv_invalid").WithHint("chmod u+r " + path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !os.SameFile(before, info) {
		return nil, 0, fault.Wrap(err, fault.Conflict, path+" changed while it was read").WithHint("try again")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxDotenv+1))
	if err == nil && len(data) > maxDotenv {
		err = fmt.Errorf("it is larger than %d KiB", maxDotenv>>10)
	}
	if err != nil {
		return nil, 0, fault.New(fault.Invalid, fmt.Sprintf("cannot read %s: %v", path, err)).WithCode("dotenv_invalid")
	}
	return data, info.Mode(), nil
}

// ParseDotenv reads the text of a .env file: lines of KEY=value, with or without
// "export " before them, blank lines, and comments from # at a line's begin or
// behind a space. A value without quotation marks is taken as it stands. One in
// single quotes or backticks is taken as it stands too, over several lines if it
// has them; in double quotes \n, \r, \t, \", \$ and \\ are what they are elsewhere,
// and any other backslash is one. Nothing is expanded: a dollar sign is one, also
// in a password.
func ParseDotenv(data []byte) (entries []Entry, flaws []Flaw) {
	r := dotenvReader{data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), seen: map[string]int{}}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		r.data = r.data[:invalidAt(r.data)]
		r.flaw(len(r.data), "save the file as UTF-8", "the file is not UTF-8 text")
		return nil, r.flaws
	}
	for r.at < len(r.data) && len(r.flaws) < maxFlaws {
		r.line()
	}
	return r.entries, r.flaws
}

// maxFlaws are told at once: in a file that is something else all lines are wrong.
const maxFlaws = 20

func invalidAt(data []byte) (at int) {
	for at < len(data) && data[at] != 0 {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

type dotenvReader struct {
	data    []byte
	at      int
	entries []Entry
	flaws   []Flaw
	seen    map[string]int // keys to their lines
}

func (r *dotenvReader) flaw(at int, hint, format string, args ...any) {
	before := r.data[:at]
	r.flaws = append(r.flaws, Flaw{
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
		Text:   fmt.Sprintf(format, args...), Hint: hint,
	})
}

// end is where the line ends that at is in: before its line feed, and before the
// carriage return that stands with it.
func (r *dotenvReader) end(at int) int {
	n := bytes.IndexByte(r.data[at:], '\n')
	if n < 0 {
		return len(r.data)
	}
	return at + n
}

func (r *dotenvReader) spaces() {
	for r.at < len(r.data) && (r.data[r.at] == ' ' || r.data[r.at] == '\t' || r.data[r.at] == '\r') {
		r.at++
	}
}

// line reads one line, or as many as its value has.
func (r *dotenvReader) line() {
	r.spaces()
	begin, end := r.at, r.end(r.at)
	next := min(end+1, len(r.data))
	text := string(r.data[begin:end])
	if text == "" || text[0] == '#' {
		r.at = next
		return
	}
	if rest, ok := strings.CutPrefix(text, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
		begin += len(text) - len(strings.TrimLeft(rest, " \t"))
		text = string(r.data[begin:end])
	}
	key, _, ok := strings.Cut(text, "=")
	name := strings.TrimRight(key, " \t")
	number := bytes.Count(r.data[:begin], []byte("\n")) + 1
	switch {
	case !ok:
		r.flaw(begin, "write KEY=value; a value of several lines goes between quotation marks, and a comment begins with #", "the line has no =")
		r.at = next
		return
	case function.CheckName(name) != nil:
		r.flaw(begin, meant(name), "what stands before = is no name: use upper-case letters, digits and underscores")
	case r.seen[name] > 0:
		r.flaw(begin, fmt.Sprintf("take out line %d or line %d", r.seen[name], number), "%s stands in line %d already", name, r.seen[name])
	default:
		r.seen[name] = number
	}
	r.at = begin + len(key) + 1
	if value, ok := r.value(); ok {
		r.entries = append(r.entries, Entry{name, NewValue(value), number})
	}
}

// meant is the hint for a key that is no name. It repeats only what is surely a
// word: before the = there may be a part of a key that was pasted over several lines.
func meant(key string) string {
	if len(key) > 64 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_-.") != "" || key == "" {
		return "write KEY=value; a value of several lines goes between quotation marks"
	}
	return "write " + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key)) + "="
}

// value reads what is behind the =, and leaves the reader at the next line.
func (r *dotenvReader) value() (value string, ok bool) {
	for r.at < len(r.data) && (r.data[r.at] == ' ' || r.data[r.at] == '\t') {
		r.at++
	}
	if r.at < len(r.data) && strings.IndexByte("'\"`", r.data[r.at]) >= 0 {
		return r.quoted(r.data[r.at])
	}
	end := r.end(r.at)
	text := string(r.data[r.at:end])
	for i := range text {
		// At the very begin, too: "KEY= # later" is blank, "KEY=#1" is not.
		if text[i] == '#' && strings.IndexByte(" \t", r.data[r.at+i-1]) >= 0 {
			text = text[:i]
			break
		}
	}
	r.at = min(end+1, len(r.data))
	return strings.Trim(text, " \t\r"), true
}

// quoted reads a value between quotation marks.
func (r *dotenvReader) quoted(mark byte) (string, bool) {
	opened := r.at
	var b strings.Builder
	for r.at++; ; r.at++ {
		if r.at == len(r.data) {
			r.flaw(opened, fmt.Sprintf("end the value with %c", mark), "the value's quotation mark is never closed")
			return "", false
		}
		c := r.data[r.at]
		switch {
		case c == mark:
			r.at++
			return b.String(), r.rest()
		case c == '\r' && r.at+1 < len(r.data) && r.data[r.at+1] == '\n': // a file from Windows
		case c == '\\' && mark == '"' && r.at+1 < len(r.data) && escapes[r.data[r.at+1]] != 0:
			r.at++
			b.WriteByte(escapes[r.data[r.at]])
		default:
			b.WriteByte(c)
		}
	}
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '"': '"', '$': '$', '\\': '\\'}

// rest passes over what may stand behind a closing quotation mark: nothing, or a
// comment.
func (r *dotenvReader) rest() bool {
	before := r.at
	r.spaces()
	end := r.end(r.at)
	ok := r.at == end || r.data[r.at] == '#' && r.at > before
	if !ok {
		r.flaw(r.at, `within double quotes write \" for a quotation mark; or use the other kind around the value`, "something follows the value's closing quotation mark")
	}
	r.at = min(end+1, len(r.data))
	return ok
}
