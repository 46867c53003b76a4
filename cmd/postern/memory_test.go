package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
)

// TestMemory_Streaming sends 256 MiB through a streaming handler, there and
// back, and looks at the greatest memory that gateway and worker ever had.
//
// V8 frees the bytes of chunks when it collects its young objects, so a worker
// that streams goes up and down by some 16 MiB however much goes through it. The
// first 64 MiB show how far up; what comes after must not go higher.
func TestMemory_Streaming(t *testing.T) {
	const first, size, most = 64 << 20, 256 << 20, 8 << 20
	s := newSite(t)
	s.must("functions", "deploy", "../../examples/stream")
	url := s.gateway + "/fn/stream/echo"
	echo := func(n int64) int64 {
		req, err := http.NewRequestWithContext(t.Context(), "POST", url, io.LimitReader(pattern{}, n))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.key["POSTERN_KEY_ID"], s.key["POSTERN_KEY_SECRET"])
		req.Header.Set("Content-Type", "application/octet-stream")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(res.Body)
			t.Fatalf("status %d: %s", res.StatusCode, text)
		}
		got, err := io.Copy(io.Discard, res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	echo(first)
	running := workers(s.data)
	if len(running) != 1 {
		t.Fatalf("%d workers, want one", len(running))
	}
	pids := map[string]int{"gateway": s.cmd.Process.Pid, "worker": running[0]}
	before := map[string]int64{}
	for name, pid := range pids {
		before[name] = peak(t, pid)
	}
	if got := echo(size); got != size {
		t.Errorf("%d bytes came back, want %d", got, size)
	}
	for name, pid := range pids {
		grown := peak(t, pid) - before[name]
		t.Logf("%s grew by %.1f MiB to %.1f MiB", name, float64(grown)/(1<<20), float64(peak(t, pid))/(1<<20))
		if grown > most {
			t.Errorf("%s grew by %d bytes, want at most %d", name, grown, most)
		}
	}
}

// pattern is an endless body.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// peak is the greatest resident memory of a process so far, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmHWM in %s", status)
	return 0
}
