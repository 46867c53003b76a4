package deploy

import (
	"maps"
	"sync"

	"postern.dev/postern/internal/redact"
)

// hidden is what the workers of each deployment know and nobody else may see, as
// the platform's own logs are told: what they are started with, and beside it
// what those have that were started before and end.
type hidden struct {
	live *redact.Live
	mu   sync.Mutex
	of   map[string]*knowledge // by deployment; guarded by mu
}

type knowledge struct{ now, earlier map[string]string }

// put says with what the next workers of a deployment are started, before they
// are.
func (h *hidden) put(deploymentID string, values map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.of[deploymentID]
	if k == nil {
		k = &knowledge{}
		h.of[deploymentID] = k
	}
	k.now, k.earlier = values, k.now
	all := maps.Clone(values)
	for name, value := range k.earlier {
		if value != values[name] {
			all[name+" (earlier)"] = value
		}
	}
	h.live.Put(deploymentID, all)
}

// takeBack undoes the last put: the workers that were started so have ended.
func (h *hidden) takeBack(deploymentID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.of[deploymentID]; k != nil && k.earlier != nil {
		k.now, k.earlier = k.earlier, nil
		h.live.Put(deploymentID, k.now)
	}
}

func (h *hidden) remove(deploymentID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, deploymentID)
	h.live.Remove(deploymentID)
}
