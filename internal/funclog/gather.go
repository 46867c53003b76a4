package funclog

import (
	"slices"
	"time"
)

// How long, and how many, lines of requests wait for the invocation that they
// belong to. Then they are given by themselves.
const (
	gatherFor   = 30 * time.Second
	gatherLines = 1000
)

// Gather puts the lines of a request to its invocation. The zero value is ready.
// It is not safe for concurrent use.
type Gather struct {
	held  []Entry // lines of requests that are not over, oldest first
	ended []string
	seq   int64
}

// Gathered is an invocation with the lines that were written for it, or one line
// that belongs to none, or came after its end, or long before it.
type Gathered struct {
	Entry
	Lines []Entry
}

// Add takes the next entry, and returns what is complete by now, in order.
func (g *Gather) Add(e Entry) (out []Gathered) {
	g.seq = e.Seq
	switch {
	case e.Invocation != nil:
		done := Gathered{Entry: e}
		g.held = slices.DeleteFunc(g.held, func(line Entry) bool {
			mine := line.RequestID == e.RequestID && e.RequestID != ""
			if mine {
				done.Lines = append(done.Lines, line)
			}
			return mine
		})
		if g.ended = append(g.ended, e.RequestID); len(g.ended) > gatherLines {
			g.ended = slices.Delete(g.ended, 0, 1)
		}
		return []Gathered{done}
	case e.RequestID == "" || slices.Contains(g.ended, e.RequestID):
		return []Gathered{{Entry: e}}
	}
	if g.held = append(g.held, e); len(g.held) > gatherLines {
		return g.release(1)
	}
	return nil
}

// Late returns the lines that have waited for too long.
func (g *Gather) Late(now time.Time) []Gathered {
	n := 0
	for n < len(g.held) && now.Sub(time.UnixMicro(g.held[n].Seq)) > gatherFor {
		n++
	}
	return g.release(n)
}

// release gives the oldest lines by themselves.
func (g *Gather) release(n int) (out []Gathered) {
	for _, e := range g.held[:n] {
		out = append(out, Gathered{Entry: e})
	}
	g.held = slices.Delete(g.held, 0, n)
	return out
}

// Place is where a reader may go on: the sequence up to which everything was
// added, and that from which lines are held. What is held is the same again
// after Restore.
func (g *Gather) Place() (seq, held int64) {
	if len(g.held) == 0 {
		return g.seq, g.seq
	}
	return g.seq, g.held[0].Seq
}

// Restore adds entries that were added before, without giving them again: those
// up to the place, of which lines from held on are held unless their invocation
// came.
func (g *Gather) Restore(entries []Entry, seq, held int64) {
	for _, e := range entries {
		if e.Seq > seq {
			break
		}
		if e.Invocation != nil || e.Seq >= held {
			g.Add(e)
		}
	}
	g.seq = seq
}
