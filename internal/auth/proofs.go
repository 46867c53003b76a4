package auth

import (
	"sync"
	"time"

	"postern.dev/postern/internal/token"
)

const (
	// proofWindow is how far a proof's clock may be from ours.
	proofWindow = time.Minute
	// proofsKept is how many proofs of one project are remembered, about a
	// thousand a second; when there are more within two windows, that project's
	// callers with proofs are refused, and nobody else's.
	proofsKept = 1 << 17
	// proofProjects is how many projects have a memory of their own, of 8 MiB
	// at most. Those that come when all are in use share one.
	proofProjects = 128
)

// proofs remembers which DPoP proofs were shown, each project apart, so that
// one which shows very many locks out itself alone. It is safe for concurrent
// use; the zero value is ready.
type proofs struct {
	mu     sync.Mutex
	own    map[string]*shownProofs // by project; guarded by mu
	others *token.Replays          // guarded by mu
	shared time.Time               // when others was last asked; guarded by mu
}

type shownProofs struct {
	*token.Replays
	last time.Time // when it was last asked; guarded by proofs.mu
}

// seen reports whether a proof was shown before, and remembers it.
func (p *proofs) seen(projectID string, proof token.Proof, now time.Time) bool {
	return p.of(projectID, now).Seen(proof.JKT, proof.ID, now)
}

// of is the memory of a project.
func (p *proofs) of(projectID string, now time.Time) *token.Replays {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.own[projectID]; own != nil {
		own.last = now
		return own.Replays
	}
	if p.own == nil {
		p.own, p.others = map[string]*shownProofs{}, token.NewReplays(proofWindow, proofsKept)
	}
	if len(p.own) >= proofProjects {
		for id, o := range p.own {
			if now.Sub(o.last) > 2*proofWindow { // all that it knows is stale
				delete(p.own, id)
			}
		}
	}
	// A memory that begins now does not know what its project showed to the
	// shared one, and would take it once more.
	if len(p.own) >= proofProjects || now.Sub(p.shared) <= 2*proofWindow {
		p.shared = now
		return p.others
	}
	own := &shownProofs{token.NewReplays(proofWindow, proofsKept), now}
	p.own[projectID] = own
	return own.Replays
}
