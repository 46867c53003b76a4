package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const idleHeading = "## Idle WebSockets"

// idleSockets is how many there are, and idleRest how long they are left alone:
// longer than a WebSocket is silent before its client is asked.
const (
	idleSockets = 10_000
	idleRest    = 40 * time.Second
)

// idle is what processes hold before and while many WebSockets of a function
// are open.
type idle struct {
	open, lost             int64
	took                   time.Duration
	before, opened, atRest [2]int64 // bytes: gateway, worker
}

// measureIdle opens WebSockets of a function and leaves them alone.
func measureIdle(ctx context.Context) (i idle, err error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return i, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	p, err := s.startPostern(filepath.Join(dir, "data"), "off", "0", "--workers", "1")
	if err == nil {
		err = s.deploy(p, "bench/peers/soak")
	}
	if err != nil {
		return i, err
	}
	workers := children(p.pid())
	if len(workers) != 1 {
		return i, fmt.Errorf("%d workers run, not one", len(workers))
	}
	hold := func() [2]int64 { return [2]int64{resident(p.pid()), resident(workers[0])} }
	target, err := url.Parse(p.gateway + "/fn/soak/socket")
	if err != nil {
		return i, err
	}
	i.before = hold()
	began := time.Now()
	var lost atomic.Int64
	conns, err := openMany(ctx, target, &lost)
	for _, c := range conns {
		defer c.Close()
	}
	if err != nil {
		return i, fmt.Errorf("after %d WebSockets: %w", len(conns), err)
	}
	i.open, i.took, i.opened = int64(len(conns)), time.Since(began), hold()
	<-time.After(idleRest)
	i.atRest, i.lost = hold(), lost.Load()
	if i.lost > 0 {
		err = errors.New("WebSockets were lost")
	}
	return i, err
}

// openMany opens them, 64 at a time.
func openMany(ctx context.Context, target *url.URL, lost *atomic.Int64) (conns []net.Conn, failed error) {
	var mu sync.Mutex // of what is returned
	var parts sync.WaitGroup
	places := make(chan struct{}, 64)
	for range idleSockets {
		places <- struct{}{}
		parts.Go(func() {
			conn, err := rest(ctx, target, lost)
			<-places
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			conns = append(conns, conn)
		})
	}
	parts.Wait()
	return conns, failed
}

// rest opens one and answers its pings, with as little of its own as it can.
func rest(ctx context.Context, u *url.URL, lost *atomic.Int64) (net.Conn, error) {
	conn, r, err := openSocket(ctx, u)
	if err != nil {
		return nil, err
	}
	go func() {
		nextMessage(r, conn) // none comes
		lost.Add(1)
	}()
	return conn, nil
}

// openSocket opens a WebSocket, and returns what comes from it.
func openSocket(ctx context.Context, u *url.URL) (net.Conn, *bufio.Reader, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", u.RequestURI(), u.Host)
	r := bufio.NewReaderSize(conn, 1024)
	res, err := http.ReadResponse(r, nil)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("answered %s", res.Status)
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, r, nil
}

// nextMessage reads the next short message, and answers pings before it.
func nextMessage(r *bufio.Reader, conn net.Conn) (string, error) {
	var head [2]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return "", err
		}
		payload := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(r, payload); err != nil {
			return "", err
		}
		switch head[0] {
		case 0x81:
			return string(payload), nil
		case 0x89: // a ping, and its pong, masked with nothing
			conn.Write(append([]byte{0x8a, 0x80 | head[1], 0, 0, 0, 0}, payload...))
		default:
			return "", fmt.Errorf("a frame %#x came: %q", head[0], payload)
		}
	}
}

// resident is the memory of a process in bytes, 0 of one that is gone.
func resident(pid int) int64 {
	kib, _ := residentKiB(pid)
	return int64(kib) << 10
}

func idleReport(i idle) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n\n%d WebSockets of one function on one worker, opened in %v, left alone for %v (in which each is asked once whether it is there), none lost. Resident memory. The aim is at most 400 MiB in all.\n\n", idleHeading, i.open, i.took.Round(100*time.Millisecond), idleRest)
	p("| when | gateway | worker | in all | a WebSocket |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		held [2]int64
	}{{"before", i.before}, {"all open", i.opened}, {"at rest", i.atRest}} {
		all := row.held[0] + row.held[1]
		p("| %s | %d MiB | %d MiB | %d MiB | %.1f KiB |\n", row.name, row.held[0]>>20, row.held[1]>>20, all>>20, max(0, float64(all-i.before[0]-i.before[1]))/1024/float64(i.open))
	}
	return b.String()
}
