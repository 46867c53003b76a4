package redact

import "io"

// Writer writes text without the values. Close it for what it holds back, which
// is never more than the beginning of what may be a value, and never the end of
// a line.
type Writer struct {
	w    io.Writer
	scan scanner
	held []byte
	out  []byte
}

// Writer returns a writer to w, for one goroutine at a time.
func (s *Set) Writer(w io.Writer) *Writer { return &Writer{w: w, scan: scanner{set: s}} }

// Write writes what of p, and of what was held back, is decided.
func (w *Writer) Write(p []byte) (int, error) {
	if w.scan.set.Empty() {
		return w.w.Write(p)
	}
	if err := w.next(p, open); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back. It does not close the writer behind.
func (w *Writer) Close() error {
	if w.scan.set.Empty() {
		return nil
	}
	return w.next(nil, ended)
}

func (w *Writer) next(p []byte, e end) error {
	text := p
	if len(w.held) > 0 {
		w.held = append(w.held, p...)
		text = w.held
	}
	out, done, changed := w.scan.scan(w.out[:0], text, e)
	if changed {
		w.out = out
	} else {
		out = text[:done]
	}
	var err error
	if len(out) > 0 {
		_, err = w.w.Write(out)
	}
	w.held = append(w.held[:0], text[done:]...)
	return err
}
