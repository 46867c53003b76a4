package authtest_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"postern.dev/postern/internal/auth/authtest"
)

// A judge that finds nothing proves nothing.
func TestJudge(t *testing.T) {
	t.Parallel()
	at := time.Now()
	s := func(from, to int, admitted bool) authtest.Shot {
		return authtest.Shot{Before: at.Add(time.Duration(from) * time.Second), Then: at.Add(time.Duration(to) * time.Second), Admitted: admitted}
	}
	lives := authtest.Rotated(nil, at, at.Add(-time.Hour), time.Time{})
	plain := authtest.Rotated(lives[:1:1], at, at, time.Time{})
	grace := authtest.Rotated([]authtest.Life{{Since: at.Add(-time.Hour)}}, at, at, at.Add(10*time.Second))
	twice := authtest.Rotated(authtest.Rotated([]authtest.Life{{Since: at.Add(-time.Hour)}}, at, at, at.Add(10*time.Second)), at.Add(time.Second), at.Add(time.Second), at.Add(20*time.Second))
	for name, tc := range map[string]struct {
		lives []authtest.Life
		shot  authtest.Shot
		want  authtest.Verdict
	}{
		"dead, accepted": {plain, s(1, 2, true), authtest.Verdict{Dead: 1, Accepted: 1}}, "dead, refused": {plain, s(1, 2, false), authtest.Verdict{Dead: 1}},
		"good, refused": {plain, s(-2, -1, false), authtest.Verdict{Good: 1, Refused: 1}}, "good, accepted": {plain, s(-2, -1, true), authtest.Verdict{Good: 1}},
		"on the way": {plain, s(-1, 1, false), authtest.Verdict{}}, "in its grace, refused": {grace, s(5, 6, false), authtest.Verdict{Good: 1, Refused: 1}},
		"at the end of its grace": {grace, s(9, 11, false), authtest.Verdict{}}, "after its grace, accepted": {grace, s(11, 12, true), authtest.Verdict{Dead: 1, Accepted: 1}},
		"rotated twice in its grace": {twice, s(5, 6, true), authtest.Verdict{Dead: 1, Accepted: 1}},
	} {
		if got := authtest.Judge(tc.lives, []authtest.Shot{tc.shot}); got != tc.want || got.Faulty() != (tc.want.Refused+tc.want.Accepted > 0) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// Two ways that are alike are not told apart, and two that differ by little are.
func TestCompare(t *testing.T) {
	t.Parallel()
	noise := func() time.Duration { return time.Duration(rand.Int64N(5000)) }
	if got := authtest.Compare(50_000, func(int) time.Duration { return 10*time.Microsecond + noise() }); got.Apart() {
		t.Errorf("alike: %s", got)
	}
	if got := authtest.Compare(50_000, func(way int) time.Duration { return 10*time.Microsecond + noise() + time.Duration(way)*250 }); !got.Apart() {
		t.Errorf("250 ns apart: %s", got)
	}
}
