package traffic

import "time"

// Window is a time until now, in steps.
type Window struct {
	Step  time.Duration
	Steps int
}

// The two windows.
var (
	Minutes = Window{10 * time.Second, 90}
	Day     = Window{5 * time.Minute, 288}
)

// number is the step that a time is in.
func (w Window) number(at time.Time) int64 { return at.UnixNano() / int64(w.Step) }

// parts is in how many parts the histogram of a whole window is kept, beside the
// one that is under way; they go one by one.
const parts = 9

// The quantiles that are told.
var quantiles = [...]float64{.5, .9, .99}

// point is one step.
type point struct {
	step      int64 // 0: nothing came yet at this place
	calls     [Classes]uint32
	cold      uint32
	quantiles [len(quantiles)]uint32 // in µs, once the step is over
	in, out   int64
}

// part is a ninth of a window.
type part struct {
	number int64
	histogram
}

// series is a window of one function. Its owner's lock guards it.
type series struct {
	Window
	last   int64     // the step that is under way
	now    histogram // of it
	points []point   // by step, modulo their number
	parts  [parts + 1]part
}

func newSeries(w Window) series { return series{Window: w, points: make([]point, w.Steps)} }

func (s *series) clear() {
	points := s.points
	clear(points)
	*s = series{Window: s.Window, points: points}
}

// add counts a call. One that comes a little late is counted in the step that is
// under way; one that is from long before says that the clock was put back, and
// what was counted then is in the future.
func (s *series) add(c *Call) {
	n := s.number(c.At)
	if n < s.last-1 {
		s.clear()
	}
	if n > s.last {
		s.seal()
		s.last = n
		s.points[n%int64(s.Steps)] = point{step: n}
	}
	p := &s.points[s.last%int64(s.Steps)]
	p.calls[c.Class]++
	if c.Cold {
		p.cold++
	}
	p.in += max(c.BytesIn, 0)
	p.out += max(c.BytesOut, 0)
	if !c.timed() {
		return
	}
	b := bucket(c.Took)
	s.now[b]++
	s.part(s.last).histogram[b]++
}

// seal ends the step that is under way.
func (s *series) seal() {
	if s.last != 0 {
		s.points[s.last%int64(s.Steps)].quantiles = s.now.quantiles()
		s.now = histogram{}
	}
}

// part is where the histogram of a step is added up.
func (s *series) part(step int64) *part {
	n := s.partOf(step)
	p := &s.parts[n%int64(len(s.parts))]
	if p.number != n {
		*p = part{number: n}
	}
	return p
}

func (s *series) partOf(step int64) int64 { return step / int64(s.Steps/parts) }

// Point is what came in one step, or in a whole window.
type Point struct {
	At                time.Time // when it began
	Calls             [Classes]int64
	Cold              int64
	BytesIn, BytesOut int64
	// P50, P90 and P99 are of how long calls took that were not refused; 0: there
	// were none.
	P50, P90, P99 time.Duration
}

// All is how many calls came.
func (p *Point) All() (n int64) {
	for _, c := range p.Calls {
		n += c
	}
	return n
}

func (p *Point) add(q *Point) {
	for i, c := range q.Calls {
		p.Calls[i] += c
	}
	p.Cold += q.Cold
	p.BytesIn += q.BytesIn
	p.BytesOut += q.BytesOut
}

func (p *Point) took(q [len(quantiles)]uint32) {
	p.P50, p.P90, p.P99 = micros(q[0]), micros(q[1]), micros(q[2])
}

func micros(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }

// read gives each step of the window that ends with now, and what is in all of
// them. The quantiles of all may reach back a ninth further.
func (s *series) read(now time.Time, each func(Point)) (total Point) {
	end := s.number(now)
	first := end - int64(s.Steps) + 1
	for n := first; n <= end; n++ {
		out := Point{At: time.Unix(0, n*int64(s.Step)).UTC()}
		if p := &s.points[n%int64(s.Steps)]; p.step == n && n != 0 {
			for i, c := range p.calls {
				out.Calls[i] = int64(c)
			}
			out.Cold, out.BytesIn, out.BytesOut = int64(p.cold), p.in, p.out
			if n == s.last {
				out.took(s.now.quantiles())
			} else {
				out.took(p.quantiles)
			}
		}
		total.add(&out)
		if each != nil {
			each(out)
		}
	}
	var all histogram
	for i := range s.parts {
		if p := &s.parts[i]; p.number >= s.partOf(first) && p.number <= s.partOf(end) {
			all.add(&p.histogram)
		}
	}
	total.At = time.Unix(0, first*int64(s.Step)).UTC()
	total.took(all.quantiles())
	return total
}
