package auth

import (
	"fmt"
	"testing"
	"time"

	"postern.dev/postern/internal/token"
)

// A project that shows more proofs than are remembered locks out nobody else,
// and what it showed is not good again.
func TestProofs_OneProjectsFloodIsItsOwn(t *testing.T) {
	t.Parallel()
	var p proofs
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	refused := 0
	for i := range proofsKept + proofsKept/4 {
		if p.seen("prj_flood", token.Proof{JKT: "k", ID: fmt.Sprint(i)}, now) {
			refused++
		}
	}
	if refused == 0 || refused > proofsKept/2 {
		t.Errorf("%d of the flood were refused", refused)
	}
	if !p.seen("prj_flood", token.Proof{JKT: "k", ID: "0"}, now) {
		t.Error("a proof is good twice")
	}
	if p.seen("prj_quiet", token.Proof{JKT: "k", ID: "0"}, now) {
		t.Error("another project is locked out")
	}
	for i := range 2 * proofProjects {
		p.seen(fmt.Sprint("prj_", i), token.Proof{JKT: "k", ID: "0"}, now)
	}
	if len(p.own) != proofProjects {
		t.Errorf("%d memories", len(p.own))
	}
	if last := fmt.Sprint("prj_", 2*proofProjects-1); !p.seen(last, token.Proof{JKT: "k", ID: "0"}, now) {
		t.Error("a proof of a project that shares a memory is good twice")
	}
	if p.seen("prj_later", token.Proof{JKT: "k", ID: "0"}, now.Add(2*proofWindow+time.Second)) || len(p.own) != 1 {
		t.Errorf("%d memories after all were stale", len(p.own))
	}
}

// A project that moves from the shared memory to one of its own takes along
// what it showed.
func TestProofs_NothingIsForgottenOnTheWay(t *testing.T) {
	t.Parallel()
	var p proofs
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i := range proofProjects {
		p.seen(fmt.Sprint("prj_", i), token.Proof{JKT: "k", ID: "0"}, now)
	}
	now = now.Add(2 * proofWindow)
	shown := token.Proof{JKT: "k", ID: "1"}
	if p.seen("prj_late", shown, now) {
		t.Error("the shared memory refuses a new proof")
	}
	now = now.Add(time.Second) // the others are stale, and there is room
	if !p.seen("prj_late", shown, now) {
		t.Error("a proof is good twice")
	}
	if now = now.Add(2*proofWindow + time.Second); p.seen("prj_late", token.Proof{JKT: "k", ID: "2"}, now) || p.own["prj_late"] == nil {
		t.Error("a project never gets a memory of its own")
	}
}
