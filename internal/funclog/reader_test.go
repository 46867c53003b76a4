package funclog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/funclog"
)

// read takes entries until there are n, or nothing comes for the deadline.
func read(t *testing.T, r *funclog.Reader, n int) (texts []string, lost bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(texts) < n {
		list, missing, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d entries: %v", len(texts), n, err)
		}
		lost = lost || missing
		for _, e := range list {
			texts = append(texts, e.Text)
		}
	}
	return texts, lost
}

func write(b *funclog.Book, from, to int) {
	for i := from; i < to; i++ {
		b.Append(id, funclog.Entry{At: time.Now(), Text: fmt.Sprintf("line %d", i)})
	}
}

func lines(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("line %d", i))
	}
	return list
}

func TestReader_ComesLate(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	r := b.Follow(id, funclog.From{})
	defer r.Close()
	for i := range 6 { // more than memory keeps, and no faster than the disk takes them
		write(b, i*2000, (i+1)*2000)
		b.Page(t.Context(), id, funclog.Query{Filter: funclog.Filter{Search: "nowhere"}, Limit: 1})
	}
	got, lost := read(t, r, 12_000)
	if lost || !slices.Equal(got, lines(0, 12_000)) {
		t.Errorf("%d entries, lost %v", len(got), lost)
	}
}

// Where there is no disk, who is slow loses the oldest and is told so; who
// writes does not wait.
func TestReader_LosesTheOldest(t *testing.T) {
	t.Parallel()
	b := open(t, "")
	r := b.Follow(id, funclog.From{})
	defer r.Close()
	write(b, 0, 1)
	read(t, r, 1)
	write(b, 1, 30_000)
	list, lost, err := r.Next(t.Context())
	if err != nil || !lost || len(list) == 0 || list[0].Text == "line 1" {
		t.Fatalf("lost %v, %v, %d entries", lost, err, len(list))
	}
	var n int
	fmt.Sscanf(list[0].Text, "line %d", &n)
	got, lost := read(t, r, 30_000-n-len(list))
	if lost || got[len(got)-1] != "line 29999" {
		t.Errorf("then lost %v, last %q", lost, got[len(got)-1])
	}
}

// A reader goes on behind the last that it saw, also after a restart that lost
// what was not on disk yet.
func TestReader_ResumesAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	r := b.Follow(id, funclog.From{Since: time.Now().Add(-time.Minute)})
	write(b, 0, 2500)
	read(t, r, 100)
	at := r.Seq()
	var seen int
	for _, e := range b.Tail(id, time.Time{}, 10_000) {
		if e.Seq <= at {
			seen++
		}
	}
	r.Close()
	b.Close()
	if _, _, err := b.Follow(id, funclog.From{After: at}).Next(t.Context()); err != nil && !errors.Is(err, funclog.ErrEnded) {
		t.Error(err)
	}
	again := open(t, dir)
	write(again, 2500, 2510)
	r = again.Follow(id, funclog.From{After: at})
	defer r.Close()
	got, lost := read(t, r, 2510-seen)
	if lost || !slices.Equal(got, lines(seen, 2510)) {
		t.Errorf("%d entries from %q, lost %v", len(got), got[0], lost)
	}
	// Nobody was ever given what this place stands for: all is behind it.
	ahead := again.Follow(id, funclog.From{After: time.Now().Add(time.Hour).UnixMicro()})
	defer ahead.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if list, _, err := ahead.Next(ctx); err == nil {
		t.Errorf("from the future: %v", list)
	}
}

func TestReader_Ends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, err := funclog.Open("")
		if err != nil {
			t.Fatal(err)
		}
		ends := func(end func()) {
			t.Helper()
			r, done := b.Follow(id, funclog.From{}), make(chan error, 1)
			defer r.Close()
			go func() { _, _, err := r.Next(t.Context()); done <- err }()
			synctest.Wait()
			end()
			if err := <-done; !errors.Is(err, funclog.ErrEnded) {
				t.Error(err)
			}
		}
		ends(func() { b.Remove(id) })
		ends(func() { b.Close() })
		if _, _, err := b.Follow("../x", funclog.From{}).Next(t.Context()); !errors.Is(err, funclog.ErrEnded) {
			t.Error(err)
		}
	})
}

