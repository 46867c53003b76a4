//go:build unix

package logview_test

import (
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
)

// screen is what a terminal shows after what it was sent: the few sequences that
// move the cursor, write, erase and scroll between margins (ECMA-48, DECSTBM). It keeps what else it was told, so that a
// test can see that a terminal was told nothing else.
type screen struct {
	mu     sync.Mutex
	w, h   int
	cells  [][]string // guarded by mu
	x, y   int        // guarded by mu
	top    int        // the first line of what scrolls; guarded by mu
	bottom int        // the line after the last of what scrolls; guarded by mu
	rest   []byte     // of a sequence that is not whole; guarded by mu
	titles []string   // OSC sequences; guarded by mu
	last   string     // the character that was written last; guarded by mu
}

func newScreen(w, h int) *screen {
	s := &screen{}
	s.resize(w, h)
	return s
}

func (s *screen) resize(w, h int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w, s.h, s.x, s.y, s.top, s.bottom = w, h, 0, 0, 0, h
	s.cells = make([][]string, h)
	for i := range s.cells {
		s.cells[i] = make([]string, w)
	}
}

// String is the text on the screen, line by line.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, row := range s.cells {
		var line strings.Builder
		for _, c := range row {
			switch c {
			case "":
				line.WriteByte(' ')
			case "\x00": // the second half of a wide character
			default:
				line.WriteString(c)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := append(s.rest, p...)
	for len(data) > 0 {
		n := s.one(data)
		if n == 0 {
			break
		}
		data = data[n:]
	}
	s.rest = append([]byte(nil), data...)
	return len(p), nil
}

// one obeys what data begins with, and returns its length; 0: it is not whole.
func (s *screen) one(data []byte) int {
	switch c := data[0]; {
	case c == 0x1b:
		return s.escape(data)
	case c == '\r':
		s.x = 0
	case c == '\n':
		if s.y == s.bottom-1 {
			s.scroll(s.top, 1)
		} else {
			s.y = min(s.h-1, s.y+1)
		}
	case c == '\b':
		s.x = max(0, s.x-1)
	case c == '\t':
		s.x = min(s.w-1, s.x/8*8+8)
	case c < ' ':
	default:
		if !utf8.FullRune(data) {
			return 0
		}
		r, n := utf8.DecodeRune(data)
		s.put(string(r))
		return n
	}
	return 1
}

func (s *screen) put(c string) {
	w := lipgloss.Width(c)
	if w == 0 {
		return
	}
	if s.x+w > s.w {
		s.x = 0
		s.one([]byte{'\n'})
	}
	s.cells[s.y][s.x] = c
	if w == 2 {
		s.cells[s.y][s.x+1] = "\x00"
	}
	s.x, s.last = s.x+w, c
}

func (s *screen) escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '[':
		for i := 2; i < len(data); i++ {
			if data[i] >= 0x40 && data[i] <= 0x7e {
				s.control(string(data[2:i]), data[i])
				return i + 1
			}
		}
		return 0
	case ']', 'P', '_':
		for i := 2; i < len(data); i++ {
			if data[i] == 7 {
				s.titles = append(s.titles, string(data[2:i]))
				return i + 1
			}
			if data[i] == 0x1b && i+1 < len(data) {
				s.titles = append(s.titles, string(data[2:i]))
				return i + 2
			}
		}
		return 0
	case 'M':
		if s.y == s.top {
			s.scroll(s.top, -1)
		} else {
			s.y = max(0, s.y-1)
		}
	}
	return 2
}

// control obeys a CSI sequence.
func (s *screen) control(args string, final byte) {
	if strings.HasPrefix(args, "?") || strings.HasPrefix(args, ">") || strings.HasPrefix(args, "=") {
		return // modes
	}
	var n []int
	for part := range strings.SplitSeq(args, ";") {
		v, _ := strconv.Atoi(part)
		n = append(n, v)
	}
	one := max(n[0], 1)
	switch final {
	case 'A':
		s.y = max(0, s.y-one)
	case 'B':
		s.y = min(s.h-1, s.y+one)
	case 'C':
		s.x = min(s.w-1, s.x+one)
	case 'D':
		s.x = max(0, s.x-one)
	case 'G', '`':
		s.x = min(one, s.w) - 1
	case 'd':
		s.y = min(one, s.h) - 1
	case 'H', 'f':
		s.y, s.x = min(one, s.h)-1, 0
		if len(n) > 1 {
			s.x = min(max(n[1], 1), s.w) - 1
		}
	case 'b':
		for range one {
			s.put(s.last)
		}
	case 'J':
		if n[0] == 2 {
			s.erase(0, 0, s.h, 0)
		} else {
			s.erase(s.y, s.x, s.h, 0)
		}
	case 'K':
		if n[0] == 2 {
			s.erase(s.y, 0, s.y, s.w)
		} else if n[0] == 1 {
			s.erase(s.y, 0, s.y, s.x+1)
		} else {
			s.erase(s.y, s.x, s.y, s.w)
		}
	case 'X':
		s.erase(s.y, s.x, s.y, min(s.w, s.x+one))
	case 'P':
		row := s.cells[s.y]
		copy(row[s.x:], row[min(s.w, s.x+one):])
		s.erase(s.y, max(s.x, s.w-one), s.y, s.w)
	case '@':
		row := s.cells[s.y]
		copy(row[min(s.w, s.x+one):], row[s.x:])
		s.erase(s.y, s.x, s.y, min(s.w, s.x+one))
	case 'L', 'M':
		if s.top <= s.y && s.y < s.bottom {
			s.scroll(s.y, map[byte]int{'L': -one, 'M': one}[final])
			s.x = 0
		}
	case 'S':
		s.scroll(s.top, one)
	case 'T':
		s.scroll(s.top, -one)
	case 'r':
		s.top, s.bottom, s.x, s.y = one-1, s.h, 0, 0
		if len(n) > 1 && n[1] > 0 {
			s.bottom = min(n[1], s.h)
		}
	}
}

// erase empties from one place up to another.
func (s *screen) erase(y, x, toY, toX int) {
	for ; y <= toY && y < s.h; y++ {
		end := s.w
		if y == toY {
			end = toX
		}
		for ; x < end; x++ {
			s.cells[y][x] = ""
		}
		x = 0
	}
}

// scroll moves the lines from one to the bottom margin up by n, or down.
func (s *screen) scroll(from, n int) {
	lines := s.cells[from:s.bottom]
	moved := make([][]string, len(lines))
	for i := range moved {
		if old := i + n; old >= 0 && old < len(lines) {
			moved[i] = lines[old]
		} else {
			moved[i] = make([]string, s.w)
		}
	}
	copy(lines, moved)
}
