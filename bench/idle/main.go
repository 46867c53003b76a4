// Command idle opens many WebSockets of a function, leaves them alone, and tells
// what the processes that hold them take:
//
//	go run ./bench/idle -n 10000 -url http://127.0.0.1:8080/fn/chat/ws 4711 4712
//
// The arguments are the process IDs of the server and of its workers.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	n := flag.Int("n", 10000, "how many")
	target := flag.String("url", "", "of the WebSocket, with http://")
	rest := flag.Duration("rest", 20*time.Second, "how long they are left alone")
	flag.Parse()
	if err := run(*n, *target, *rest, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func run(n int, target string, rest time.Duration, pids []string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	show(pids, "before")
	var open, lost atomic.Int64
	var parts sync.WaitGroup
	var failed atomic.Pointer[error]
	places := make(chan struct{}, 64)
	began := time.Now()
	for range n {
		places <- struct{}{}
		parts.Go(func() {
			defer func() { <-places }()
			if err := dial(u, &lost); err != nil {
				failed.CompareAndSwap(nil, &err)
				return
			}
			open.Add(1)
		})
	}
	parts.Wait()
	fmt.Printf("%d of %d open after %v\n", open.Load(), n, time.Since(began).Round(time.Millisecond))
	if err := failed.Load(); err != nil {
		return *err
	}
	show(pids, "open")
	<-time.After(rest)
	show(pids, "at rest")
	fmt.Printf("%d were lost\n", lost.Load())
	return nil
}

// dial opens one and answers its pings, with as little of its own as it can.
func dial(u *url.URL, lost *atomic.Int64) error {
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", u.RequestURI(), u.Host)
	r := bufio.NewReaderSize(conn, 1024)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("answered %s", res.Status)
	}
	go func() {
		defer lost.Add(1)
		var head [2]byte
		for {
			if _, err := io.ReadFull(r, head[:]); err != nil {
				return
			}
			payload := make([]byte, head[1]&0x7f)
			if _, err := io.ReadFull(r, payload); err != nil || head[0] == 0x88 {
				return
			}
			if head[0] == 0x89 {
				conn.Write(append([]byte{0x8a, 0x80 | head[1], 0, 0, 0, 0}, payload...))
			}
		}
	}()
	return nil
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// show prints what the processes hold.
func show(pids []string, when string) {
	sum := 0
	for _, pid := range pids {
		text, _ := os.ReadFile("/proc/" + pid + "/status")
		if m := resident.FindSubmatch(text); m != nil {
			kb, _ := strconv.Atoi(string(m[1]))
			sum += kb
			fmt.Printf("%s: process %s %d MiB\n", when, pid, kb>>10)
		}
	}
	fmt.Printf("%s: %d MiB in all\n", when, sum>>10)
}
