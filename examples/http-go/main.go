// Command http-go is an HTTP server like any other: nothing of it knows of the
// gateway, but that it listens where it is told and reads who calls from a header.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// asked counts the requests that got here: one that the gateway refuses does not.
var asked atomic.Int64

func main() {
	listener, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, asked.Load()) })
	mux.HandleFunc("GET /events", events)
	mux.HandleFunc("POST /upper", upper)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	// SIGTERM comes when no call is left, or none may last any longer.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	log.Printf("listening on %s", listener.Addr())
	if err := server.Serve(listener); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended
}

// listen listens on the socket that Postern names, or on a port as anywhere else.
func listen() (net.Listener, error) {
	if path := os.Getenv("POSTERN_SOCKET"); path != "" {
		return net.Listen("unix", path)
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
}

func hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello from Go, request %s\n", r.Header.Get("X-Request-Id"))
}

// events sends an event a while, for as long as somebody listens.
func events(w http.ResponseWriter, r *http.Request) {
	asked.Add(1)
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		fmt.Fprintf(w, "data: %d for %s\n\n", n, r.Header.Get("X-Postern-Key-Id"))
		rc.Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// upper answers each piece of the body while the next one still comes.
func upper(w http.ResponseWriter, r *http.Request) {
	asked.Add(1)
	rc := http.NewResponseController(w)
	rc.EnableFullDuplex()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		w.Write(bytes.ToUpper(buf[:n]))
		rc.Flush()
		if err != nil {
			if err != io.EOF {
				log.Print(err)
			}
			return
		}
	}
}
