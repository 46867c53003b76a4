package feed_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/feed"
)

// next is what a reader is told at once, in words.
func next(t *testing.T, r *feed.Reader) (said []string, place string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	events, resync, place, err := r.Next(ctx)
	if err != nil { // of the two that are ready either may be drawn
		events, resync, place, err = r.Next(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if resync {
		said = append(said, "resync")
	}
	for _, e := range events {
		said = append(said, fmt.Sprint(e.Kind, e.Names))
	}
	return said, place
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func TestReader_Coalesces(t *testing.T) {
	t.Parallel()
	f := feed.New()
	r, theirs := f.Follow("prj_a", feed.From{}), f.Follow("prj_b", feed.From{})
	defer theirs.Close()
	for range 1000 {
		f.Tell("prj_a", feed.Traffic, "orders", "billing")
		f.Tell("prj_a", feed.Keys, "pak_1")
		f.Tell("prj_a", feed.Policy)
	}
	f.Tell("prj_a", feed.Functions, "orders")
	f.Tell("", feed.Functions, "of nobody")
	got, _ := next(t, r)
	same(t, "all at once", got, "functions[orders]", "keys[pak_1]", "policy[]", "traffic[billing orders]")
	f.Tell("prj_b", feed.Secrets)
	got, _ = next(t, theirs)
	same(t, "another project's", got, "secrets[]")
	f.Tell("prj_a", feed.Keys, "pak_2")
	got, _ = next(t, r)
	same(t, "what follows", got, "keys[pak_2]")
	r.Close()
	if !f.Followed() {
		t.Error("nobody follows")
	}
	theirs.Close()
	if f.Followed() {
		t.Error("somebody follows who has gone")
	}
}

// One that does not read holds no more than so many names.
func TestReader_Bounded(t *testing.T) {
	t.Parallel()
	f := feed.New()
	r := f.Follow("prj_a", feed.From{})
	for n := range 100_000 {
		f.Tell("prj_a", feed.Functions, fmt.Sprint("f", n))
		if n == 199 {
			events, _, _, _ := r.Next(t.Context())
			if len(events) != 1 || len(events[0].Names) != 200 {
				t.Fatalf("%d names", len(events[0].Names))
			}
		}
	}
	got, _ := next(t, r)
	same(t, "after 100,000 names", got, "functions[]")
}

func TestFollow_Resumes(t *testing.T) {
	t.Parallel()
	f := feed.New()
	r := f.Follow("prj_a", feed.From{})
	began := r.Place()
	f.Tell("prj_a", feed.Functions, "one")
	if r.Place() != "" {
		t.Error("its place is behind what it was not told yet")
	}
	_, place := next(t, r)
	r.Close()
	f.Tell("prj_b", feed.Functions, "theirs")
	f.Tell("prj_a", feed.Secrets, "two")
	f.Tell("prj_a", feed.Traffic, "two")
	got, place2 := next(t, f.Follow("prj_a", feed.From{After: place}))
	same(t, "behind the first", got, "secrets[two]", "traffic[]")
	got, _ = next(t, f.Follow("prj_a", feed.From{After: place2}))
	same(t, "behind all", got, "traffic[]")
	got, _ = next(t, f.Follow("prj_a", feed.From{After: began}))
	same(t, "from the beginning", got, "functions[one]", "secrets[two]", "traffic[]")
}

func TestFollow_Resync(t *testing.T) {
	t.Parallel()
	f := feed.New()
	r := f.Follow("prj_a", feed.From{})
	old := r.Place()
	for name, place := range map[string]string{"no place": "x", "of another process": feed.New().Follow("p", feed.From{}).Place(), "not yet": old + "9", "negative": old[:9] + "-1", "no number": old[:9]} {
		got, _ := next(t, f.Follow("prj_a", feed.From{After: place}))
		same(t, name, got, "resync")
	}
	f.Tell("prj_a", feed.Keys, "pak_1")
	f.Lost()
	f.Tell("prj_a", feed.Keys, "pak_2")
	got, _ := next(t, r)
	same(t, "one that reads", got, "resync", "keys[pak_2]")
	got, _ = next(t, f.Follow("prj_a", feed.From{After: old}))
	same(t, "one from before", got, "resync")
	place := r.Place()
	for range 1024 {
		f.Tell("prj_b", feed.Policy)
	}
	got, _ = next(t, f.Follow("prj_a", feed.From{After: place}))
	same(t, "just in time", got, "traffic[]")
	if r.Place() == place {
		t.Error("what others are told does not move its place")
	}
	f.Tell("prj_b", feed.Policy)
	got, _ = next(t, f.Follow("prj_a", feed.From{After: place}))
	same(t, "too late", got, "resync")
}

// Who read what is there at a time is told what came since, and not what they know.
func TestFollow_Since(t *testing.T) {
	t.Parallel()
	before := time.Now().Add(-time.Minute)
	f := feed.New()
	f.Tell("prj_a", feed.Keys, "known")
	at := time.UnixMicro(moment(t, f.Follow("prj_a", feed.From{})) + 1)
	r := f.Follow("prj_a", feed.From{Since: at})
	if r.Place() == "" {
		t.Error("it has something to read, and nothing happened")
	}
	f.Tell("prj_a", feed.Functions, "one")
	f.Tell("prj_b", feed.Functions, "theirs")
	got, _ := next(t, f.Follow("prj_a", feed.From{Since: at}))
	same(t, "since", got, "functions[one]")
	got, _ = next(t, f.Follow("prj_a", feed.From{Since: before}))
	same(t, "since before there was a feed", got, "resync")
	if r := f.Follow("prj_a", feed.From{Since: time.Now().Add(time.Hour)}); r.Place() == "" {
		t.Error("something is to be read of the time to come")
	}
	got, _ = next(t, f.Follow("prj_a", feed.From{After: "x", Since: at}))
	same(t, "a place, and since", got, "resync")
}

// moment is the time that a reader's place is.
func moment(t *testing.T, r *feed.Reader) int64 {
	t.Helper()
	_, text, _ := strings.Cut(r.Place(), ".")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A place is the time, and so does not count what others are told.
func TestPlace_IsATime(t *testing.T) {
	t.Parallel()
	f := feed.New()
	for range 1000 {
		f.Tell("prj_b", feed.Keys, "theirs")
	}
	if age := time.Since(time.UnixMicro(moment(t, f.Follow("prj_a", feed.From{})))); age < -time.Second || age > time.Minute {
		t.Errorf("it is of %v ago", age)
	}
}

func TestNext_Ends(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var none *feed.Feed
	none.Tell("p", feed.Keys)
	none.Lost()
	for _, f := range []*feed.Feed{feed.New(), none} {
		r := f.Follow("p", feed.From{})
		if _, _, _, err := r.Next(ctx); err == nil {
			t.Error("it waits for longer than it may")
		}
		r.Place()
		r.Close()
	}
}

func TestFeed_Concurrent(t *testing.T) {
	t.Parallel()
	f := feed.New()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 500 {
				f.Tell("prj_a", feed.Functions, fmt.Sprint(n))
			}
		})
		wg.Go(func() {
			r := f.Follow("prj_a", feed.From{})
			defer r.Close()
			for range 20 {
				f.Tell("prj_a", feed.Keys)
				if _, _, _, err := r.Next(t.Context()); err != nil {
					t.Error(err)
				}
				r.Place()
			}
		})
	}
	wg.Wait()
}
