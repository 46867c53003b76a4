package funclog_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/internal/funclog"
)

// openFiles is how many files of a directory this process has open.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, dir+"/") {
			n++
		}
	}
	return n
}

// A disk that takes nothing must neither hold the function up nor let the
// server grow; what is missing is said.
func TestDisk_Stuck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, id+".jsonl")
	b := open(t, dir)
	if got := b.Tail(id, time.Time{}, 1); len(got) != 0 { // what was there before is read now, not later
		t.Fatal(got)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil { // takes 64 KiB, then nothing
		t.Fatal(err)
	}
	text := strings.Repeat("x", 60_000)
	for i := range 400 { // 24 MB: returns, though nobody reads
		b.Append(id, funclog.Entry{At: at(i + 1), Text: text})
	}
	got := b.Tail(id, time.Time{}, 1000)
	if len(got) == 0 || len(got) > 5 || !got[len(got)-1].At.Equal(at(400)) {
		t.Errorf("%d lines in memory", len(got))
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	said := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if s := lines.Text(); strings.Contains(s, "lines are missing here") && len(said) == 0 {
				said <- s
			}
		}
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		b.Append(id, funclog.Entry{At: at(1000), Text: "next"})
		select {
		case s := <-said:
			if !strings.Contains(s, `"level":"WARN"`) {
				t.Errorf("said as %s", s)
			}
			b.Close() // while there is still somebody to read the rest
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the file does not say that lines are missing")
		}
	}
}

// A disk that failed is tried again with the next line.
func TestDisk_FailsAndRecovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, id+".jsonl")
	if err := os.Mkdir(path, 0o700); err != nil { // no file can be opened there
		t.Fatal(err)
	}
	b := open(t, dir)
	b.Append(id, funclog.Entry{At: at(1), Text: "in memory only"})
	if got := b.Tail(id, time.Time{}, 10); len(got) != 1 {
		t.Errorf("in memory: %v", got)
	}
	b.Remove(id) // takes the directory away
	b.Append(id, funclog.Entry{At: at(2), Text: "on disk"})
	b.Close()
	if got := open(t, dir).Tail(id, time.Time{}, 10); len(got) != 1 || got[0].Text != "on disk" {
		t.Errorf("after a restart: %v", got)
	}
}

// What an earlier server left behind, whole or not, is read as far as it goes.
func TestRestart_ReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	line := func(n int) string {
		return fmt.Sprintf(`{"at":"2026-01-01T00:00:%02dZ","level":"INFO","text":"line %d"}`+"\n", n, n)
	}
	for name, tc := range map[string]struct {
		older, newer string
		want         []string
	}{
		"nothing":           {"", "", []string{"new"}},
		"turned over":       {line(1) + line(2), "", []string{"line 1", "line 2", "new"}},
		"both":              {line(1), line(2), []string{"line 1", "line 2", "new"}},
		"cut by kill -9":    {"", line(1) + line(2)[:20], []string{"line 1", "new"}},
		"cut within a text": {"", line(1) + line(2)[:50], []string{"line 1", "new"}},
		"not ours":          {"", "\x00\x01\x02 binary\n[1,2]\n", []string{"new"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, id+".jsonl")
			for p, text := range map[string]string{path: tc.newer, path + ".1": tc.older} {
				if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b := open(t, dir)
			b.Append(id, funclog.Entry{At: at(2_000_000_000), Text: "new"})
			b.Close()
			for _, b := range []*funclog.Book{b, open(t, dir)} { // from memory, then from disk
				var got []string
				for _, e := range b.Tail(id, time.Time{}, 100) {
					got = append(got, e.Text)
				}
				if strings.Join(got, "|") != strings.Join(tc.want, "|") {
					t.Errorf("%q, want %q", got, tc.want)
				}
			}
		})
	}
}

func TestFiles_AreClosed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, err := funclog.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for i := range 1000 {
			b.Append(fmt.Sprintf("fn-%026d", i), funclog.Entry{At: at(1), Text: "x"})
		}
		synctest.Wait()
		if n := openFiles(t, dir); n == 0 || n > 256 {
			t.Errorf("%d files are open for 1000 functions", n)
		}
		time.Sleep(2 * time.Minute) // of the bubble's clock
		synctest.Wait()
		if n := openFiles(t, dir); n != 0 {
			t.Errorf("%d files are open after two idle minutes", n)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1000 {
			t.Errorf("%d files, %v", len(files), err)
		}
	})
}

// Names that are no function's reach no file.
func TestNames_Refused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, filepath.Join(dir, "logs"))
	victim := filepath.Join(dir, "victim.jsonl")
	if err := os.WriteFile(victim, []byte(`{"text":"secret"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "../victim", "..", "fn-", "fn-01JD0000000000000000000000", "fn-01jd000000000000000000000", "fn-01jd00000000000000000000000", "fn-../../../../../victim", "fn-01jd0000000000000000000000\n", "fn-01jd0000000000000000000000\x00"} {
		b.Append(name, funclog.Entry{At: at(1), Text: "x"})
		if got := b.Tail(name, time.Time{}, 10); len(got) != 0 {
			t.Errorf("%q reads %v", name, got)
		}
		b.Remove(name)
	}
	b.Close()
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "logs")); len(files) != 0 {
		t.Errorf("files %v", files)
	}
	if _, err := funclog.Open(filepath.Join(victim, "below")); err == nil {
		t.Error("a book is opened below a file")
	}
}
