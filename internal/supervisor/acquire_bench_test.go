package supervisor_test

import (
	"testing"

	"postern.dev/postern/internal/supervisor"
)

// Step 6 of every call on a warm worker: nothing may be allocated for it.
func TestAcquire_WarmDoesNotAllocate(t *testing.T) {
	s, _ := newSupervisor(t, supervisor.Options{})
	if _, err := invoke(t, s, "good", "pid"); err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		lease, err := s.Acquire(t.Context(), "good")
		if err != nil {
			t.Fatal(err)
		}
		lease.Release()
	})
	if n != 0 {
		t.Errorf("Acquire and Release allocate %v times", n)
	}
}

func BenchmarkAcquire(b *testing.B) {
	s, _ := newSupervisor(b, supervisor.Options{})
	if _, err := invoke(b, s, "good", "pid"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			lease, err := s.Acquire(b.Context(), "good")
			if err != nil {
				b.Error(err)
				return
			}
			lease.Release()
		}
	})
}
