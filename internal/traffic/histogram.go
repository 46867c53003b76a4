package traffic

import (
	"math"
	"math/bits"
	"time"
)

const (
	buckets  = 96 // four an octave
	octave   = 4
	shortest = 16 // the first begins at 2^16 ns, 66 µs; the last ends at 2^40, 18 min
)

// histogram counts durations in buckets whose bounds grow by 2^¼. What is below
// the first is in it, what is above the last in that.
type histogram [buckets]uint32

// bounds are 2^¼, 2^½ and 2^¾ as fractions of 2^63.
var bounds = [octave - 1]uint64{10968499650544839023, 13043817825332782212, 15511800964685064948}

// bucket is where a duration is counted.
func bucket(d time.Duration) int {
	if d < 1<<shortest {
		return 0
	}
	high := bits.Len64(uint64(d)) - 1
	i := (high - shortest) * octave
	for mantissa, k := uint64(d)<<(63-high), 0; k < len(bounds) && mantissa >= bounds[k]; k++ {
		i++
	}
	return min(i, buckets-1)
}

// middle is what stands for the durations of a bucket: at most 2^⅛, which is
// 9.1 %, from each of them.
func middle(i int) time.Duration {
	return time.Duration(math.Exp2(shortest + (float64(i)+.5)/octave))
}

func (h *histogram) add(other *histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// quantiles are those that are told, in µs; of nothing 0.
func (h *histogram) quantiles() (out [len(quantiles)]uint32) {
	var all uint64
	for _, n := range h {
		all += uint64(n)
	}
	if all == 0 {
		return out
	}
	var below uint64
	for i, next := 0, 0; i < buckets && next < len(quantiles); i++ {
		below += uint64(h[i])
		for next < len(quantiles) && float64(below) >= quantiles[next]*float64(all) {
			out[next] = uint32(middle(i) / time.Microsecond)
			next++
		}
	}
	return out
}
