package authtest

import (
	"fmt"
	"time"
)

// Life is when one secret of a key is good: for certain from Since until Ends,
// and for certain not after Dead. In between a change is on its way, and either
// answer is right.
type Life struct{ Since, Ends, Dead time.Time }

// Rotated notes that a key got another secret: when that was begun, when it was
// acknowledged, and until when the secret before it was promised to be good; a
// zero time if it was not.
func Rotated(lives []Life, begun, acknowledged, until time.Time) []Life {
	if last := len(lives) - 1; last >= 0 {
		old := &lives[last]
		old.Ends, old.Dead = begun, acknowledged
		if !until.IsZero() {
			old.Ends = until
			if until.After(acknowledged) {
				old.Dead = until
			}
		}
	}
	if last := len(lives) - 2; last >= 0 && lives[last].Ends.After(begun) { // two rotations in one grace
		lives[last].Ends, lives[last].Dead = begun, acknowledged
	}
	return append(lives, Life{Since: acknowledged})
}

// Shot is one request that showed a secret, and what became of it.
type Shot struct {
	Life         int // the number of the secret
	Before, Then time.Time
	Admitted     bool
}

// Verdict counts the requests about which there is no doubt.
type Verdict struct{ Good, Refused, Dead, Accepted int }

// Judge compares what happened with what was promised.
func Judge(lives []Life, shots []Shot) (v Verdict) {
	for _, s := range shots {
		l := lives[s.Life]
		switch {
		case !s.Before.Before(l.Since) && (l.Ends.IsZero() || s.Then.Before(l.Ends)):
			if v.Good++; !s.Admitted {
				v.Refused++
			}
		case !l.Dead.IsZero() && s.Before.After(l.Dead):
			if v.Dead++; s.Admitted {
				v.Accepted++
			}
		}
	}
	return v
}

// Faulty reports whether a promise was broken.
func (v Verdict) Faulty() bool { return v.Refused > 0 || v.Accepted > 0 }

// String says it in a line.
func (v Verdict) String() string {
	return fmt.Sprintf("of %d requests with a secret that is good %d were refused; of %d with a dead one %d were accepted", v.Good, v.Refused, v.Dead, v.Accepted)
}
