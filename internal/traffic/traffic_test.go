package traffic_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/traffic"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

// each makes a book with calls of one function, one at each time.
func called(times ...time.Duration) (*traffic.Book, *traffic.Function) {
	b := traffic.NewBook(0)
	f := b.Function("prj_1", "fn-1", "orders")
	for _, d := range times {
		f.Record(traffic.Call{At: at(d), Took: time.Millisecond})
	}
	return b, f
}

func TestRead_Classes(t *testing.T) {
	t.Parallel()
	b, f := called()
	for class := range traffic.Classes {
		for range class + 1 {
			f.Record(traffic.Call{At: noon, Class: traffic.Class(class), Took: time.Second, Cold: class == 0, BytesIn: 3, BytesOut: -1})
		}
	}
	for _, w := range []traffic.Window{traffic.Minutes, traffic.Day} {
		points, total := b.Read("fn-1", w, noon)
		if len(points) != w.Steps {
			t.Fatalf("%d points, want %d", len(points), w.Steps)
		}
		last := points[len(points)-1]
		if last.At != noon || total.At != noon.Add(-w.Step*time.Duration(w.Steps-1)) {
			t.Errorf("the window is from %v to %v", total.At, last.At)
		}
		for _, p := range []traffic.Point{last, total} {
			if p.Calls != [traffic.Classes]int64{1, 2, 3, 4, 5, 6} || p.All() != 21 || p.Cold != 1 || p.BytesIn != 63 || p.BytesOut != 0 {
				t.Errorf("%+v", p)
			}
		}
	}
}

func TestRead_WhatIsOver(t *testing.T) {
	t.Parallel()
	b, _ := called(0, 5*time.Second, 20*time.Second, 25*time.Minute)
	count := func(w traffic.Window, now time.Duration) (n int64) {
		points, total := b.Read("fn-1", w, at(now))
		for _, p := range points {
			n += p.All()
		}
		if n != total.All() {
			t.Errorf("the steps have %d calls, the window %d", n, total.All())
		}
		return n
	}
	if n := count(traffic.Minutes, 25*time.Minute); n != 1 {
		t.Errorf("after 25 minutes: %d", n)
	}
	if n := count(traffic.Minutes, 41*time.Minute); n != 0 {
		t.Errorf("after 41 minutes: %d", n)
	}
	if n := count(traffic.Day, 23*time.Hour); n != 4 {
		t.Errorf("after 23 hours: %d", n)
	}
	if n := count(traffic.Day, 48*time.Hour); n != 0 {
		t.Errorf("after two days: %d", n)
	}
	if points, _ := b.Read("fn-other", traffic.Day, noon); points != nil {
		t.Errorf("of a function that nobody knows: %d points", len(points))
	}
}

// A call that is told late is counted; a clock that is put back does not leave
// what is counted from then on in the past of something.
func TestRecord_Clock(t *testing.T) {
	t.Parallel()
	b, f := called(time.Minute, 51*time.Second)
	if _, total := b.Read("fn-1", traffic.Minutes, at(time.Minute)); total.All() != 2 {
		t.Errorf("a late call: %d", total.All())
	}
	f.Record(traffic.Call{At: at(-time.Hour)})
	if _, total := b.Read("fn-1", traffic.Minutes, at(-time.Hour)); total.All() != 1 {
		t.Errorf("after the clock was put back: %d", total.All())
	}
}

// What is said of the error holds for any distribution, in a step that is over,
// in the one under way, and in the whole window.
func TestQuantiles_Error(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() float64{
		"even":        func() float64 { return 0.0001 + random.Float64() },
		"long tail":   func() float64 { return 0.001 * math.Exp(2*random.NormFloat64()) },
		"two humps":   func() float64 { return []float64{.002, 3}[random.IntN(2)] },
		"all alike":   func() float64 { return .0371 },
		"quick":       func() float64 { return .00007 + random.Float64()*.00001 },
		"ten minutes": func() float64 { return 600 },
	} {
		b, f := called()
		var took []time.Duration
		for range 5000 {
			d := max(time.Duration(draw()*float64(time.Second)), 70*time.Microsecond)
			took = append(took, d)
			f.Record(traffic.Call{At: noon, Took: d})
			f.Record(traffic.Call{At: noon, Class: traffic.Refused, Took: time.Microsecond})
			f.Record(traffic.Call{At: noon, Untimed: true, Took: time.Hour})
		}
		f.Record(traffic.Call{At: at(10 * time.Second), Class: traffic.Refused})
		slices.Sort(took)
		points, total := b.Read("fn-1", traffic.Minutes, at(10*time.Second))
		under, _ := b.Read("fn-1", traffic.Day, noon)
		for _, p := range []traffic.Point{points[len(points)-2], total, under[len(under)-1]} {
			for q, got := range map[int]time.Duration{50: p.P50, 90: p.P90, 99: p.P99} {
				want := took[(len(took)*q+99)/100-1]
				if off := math.Abs(float64(got)/float64(want) - 1); off > .0911 {
					t.Errorf("%s: p%d is %v, want %v: %.1f %% off", name, q, got, want, 100*off)
				}
			}
		}
		if p := points[len(points)-1]; p.P99 != 0 {
			t.Errorf("%s: refusals took %v", name, p.P99)
		}
	}
}

