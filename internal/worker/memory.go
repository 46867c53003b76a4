package worker

import (
	"fmt"
	"time"
)

// weighEvery is how often a worker's memory is looked at.
const weighEvery = 500 * time.Millisecond

// weigh ends a worker that uses more memory than it may: gently, so that what
// it has in flight is finished, or at once when that does not help.
func (w *Worker) weigh(limit int64) {
	if limit == 0 {
		return
	}
	used := resident(w.proc.pid)
	if used <= limit {
		return
	}
	why := fmt.Sprintf("it used %d MiB of memory, and may use %d MiB", used>>20, limit>>20)
	if used > limit+limit/4 {
		w.kill(why)
		return
	}
	w.note(why)
	w.leave() // whoever runs workers asks it to end
}

// Memory is what the worker's process uses at this moment, in bytes; 0: it is
// gone, or that cannot be known.
func (w *Worker) Memory() int64 {
	select {
	case <-w.done:
		return 0 // its number may be another's
	default:
		return resident(w.proc.pid)
	}
}

// leave says that the worker takes no new call any more.
func (w *Worker) leave() {
	if w.program != nil {
		w.program.leave()
		return
	}
	w.conn.mu.Lock()
	w.conn.leave()
	w.conn.mu.Unlock()
}

// heapFullMark is what V8 writes when it gives up.
const heapFullMark = "JavaScript heap out of memory"

// heapFull reports whether the process said that its heap is full.
func (l *lastLines) heapFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heap
}

func heapFullText(limit int64) string {
	if limit == 0 {
		return "its JavaScript heap was full"
	}
	return fmt.Sprintf("its JavaScript heap was full: it may use %d MiB of memory", limit>>20)
}
