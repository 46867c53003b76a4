package state_test

import (
	"testing"

	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/state/statetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	statetest.Cache(t, &state.Memory{}, statetest.NewSteps())
}
