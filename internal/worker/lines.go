package worker

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern.dev/postern/internal/redact"
)

const (
	maxLine = 64 << 10
	cutMark = "…[cut]"
)

// cutLine is one line of a log as text: cut at maxLine with a mark, and always
// UTF-8.
func cutLine(b []byte) string {
	mark := ""
	if len(b) > maxLine && string(b[maxLine:]) != cutMark {
		b, mark = b[:maxLine], cutMark
		for i := 1; i < utf8.UTFMax && i < len(b); i++ { // do not cut a character
			if utf8.RuneStart(b[len(b)-i]) {
				if !utf8.FullRune(b[len(b)-i:]) {
					b = b[:len(b)-i]
				}
				break
			}
		}
	}
	return strings.ToValidUTF8(string(b), "\ufffd") + mark
}

// redactLine takes the values of secrets out of a line that a worker sent, which
// may have cut it in the middle of one.
func redactLine(set *redact.Set, line []byte) []byte {
	if n := len(line) - len(cutMark); n > maxLine-utf8.UTFMax && string(line[n:]) == cutMark {
		return append(set.Cut(line[:n:n]), cutMark...)
	}
	return set.Bytes(line)
}

// redactText is the same for a message or a stack, which a worker cuts without a
// mark.
func redactText(set *redact.Set, text string) string {
	if len(text) >= maxLine {
		return string(set.Cut([]byte(text)))
	}
	return set.String(text)
}

// readLines reads a stream to its end, whatever comes: a reader that stopped
// would in the end stop the writer. Lines are cut at maxLine, when no value of a
// secret is in them any more.
func (p *process) readLines(f *os.File, level slog.Level, set *redact.Set, log func(Line)) {
	defer f.Close()
	lines := splitter{take: func(line []byte) {
		text := cutLine(line)
		p.last.add(text)
		log(Line{At: time.Now(), Level: level, Text: text})
	}}
	w := set.Writer(&lines)
	buf := make([]byte, 32<<10)
	for {
		n, err := f.Read(buf)
		w.Write(buf[:n]) // the splitter does not fail
		if err != nil {
			w.Close()
			lines.end()
			return
		}
	}
}

// splitter takes a stream apart into lines, of which it keeps no more than shows
// that they are to be cut.
type splitter struct {
	take func(line []byte)
	line []byte // what came of it without its end
}

func (s *splitter) Write(p []byte) (int, error) {
	rest := p
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			s.add(rest)
			return len(p), nil
		}
		if len(s.line) == 0 {
			s.take(rest[:i])
		} else {
			s.add(rest[:i])
			s.take(s.line)
			s.line = s.line[:0]
		}
		rest = rest[i+1:]
	}
}

func (s *splitter) add(part []byte) {
	s.line = append(s.line, part[:min(len(part), maxLine+1-len(s.line))]...)
}

// end takes what is left as a line.
func (s *splitter) end() {
	if len(s.line) > 0 {
		s.take(s.line)
	}
}

// lastLines keeps the last lines that a worker wrote, for the story of its end.
type lastLines struct {
	mu   sync.Mutex
	kept []string // guarded by mu
	heap bool     // a line said that the heap is full; guarded by mu
}

const keepLines = 20

func (l *lastLines) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heap = l.heap || strings.Contains(text, heapFullMark)
	if len(text) > 4096 {
		text = text[:4096] + cutMark
	}
	if len(l.kept) == keepLines {
		l.kept = append(l.kept[:0], l.kept[1:]...)
	}
	l.kept = append(l.kept, text)
}

func (l *lastLines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.kept...)
}
