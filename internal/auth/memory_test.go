package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"postern.dev/postern/internal/token"
)

// grown is by how much the heap is larger after f, in bytes.
func grown(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// Whoever sends 200,000 tokens or proofs, each another one, fills what there is
// room for and no more.
func TestMemory_Bounded(t *testing.T) {
	const sent = 200_000
	at := time.Now()
	a := NewAuthenticator("")
	if n := grown(func() {
		for i := range sent {
			tok := &Token{id: fmt.Sprint("jti", i), subject: fmt.Sprint("pak_", i), audience: []string{fmt.Sprint("http://gateway/", i), "http://control"}}
			a.cache.put(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))), tok)
		}
	}); n > cacheSlots*512 {
		t.Errorf("%d tokens take %d KiB", sent, n>>10)
	}
	r := token.NewReplays(proofWindow, proofsKept)
	refused := 0
	if n := grown(func() {
		for i := range sent {
			if r.Seen("jkt", fmt.Sprint(i), at) {
				refused++
			}
		}
	}); n > proofsKept*160 {
		t.Errorf("%d proofs take %d KiB", sent, n>>10)
	}
	if kept := sent - refused; kept > proofsKept || kept < proofsKept*9/10 {
		t.Errorf("%d proofs are remembered", kept)
	}
	if !r.Seen("jkt", "0", at.Add(proofWindow)) || !r.Seen("another", "another", at) {
		t.Error("what is full of proofs that are still good takes one more")
	}
	if r.Seen("jkt", "0", at.Add(2*proofWindow+time.Second)) {
		t.Error("what is over is not forgotten")
	}
	runtime.KeepAlive(a)
	runtime.KeepAlive(r)
}
