// Package telemetry makes the server's log, its access log, its metrics
// (metrics.go) and its traces (trace.go).
//
// It measures from outside: no package below the wiring imports it to count
// for itself but the gateway, whose counters are resolved once for each
// function and not looked up on the way of a request.
package telemetry

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// NewLogger returns a logger that writes text or json lines from a level on.
func NewLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Buffer is a writer that gathers lines and writes them at least every 250 ms:
// an access log must not cost a system call for each request. It is safe for
// concurrent use.
type Buffer struct {
	mu   sync.Mutex
	w    *bufio.Writer // guarded by mu
	stop chan struct{}
	done chan struct{}
}

// NewBuffer returns a buffer in front of w. Close it.
func NewBuffer(w io.Writer) *Buffer {
	b := &Buffer{w: bufio.NewWriterSize(w, 64<<10), stop: make(chan struct{}), done: make(chan struct{})}
	go b.run()
	return b
}

func (b *Buffer) run() {
	defer close(b.done)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			b.mu.Lock()
			b.w.Flush() // a log that cannot be written must not stop the server
			b.mu.Unlock()
		}
	}
}

// Write adds a line. What is behind gets whole lines only.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.w.Available() < len(p) {
		if err := b.w.Flush(); err != nil {
			return 0, err
		}
	}
	return b.w.Write(p)
}

// Close writes what is gathered.
func (b *Buffer) Close() error {
	close(b.stop)
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.w.Flush(); err != nil {
		return fmt.Errorf("flush the access log: %w", err)
	}
	return nil
}