func TestPage(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	write(b, 0, 3000)
	all := b.Tail(id, time.Time{}, 5000)
	if len(all) != 3000 || !slices.IsSortedFunc(all, func(a, b funclog.Entry) int { return int(a.Seq - b.Seq) }) {
		t.Fatalf("%d entries", len(all))
	}
	for name, tc := range map[string]struct {
		q    funclog.Query
		want []string
		more bool
	}{
		"the newest":                {funclog.Query{Limit: 3}, lines(2997, 3000), true},
		"before one on disk":        {funclog.Query{Before: all[500].Seq, Limit: 3}, lines(497, 500), true},
		"before one in memory":      {funclog.Query{Before: all[2500].Seq, Limit: 700}, lines(1800, 2500), true},
		"the first":                 {funclog.Query{Before: all[2].Seq, Limit: 3}, lines(0, 2), false},
		"after one on disk":         {funclog.Query{After: all[500].Seq, Limit: 2}, lines(501, 503), true},
		"after one, over the seam":  {funclog.Query{After: all[1900].Seq, Limit: 300}, lines(1901, 2201), true},
		"after the last but one":    {funclog.Query{After: all[2998].Seq, Limit: 3}, lines(2999, 3000), false},
		"after the last":            {funclog.Query{After: all[2999].Seq, Limit: 3}, nil, false},
		"since":                     {funclog.Query{Since: time.Now().Add(time.Hour), Limit: 3}, nil, false},
		"of a level":                {funclog.Query{Filter: funclog.Filter{Level: 8}, Limit: 3}, nil, false},
		"searched on disk":          {funclog.Query{Filter: funclog.Filter{Search: "LINE 12"}, Before: all[130].Seq, Limit: 5}, lines(125, 130), true},
		"searched, nothing of that": {funclog.Query{Filter: funclog.Filter{Search: "nowhere"}, Limit: 5}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, more := b.Page(t.Context(), id, tc.q)
			var got []string
			for _, e := range list {
				got = append(got, e.Text)
			}
			if !slices.Equal(got, tc.want) || more != tc.more {
				t.Errorf("%d entries %.200q, more %v", len(got), got, more)
			}
		})
	}
}

// What is taken of calls: nothing while nobody looks, but some that failed.
func TestTakes(t *testing.T) {
	b := open(t, "")
	if b.Takes(id, 200) || (*funclog.Book)(nil).Takes(id, 500) {
		t.Error("a call is taken although nobody looks")
	}
	n := 0
	for range 1000 {
		if b.Takes(id, 503) {
			n++
		}
	}
	if n < 40 || n > 200 {
		t.Errorf("%d failed calls of 1000 are taken", n)
	}
	other := strings.Replace(id, "1", "2", 1)
	r := b.Follow(id, funclog.From{})
	if !b.Takes(id, 200) || b.Takes(other, 200) {
		t.Error("a call that is watched is not taken, or another is")
	}
	r.Close()
	r.Close()
	if b.Takes(id, 200) {
		t.Error("a call is taken after the last who looked has gone")
	}
	if n := testing.AllocsPerRun(100, func() { b.Takes(id, 200) }); n != 0 {
		t.Errorf("%v allocations for a call that is not taken", n)
	}
}

