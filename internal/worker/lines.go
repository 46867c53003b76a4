package worker

import (
	"bufio"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
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

// readLines reads a stream to its end, whatever comes: a reader that stopped
// would in the end stop the writer. Lines are cut at maxLine.
func (p *process) readLines(f *os.File, level slog.Level, log func(Line)) {
	defer f.Close()
	r := bufio.NewReaderSize(f, maxLine+1)
	for {
		line, err := r.ReadSlice('\n')
		some := len(line) > 0
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		text := cutLine(line)
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = r.ReadSlice('\n')
		}
		if some {
			p.last.add(text)
			log(Line{At: time.Now(), Level: level, Text: text})
		}
		if err != nil {
			return
		}
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
