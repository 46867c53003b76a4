package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/internal/telemetry"
)

func TestBuffer_KeepsEveryLineWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := telemetry.NewBuffer(&out)
	log := telemetry.NewLogger(b, "json", slog.LevelInfo)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				log.Info("request", "x", strings.Repeat("y", 100))
			}
		})
	}
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4000 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if !strings.HasPrefix(l, "{") || !strings.HasSuffix(l, "}") {
			t.Fatalf("a torn line: %s", l)
		}
	}
}