func TestQuantiles_Ends(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration][2]time.Duration{
		-time.Second: {0, 80 * time.Microsecond}, 0: {0, 80 * time.Microsecond}, 24 * time.Hour: {15 * time.Minute, 19 * time.Minute}, math.MaxInt64: {15 * time.Minute, 19 * time.Minute},
	} {
		b, f := called()
		f.Record(traffic.Call{At: noon, Took: took})
		if _, total := b.Read("fn-1", traffic.Minutes, noon); total.P50 < want[0] || total.P50 > want[1] {
			t.Errorf("%v is told as %v", took, total.P50)
		}
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	b, f := called(0, time.Second, 14*time.Minute)
	f.Record(traffic.Call{At: at(14 * time.Minute), Class: traffic.ServerError})
	b.Function("prj_1", "fn-2", "billing").Record(traffic.Call{At: at(14 * time.Minute), Class: traffic.Refused})
	b.Function("prj_1", "fn-3", "never called")
	b.Function("prj_1", "fn-4", "long ago").Record(traffic.Call{At: at(-time.Hour)})
	b.Function("prj_2", "fn-5", "theirs").Record(traffic.Call{At: at(14 * time.Minute)})
	rows := b.Recent("prj_1", at(14*time.Minute+50*time.Second))
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff([]string{"billing", "orders"}, names); diff != "" {
		t.Fatal(diff)
	}
	r := rows[1]
	if r.Minutes[0] != 2 || r.Minutes[14] != 2 || r.Bad[14] != 1 || r.All() != 4 || !r.LastAt.Equal(at(14*time.Minute)) {
		t.Errorf("%+v", r)
	}
	if one := b.Recent("prj_1", at(14*time.Minute+50*time.Second), rows[0].FunctionID, "none"); len(one) != 1 || one[0] != rows[0] {
		t.Errorf("of one: %+v", one)
	}
	if diff := cmp.Diff(map[string][]string{"prj_1": {"orders", "billing"}, "prj_2": {"theirs"}}, b.Called(at(13*time.Minute))); diff != "" {
		t.Error(diff)
	}
	b.Function("prj_1", "fn-1", "renamed")
	b.Forget("fn-2")
	b.Forget("fn-2")
	if rows = b.Recent("prj_1", at(14*time.Minute)); len(rows) != 1 || rows[0].Name != "renamed" {
		t.Errorf("%+v", rows)
	}
}

// The figures of the least recent go first, and those that are called at this
// very time do not take places from each other.
func TestBook_Full(t *testing.T) {
	t.Parallel()
	b := traffic.NewBook(3)
	record := func(n int, d time.Duration) {
		b.Function("p", fmt.Sprint(n), fmt.Sprint(n)).Record(traffic.Call{At: at(d)})
	}
	has := func(want ...int) {
		t.Helper()
		var got []int
		for n := range 9 {
			if points, _ := b.Read(fmt.Sprint(n), traffic.Day, at(time.Minute)); points != nil {
				got = append(got, n)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	record(0, 0)
	record(1, time.Second)
	record(2, 2*time.Second)
	record(3, 3*time.Second)
	record(4, 3*time.Second)
	has(0, 1, 2)
	record(0, 9*time.Second)
	record(3, 11*time.Second)
	has(0, 2, 3)
	if _, total := b.Read("3", traffic.Day, at(time.Minute)); total.All() != 1 {
		t.Errorf("it begins with %d calls, of whose place it took", total.All()-1)
	}
	gone := b.Function("p", "2", "2")
	b.Forget("2")
	gone.Record(traffic.Call{At: at(12 * time.Second)})
	record(5, 12*time.Second)
	has(0, 3, 5)
}

// Whatever is called, and however, a book takes no more memory than it says.
func TestBook_Memory(t *testing.T) {
	const most, each = 200, 34 << 10
	b := traffic.NewBook(most)
	before := heap()
	var functions []*traffic.Function
	for n := range 5 * most {
		functions = append(functions, b.Function("prj", fmt.Sprint("fn-", n), "name"))
	}
	random := rand.New(rand.NewPCG(3, 4))
	for step := range 100 {
		for _, f := range functions {
			f.Record(traffic.Call{At: at(time.Duration(step) * time.Minute), Took: time.Duration(random.Int64N(1 << 42)), Class: traffic.Class(random.IntN(traffic.Classes))})
		}
	}
	if grown := heap() - before; grown > most*each+5*most*300 {
		t.Errorf("%d functions of which %d have figures take %d bytes, %d each", len(functions), most, grown, grown/most)
	}
	runtime.KeepAlive(b)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestRecord_Allocates(t *testing.T) {
	_, f := called(0)
	now := noon
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(7 * time.Second)
		f.Record(traffic.Call{At: now, Took: time.Millisecond, Class: traffic.ClientError, Cold: true, BytesIn: 1, BytesOut: 2})
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
	var none *traffic.Function
	none.Record(traffic.Call{})
}

func TestBook_Nil(t *testing.T) {
	t.Parallel()
	var b *traffic.Book
	b.Function("p", "f", "n").Record(traffic.Call{At: noon})
	b.Forget("f")
	if points, _ := b.Read("f", traffic.Day, noon); points != nil || b.Recent("p", noon) != nil || len(b.Called(noon)) != 0 || !b.Began().IsZero() {
		t.Error("a book that is none knows something")
	}
}

// Who records, reads, admits and forgets at the same time does not meet.
func TestBook_Concurrent(t *testing.T) {
	t.Parallel()
	b := traffic.NewBook(4)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprint((n + i) % 6)
				b.Function("p", id, id).Record(traffic.Call{At: at(time.Duration(i) * time.Second), Took: time.Millisecond})
				b.Read(id, traffic.Minutes, at(time.Duration(i)*time.Second))
				if i%50 == 0 {
					b.Recent("p", at(time.Duration(i)*time.Second))
					b.Called(at(0))
					b.Forget(id)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRecord(b *testing.B) {
	_, f := called()
	b.ReportAllocs()
	for b.Loop() {
		f.Record(traffic.Call{At: time.Now(), Took: time.Millisecond})
	}
}
