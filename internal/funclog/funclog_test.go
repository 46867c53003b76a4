package funclog_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/funclog"
)

const id = "fn-01jd0000000000000000000000"

func open(t *testing.T, dir string) *funclog.Book {
	t.Helper()
	b, err := funclog.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func at(n int) time.Time { return time.Unix(int64(n), 0).UTC() }

func TestBook_TailAndRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	b := open(t, dir)
	for i := range 1500 {
		b.Append(id, funclog.Entry{At: at(i), Level: slog.LevelWarn, RequestID: "req_1", Text: fmt.Sprintf("line %d\x1b[31m", i)})
	}
	b.Append("../../etc/x", funclog.Entry{Text: "no such function"})
	check := func(b *funclog.Book) {
		t.Helper()
		all := b.Tail(id, time.Time{}, 5000)
		if len(all) != 1500 || all[0].Text != "line 0\x1b[31m" || all[999].RequestID != "req_1" || all[999].Level != slog.LevelWarn {
			t.Errorf("%d lines, from %+v", len(all), all[0])
		}
		if got := b.Tail(id, at(1490), 5); len(got) != 5 || got[0].Text != "line 1495\x1b[31m" {
			t.Errorf("limited: %+v", got)
		}
		if got := b.Tail(id, at(1497), 100); len(got) != 2 {
			t.Errorf("since: %+v", got)
		}
	}
	check(b)
	b.Close()
	b.Append(id, funclog.Entry{Text: "too late"})
	again := open(t, dir)
	check(again)
	again.Remove(id)
	if got := again.Tail(id, time.Time{}, 10); len(got) != 0 {
		t.Errorf("after Remove: %v", got)
	}
	again.Close()
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

func TestBook_IsBoundedOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	text := strings.Repeat("x", 60000)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				b.Append(id, funclog.Entry{At: at(1), Text: text})
			}
		})
	}
	wg.Wait()
	b.Close()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 || len(files) > 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Size() > 11<<20 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info, err)
		}
	}
}
