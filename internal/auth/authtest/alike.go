// Package authtest tells whether two refusals can be told apart by the time
// that they take.
package authtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	blocks = 50
	// Of 50 fair coins at least 45 fall on one side once in 4·10⁸ times.
	decided = 45
)

// Timing is what Compare found.
type Timing struct {
	Tries      int
	Median     time.Duration // of all tries
	Difference time.Duration // of the second way against the first, the median over blocks
	Slower     int           // the number of blocks in which the second way was slower
}

// Compare tries two ways, so many times in all, in random order, and takes the
// time of each. try makes one try of the way 0 or 1 and returns how long it took.
//
// The tries are cut into 50 blocks; in each the middles of the two ways are
// compared. Because the order is random, whatever else the machine does falls
// on both ways alike: if they are alike, each block is a fair coin, on a busy
// machine as on a quiet one.
func Compare(tries int, try func(way int) time.Duration) Timing {
	out := Timing{Tries: tries / blocks * blocks}
	var all, differences []time.Duration
	for range blocks {
		var took [2][]time.Duration
		for range tries / blocks {
			way := rand.IntN(2)
			d := try(way)
			took[way], all = append(took[way], d), append(all, d)
		}
		d := centre(took[1]) - centre(took[0])
		differences = append(differences, d)
		if d > 0 {
			out.Slower++
		} else if d == 0 && rand.IntN(2) == 0 {
			out.Slower++ // a coin on its edge
		}
	}
	out.Median, out.Difference = median(all), median(differences)
	return out
}

// Apart reports whether the two ways can be told apart. If they are alike it
// does so once in 200 million times.
func (t Timing) Apart() bool { return t.Slower >= decided || t.Slower <= blocks-decided }

// String says it in a line.
func (t Timing) String() string {
	return fmt.Sprintf("%d tries of %v: the second way takes %v more, and is slower in %d of %d blocks", t.Tries, t.Median, t.Difference, t.Slower, blocks)
}

// centre is the mean of what lies between the 10th and the 60th hundredth: the
// clock has steps, and the slowest tries tell of other programs.
func centre(d []time.Duration) time.Duration {
	slices.Sort(d)
	d = d[len(d)/10 : max(len(d)*6/10, len(d)/10+1)]
	sum := time.Duration(0)
	for _, x := range d {
		sum += x
	}
	return sum / time.Duration(len(d))
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
