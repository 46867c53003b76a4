package usage

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"postern.dev/postern/internal/platform"
)

// suffix ends the name of a journal; what stands before it is the writer.
const suffix = ".journal"

// roomy is the size beyond which a journal is written anew, with what is still
// needed of it.
const roomy = 1 << 20

// journal is the file of one run: a line for each batch that the store may not
// have yet. Each run is another writer with another file, so that a data
// directory that is put back from a copy repeats no number. There is no file
// where nothing is pending.
type journal struct {
	writer string
	path   string
	f      *os.File // nil: not open
	size   int64
	limit  int64 // of size, before it is written anew
	torn   bool  // the last line may be in part there
}

// line is one line: the checksum of what follows in eight hexadecimal digits,
// a space, and a batch as JSON.
type line struct {
	Batch int64               `json:"batch"`
	Rows  []platform.UsageRow `json:"rows"`
}

func encode(b pending) ([]byte, error) {
	body, err := json.Marshal(line{b.batch, b.list()})
	if err != nil {
		return nil, fmt.Errorf("encode a batch of usage: %w", err)
	}
	out := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x ", crc32.ChecksumIEEE(body))
	return append(append(out, body...), '\n'), nil
}

// decode reads a line; ok is false of one that is damaged.
func decode(text string) (l line, ok bool) {
	sum, body, found := strings.Cut(text, " ")
	want, err := strconv.ParseUint(sum, 16, 32)
	if !found || err != nil || len(sum) != 8 || crc32.ChecksumIEEE([]byte(body)) != uint32(want) {
		return line{}, false
	}
	return l, json.Unmarshal([]byte(body), &l) == nil
}

// append adds a batch. When it returns nil the batch outlives a crash.
func (j *journal) append(b pending) error {
	text, err := encode(b)
	if err != nil {
		return err
	}
	if j.f == nil {
		if j.f, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			return err
		}
		if err := syncDir(j.path); err != nil {
			return err
		}
	}
	if j.torn {
		text = append([]byte{'\n'}, text...)
	}
	j.torn = true
	n, err := j.f.Write(text)
	j.size += int64(n)
	if err != nil {
		return err
	}
	j.torn = false
	return j.f.Sync()
}

// full reports whether the journal has grown to where it should be written anew.
func (j *journal) full() bool { return j.size > max(j.limit, roomy) }

// replace writes the journal anew with these batches: whole, or it stays as it
// was.
func (j *journal) replace(batches ...pending) error {
	next := &journal{path: j.path + ".new"}
	os.Remove(next.path) // what a crash may have left there
	for _, b := range batches {
		if len(b.rows) == 0 {
			continue
		}
		if err := next.append(b); err != nil {
			next.close()
			return err
		}
	}
	if next.f == nil {
		return j.remove()
	}
	next.close()
	j.close() // not every system renames to a file that is open
	if err := os.Rename(next.path, j.path); err != nil {
		return err
	}
	j.size, j.limit, j.torn = next.size, 2*next.size, false
	return syncDir(j.path)
}

// empty forgets the batches: the store has them.
func (j *journal) empty() error {
	if j.f == nil || j.size == 0 {
		return nil
	}
	if err := j.f.Truncate(0); err != nil {
		return err
	}
	j.size, j.limit, j.torn = 0, 0, false
	return nil
}

func (j *journal) remove() error {
	j.close()
	j.size, j.limit, j.torn = 0, 0, false
	if err := os.Remove(j.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (j *journal) close() {
	if j.f != nil {
		j.f.Close()
		j.f = nil
	}
}

// replay gives the batches of a journal to f, in order. A line that is damaged,
// as the last one is when the machine stopped while it was written, is passed
// over and counted.
func replay(path string, f func(line) error) (damaged int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for {
		text, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return damaged, err
		}
		if text, whole := strings.CutSuffix(text, "\n"); text != "" {
			l, ok := decode(text)
			if !ok || !whole {
				damaged++
			} else if err := f(l); err != nil {
				return damaged, err
			}
		}
		if err == io.EOF {
			return damaged, nil
		}
	}
}

// syncDir makes a name that was made or changed in a directory outlive a crash,
// where the system can.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}
