package funclog

import (
	"slices"
	"time"
)

// How long, how many and how large lines of requests wait for the invocation
// that they belong to. Then they are given by themselves.
const (
	gatherFor   = 30 * time.Second
	gatherLines = 1000
	gatherBytes = 1 << 20
)

// Gather puts the lines of a request to its invocation. The zero value is ready.
// It is not safe for concurrent use.
type Gather struct {
	held  []Entry // lines of requests that are not over, oldest first
	bytes int     // of held
	ended []string
	seq   int64
}

// Gathered is an invocation with the lines that were written for it, or one line
// that belongs to none, or came after its end, or long before it.
type Gathered struct {
	Entry
	Lines []Entry
}

// Add takes the next entry, and returns it if it is complete: a line of a request
// that is not over is held. Ask Held after each.
func (g *Gather) Add(e Entry) (out Gathered, ok bool) {
	g.seq = e.Seq
	switch {
	case e.Invocation != nil:
		out.Entry = e
		g.held = slices.DeleteFunc(g.held, func(line Entry) bool {
			mine := line.RequestID == e.RequestID && e.RequestID != ""
			if mine {
				out.Lines = append(out.Lines, line)
				g.bytes -= line.size()
			}
			return mine
		})
		if g.ended = append(g.ended, e.RequestID); len(g.ended) > gatherLines {
			g.ended = slices.Delete(g.ended, 0, 1)
		}
		return out, true
	case e.RequestID == "" || slices.Contains(g.ended, e.RequestID):
		return Gathered{Entry: e}, true
	}
	g.held = append(g.held, e)
	g.bytes += e.size()
	return out, false
}

// Held returns the oldest line that is held, if it is held no longer: it has
// waited for too long, or too many do. Ask until there is none.
func (g *Gather) Held(now time.Time) (out Gathered, ok bool) {
	if len(g.held) == 0 || len(g.held) <= gatherLines && g.bytes <= gatherBytes && now.Sub(time.UnixMicro(g.held[0].Seq)) <= gatherFor {
		return out, false
	}
	out.Entry = g.held[0]
	g.bytes -= out.size()
	g.held = slices.Delete(g.held, 0, 1)
	return out, true
}

// Place is where a reader may go on: the sequence up to which everything was
// added, and that from which on lines are held. What is held is the same again
// after Restore.
func (g *Gather) Place() (seq, held int64) {
	if len(g.held) == 0 {
		return g.seq, g.seq + 1
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
