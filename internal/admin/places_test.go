package admin

import (
	"errors"
	"fmt"
	"testing"
)

// However many take what they can, one that has nothing finds a place; and who leaves
// makes room.
func TestPlaces(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	for name, tc := range map[string]struct {
		greedy int
		want   int // that each has at least
	}{
		"one":                {1, 100},
		"as many as fill it": {6, 70},
		"a crowd":            {60, 7},
	} {
		p := places{ofProject: 100, inAll: 512, over: full}
		had := map[string]int{}
		var leave []func()
		for more := true; more; {
			more = false
			for i := range tc.greedy {
				project := fmt.Sprint(i)
				release, err := p.take(project)
				if err != nil && err != full {
					t.Fatal(err)
				}
				if err == nil {
					more = true
					had[project]++
					leave = append(leave, release)
				}
			}
		}
		for project, n := range had {
			if n < tc.want || n > 100 {
				t.Errorf("%s: %s has %d", name, project, n)
			}
		}
		late, err := p.take("late")
		if err != nil {
			t.Errorf("%s: nothing is left for another", name)
			continue
		}
		late()
		for _, release := range leave {
			release()
		}
		if p.all != 0 || len(p.of) != 0 {
			t.Errorf("%s: %d are taken when all have left", name, p.all)
		}
	}
}

// A single one late to come is refused when there is no place at all.
func TestPlaces_Full(t *testing.T) {
	t.Parallel()
	p := places{ofProject: 100, inAll: 2, over: errors.New("full")}
	for i, want := range []bool{true, true, false} {
		if _, err := p.take(fmt.Sprint(i)); (err == nil) != want {
			t.Errorf("%d: %v", i, err)
		}
	}
}
