//go:build unix

package upstream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/internal/upstream"
)

// What a server sends behind its answer is nobody's, also when the answer ends just
// where the transport's buffer does and the rest is still the system's.
func TestDo_RestIsNobodys(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go sendMore(c)
		}
	}()
	p := upstream.Local("api", func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	})
	var all sync.WaitGroup
	for w := range 30 {
		all.Go(func() {
			for i := range 200 {
				id := fmt.Sprintf("%d-%d", w, i)
				res, err := p.Do(t.Context(), request("GET", "/"+id))
				if err != nil {
					continue // its connection may be at its end
				}
				if got, err := io.ReadAll(res); err == nil && string(got) != id {
					t.Errorf("%s has the answer %q", id, got)
				}
				res.Close()
			}
		})
	}
	all.Wait()
}

// sendMore answers each request with its path in 4 KiB, and with one answer more.
func sendMore(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		id := r.URL.Path[1:]
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX: ", len(id))
		fill := strings.Repeat("x", 4096-len(head)-len("\r\n\r\n")-len(id))
		fmt.Fprint(c, head+fill+"\r\n\r\n"+id+"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")
	}
}
