package worker_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"postern.dev/postern/internal/worker"
)

// This binary is also the workers of its tests: started with fakeRole set, it
// plays a worker that Node would not play so exactly, or a server that starts
// one.
const fakeRole = "POSTERN_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(fakeRole); role != "" {
		play(role)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeSpec is how to start this binary in a role.
func fakeSpec(t testing.TB, role string, env ...string) (worker.Spec, *lines) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var l lines
	return worker.Spec{Argv: []string{self}, Dir: t.TempDir(), Env: append([]string{fakeRole + "=" + role}, env...), Log: l.add}, &l
}

func play(role string) {
	if role == "host" {
		playHost()
		return
	}
	fd, _ := strconv.Atoi(os.Getenv("POSTERN_WORKER_FD"))
	sock := os.NewFile(uintptr(fd), "host")
	switch role {
	case "exits at once":
		fmt.Fprintln(os.Stderr, "no configuration")
		os.Exit(7)
	case "says nothing":
		block()
	case "closes before HELLO":
		sock.Close()
		block()
	case "speaks HTTP":
		io.WriteString(sock, "HTTP/1.1 200 OK\r\n\r\n")
		block()
	case "version 2":
		sock.Write(fakeFrame(1, 0, 0, "PSTN\x00\x02{}"))
		block()
	case "ready twice":
		sock.Write(fakeFrame(1, 0, 0, "PSTN\x00\x01{}"))
		sock.Write(fakeFrame(2, 0, 0, fakeReady))
		sock.Write(fakeFrame(2, 0, 0, `{"handlers":[{"name":"a","kind":"custom"}],"auth":[]}`))
		block()
	}
	sock.Write(fakeFrame(1, 0, 0, "PSTN\x00\x01{}"))
	sock.Write(fakeFrame(2, 0, 0, fakeReady))
	if role == "ignores TERM" {
		signal.Ignore(syscall.SIGTERM)
	}
	serveFake(sock)
}

const fakeReady = `{"handlers":[{"name":"a","kind":"custom"}],"auth":null}`

func block() { select {} }

// serveFake answers what the handler's name asks for, until the host closes.
func serveFake(sock *os.File) {
	for {
		var h [10]byte
		if _, err := io.ReadFull(sock, h[:]); err != nil {
			os.Exit(0) // the host has gone
		}
		payload := make([]byte, binary.BigEndian.Uint32(h[:]))
		if _, err := io.ReadFull(sock, payload); err != nil {
			os.Exit(0)
		}
		stream := binary.BigEndian.Uint32(h[6:])
		switch h[4] {
		case 5: // PING
			sock.Write(fakeFrame(6, 0, 0, string(payload)))
		case 16: // REQUEST
			answer := obey(sock, handlerOf(payload))
			sock.Write(fakeFrame(17, 1, stream, "\x00\xc8\x00\x00"+answer))
		}
	}
}

// handlerOf is the third string of a request block.
func handlerOf(p []byte) string {
	at := 2 + 2*int(binary.BigEndian.Uint16(p))
	for i := range 2 {
		at += int(binary.BigEndian.Uint16(p[2+2*i:]))
	}
	return string(p[at : at+int(binary.BigEndian.Uint16(p[6:]))])
}

func obey(sock *os.File, handler string) string {
	switch handler {
	case "environ":
		return strings.Join(os.Environ(), "\n")
	case "descriptors":
		entries, _ := os.ReadDir("/proc/self/fd")
		var out []string
		for _, e := range entries {
			to, _ := os.Readlink("/proc/self/fd/" + e.Name())
			out = append(out, e.Name()+" "+to)
		}
		return strings.Join(out, "\n")
	case "group":
		return fmt.Sprint(os.Getpid(), " ", syscall.Getpgrp())
	case "grandchild":
		c := exec.Command("/bin/sh", "-c", "sleep 1000 & echo $!; wait")
		out, _ := c.StdoutPipe()
		c.Start()
		var pid string
		fmt.Fscan(out, &pid)
		return pid
	case "exit":
		os.Exit(5)
	case "close":
		sock.Close()
		block()
	case "write":
		os.Stdout.WriteString("half a li")
		os.Stdout.WriteString("ne\n\n\xff\xfe\nlast, without an end")
		os.Stderr.WriteString("e\n")
		os.Exit(0)
	case "flood":
		line := []byte(strings.Repeat("f", 99) + "\n")
		for range 100_000 {
			os.Stderr.Write(line)
		}
	}
	return ""
}

func fakeFrame(kind, flags byte, stream uint32, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(append(b, kind, flags), stream)
	return append(b, payload...)
}

// playHost is a server that starts a worker, says its number and that of its
// grandchild, and waits to be killed.
func playHost() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	mark := worker.InstanceVariable + "=" + os.Getenv("TEST_INSTANCE")
	w, err := worker.Start(context.Background(), worker.Spec{Argv: []string{self}, Env: []string{fakeRole + "=" + os.Getenv("TEST_WORKER"), mark, "PATH=/usr/bin:/bin"}})
	if err != nil {
		panic(err)
	}
	res, err := w.Do(context.Background(), &worker.Request{Handler: "grandchild"})
	if err != nil {
		panic(err)
	}
	body, _ := res.Whole()
	fmt.Println(w.Pid(), string(body))
	block()
}