func TestInvocation_ShowsNoCredential(t *testing.T) {
	t.Parallel()
	hide := func(s string) string { return strings.ReplaceAll(s, "hunter22", "***") }
	h := funclog.Headers(map[string][]string{"Authorization": {"Basic s3cret"}, "Cookie": {"a=s3cret", "b=s3cret"}, "Set-Cookie": {"s3cret"}, "X-Api-Key": {"s3cret"}, "X_api_key": {"s3cret"}, "Proxy-Authorization": {"s3cret"},
		"Dpop": {"s3cret"}, "X-Auth-Token": {"s3cret"}, "X-Amz-Security-Token": {"s3cret"}, "X-CSRFToken": {"s3cret"}, "Stripe-Signature": {"s3cret"}, "X-Client-Secret": {"s3cret"}, "X-Hub-Signature-256": {"s3cret"},
		"Accept": {"a", "b"}, "X-Key-Words": {"s3cret"}, "X-Monkey": {"fine"}, "X-Author": {"me"}, "Bad\xff": {"\xff"}, "Long": {strings.Repeat("é", 5000)}, "a:b": {"c\r\nd"}, "Said": {"it is hunter22"}}, hide)
	for name, value := range h {
		if strings.Contains(value, "s3cret") {
			t.Errorf("%s: %s", name, value)
		}
	}
	for name, want := range map[string]string{"accept": "a, b", "x-monkey": "fine", "said": "it is ***", "x-author": "me", "cookie": funclog.Removed, "bad\ufffd": "\ufffd", "long": strings.Repeat("é", 512) + "…"} {
		if h[name] != want {
			t.Errorf("%q: %.40q", name, h[name])
		}
	}
	got := funclog.Address("https", "f.localhost", "/a b", "api_key=s3cret&x=1&access%5Ftoken=s3cret&code=s3cret&sig=s3cret&monkey=2&flag&Password=s3cret&q=hunter22", hide)
	if want := "https://f.localhost/a b?api_key=[removed]&x=1&access%5Ftoken=[removed]&code=[removed]&sig=[removed]&monkey=2&flag&Password=[removed]&q=***"; got != want {
		t.Error(got)
	}
	many := map[string][]string{}
	for i := range 1000 {
		many[fmt.Sprintf("h-%04d", i)] = []string{strings.Repeat("x", 2000)}
	}
	n := 0
	for name, value := range funclog.Headers(many, hide) {
		n += len(name) + len(value)
	}
	if n > 12<<10 {
		t.Errorf("%d bytes are kept of a header", n)
	}
}

func TestGather(t *testing.T) {
	t.Parallel()
	now := time.Now()
	seq := now.UnixMicro()
	line := func(request, text string) funclog.Entry {
		seq++
		return funclog.Entry{Seq: seq, RequestID: request, Text: text}
	}
	end := func(request string) funclog.Entry {
		seq++
		return funclog.Entry{Seq: seq, RequestID: request, Text: "end of " + request, Invocation: &funclog.Invocation{}}
	}
	entries := []funclog.Entry{line("", "start"), line("a", "a1"), line("b", "b1"), line("a", "a2"), end("a"), line("a", "after a"), line("c", "c1"), end("b"), line("", "alone"), line("d", "d1"), end("c")}
	add := func(g *funclog.Gather, entries []funclog.Entry, now time.Time) (out []string) {
		tell := func(g funclog.Gathered, ok bool) bool {
			if ok {
				s := g.Text
				for _, l := range g.Lines {
					s += " " + l.Text
				}
				out = append(out, s)
			}
			return ok
		}
		for _, e := range entries {
			tell(g.Add(e))
			for tell(g.Held(now)) {
			}
		}
		for tell(g.Held(now)) {
		}
		return out
	}
	want := []string{"start", "end of a a1 a2", "after a", "end of b b1", "alone", "end of c c1"}
	var g funclog.Gather
	if whole := add(&g, entries, now); !slices.Equal(whole, want) {
		t.Errorf("%q", whole)
	}
	if late := add(&g, nil, now.Add(time.Minute)); !slices.Equal(late, []string{"d1"}) {
		t.Errorf("late: %q", late)
	}
	for cut := range len(entries) + 1 { // a reader that comes back at any place gets the same
		var first, second funclog.Gather
		got := add(&first, entries[:cut], now)
		at, held := first.Place()
		second.Restore(entries, at, held)
		got = append(got, add(&second, entries[cut:], now)...)
		if !slices.Equal(got, want) {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
}

// Lines that claim a request which never ends are not kept for ever, nor many.
func TestGather_IsBounded(t *testing.T) {
	t.Parallel()
	var g funclog.Gather
	now, given := time.Now(), 0
	for i := range 5000 {
		g.Add(funclog.Entry{Seq: now.UnixMicro() + int64(i), RequestID: fmt.Sprintf("req_%d", i), Text: strings.Repeat("x", 10_000)})
		for _, ok := g.Held(now); ok; _, ok = g.Held(now) {
			given++
		}
	}
	if given < 4800 {
		t.Errorf("%d of 5000 lines were given", given)
	}
}
