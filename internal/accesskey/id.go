package accesskey

import "encoding/binary"

// alphabet is Crockford's, in lower case.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// digits is the value of each character of the alphabet; of any other 0xff.
var digits = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xff
	}
	for i, c := range []byte(alphabet) {
		table[c] = byte(i)
	}
	return table
}()

// PackID returns the 128 bits that a key ID stands for; ok is false if it has
// not the form of one (ValidID).
func PackID(id string) (packed [16]byte, ok bool) {
	if len(id) != IDLen || id[:len(idPrefix)] != idPrefix || id[len(idPrefix)] > '7' {
		return packed, false
	}
	var high, low uint64
	for i := len(idPrefix); i < IDLen; i++ {
		digit := digits[id[i]]
		if digit == 0xff {
			return packed, false
		}
		high, low = high<<5|low>>59, low<<5|uint64(digit)
	}
	binary.BigEndian.PutUint64(packed[:8], high)
	binary.BigEndian.PutUint64(packed[8:], low)
	return packed, true
}

// UnpackID returns the text of a key ID. It takes the same time for each.
func UnpackID(packed [16]byte) (id [IDLen]byte) {
	high, low := binary.BigEndian.Uint64(packed[:8]), binary.BigEndian.Uint64(packed[8:])
	copy(id[:], idPrefix)
	// Twice twelve characters of five bits, and two of what is left.
	middle := high<<4 | low>>60
	for i := 0; i < 12; i++ {
		id[IDLen-1-i], low = alphabet[low&31], low>>5
		id[IDLen-13-i], middle = alphabet[middle&31], middle>>5
	}
	id[IDLen-25], id[IDLen-26] = alphabet[high>>56&31], alphabet[high>>61]
	return id
}
