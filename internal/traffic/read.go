package traffic

import (
	"cmp"
	"slices"
	"time"
)

// Read gives the steps of a function's window, oldest first, and what is in all
// of them. Of a function of which nothing is kept both are empty.
func (b *Book) Read(functionID string, w Window, now time.Time) (points []Point, total Point) {
	if b == nil {
		return nil, Point{}
	}
	b.mu.Lock()
	f := b.functions[functionID]
	b.mu.Unlock()
	if f == nil {
		return nil, Point{}
	}
	points = make([]Point, 0, w.Steps)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		return nil, Point{}
	}
	s := &f.kept.minutes
	if w == Day {
		s = &f.kept.day
	}
	total = s.read(now, func(p Point) { points = append(points, p) })
	return points, total
}

// lately is in how many pieces of one minute Recent tells of calls.
const lately = 15

// Row is what one function did in the last 15 minutes.
type Row struct {
	FunctionID, Name string
	LastAt           time.Time
	Point
	// Minutes are the calls of each of the minutes, oldest first; Bad those of
	// them that were answered 5xx or cut off.
	Minutes, Bad [lately]int64
}

// Recent gives the functions of a project that were called in the last 15
// minutes, by name; where IDs are given, those of them alone.
func (b *Book) Recent(projectID string, now time.Time, ids ...string) (rows []Row) {
	for _, f := range b.of(projectID, now.Add(-Minutes.Step*time.Duration(Minutes.Steps))) {
		if len(ids) > 0 && !slices.Contains(ids, f.id) {
			continue
		}
		if r, ok := f.recent(now); ok {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Compare(a.Name, b.Name) })
	return rows
}

func (f *Function) recent(now time.Time) (r Row, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil {
		return r, false
	}
	r = Row{FunctionID: f.id, Name: f.name, LastAt: time.Unix(0, f.last.Load()).UTC()}
	i := 0
	r.Point = f.kept.minutes.read(now, func(p Point) {
		minute := i * lately / Minutes.Steps
		r.Minutes[minute] += p.All()
		r.Bad[minute] += p.Calls[ServerError] + p.Calls[CutOff]
		i++
	})
	return r, r.All() > 0
}

// of lists the functions that were called after a time: those of a project, or of
// all where the ID is empty.
func (b *Book) of(projectID string, after time.Time) (list []*Function) {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.kept {
		if (projectID == "" || f.projectID == projectID) && f.last.Load() > after.UnixNano() {
			list = append(list, f)
		}
	}
	return list
}

// Called gives the names of the functions that were called after a time, by
// project.
func (b *Book) Called(after time.Time) map[string][]string {
	out := map[string][]string{}
	for _, f := range b.of("", after) {
		f.mu.Lock()
		out[f.projectID] = append(out[f.projectID], f.name)
		f.mu.Unlock()
	}
	return out
}
