package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/devserver"
)

// A server that is away for long is told of once, and again after it came back.
func TestDevScreen_TunnelDown(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := &devScreen{out: printer{w: &b}, d: &devserver.Server{}}
	down := &devserver.Tunnel{Retry: time.Second, Why: "no server answers"}
	up := &devserver.Tunnel{Open: true, URLs: []string{"http://x"}, Idle: 15 * time.Minute, Left: time.Hour - 30*time.Millisecond}
	for _, state := range []*devserver.Tunnel{down, down, up, down, {Retry: time.Second, Why: "the server stops"}} {
		s.tunnel("12:00:00", state)
	}
	if n := strings.Count(b.String(), "tunnel down: no server answers"); n != 2 {
		t.Errorf("told %d times:\n%s", n, b.String())
	}
	for _, want := range []string{"the server stops", "after 15m without a call, and in 1h at the latest"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{time.Second: "1s", 90 * time.Second: "1m30s", 15 * time.Minute: "15m", 59*time.Minute + 59*time.Second: "1h", 90 * time.Minute: "1h30m", 10 * time.Hour: "10h", 20 * time.Minute: "20m"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
}
