package devserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
)

// The directories of a function's state, which the function itself changes.
const (
	storageDir = "storage"
	dataDir    = "data"
)

// change is what was saved since the last build.
type change struct {
	paths  map[string]bool // below the project where they are in it
	static bool            // of public/ or assets/
	whole  bool            // anything: events were lost
}

// watcher follows the files that a build depends on. It is told by the system
// what changed, in order, and never looks by itself.
type watcher struct {
	dir   string
	marks string // a directory of our own, see sync
	fs    *fsnotify.Watcher
	ended chan struct{} // closed when nobody reads events any more

	mu       sync.Mutex
	changed  chan struct{}            // closed at the next change; guarded by mu
	watched  map[string]bool          // directories; guarded by mu
	inputs   map[string]bool          // files that the last build read; guarded by mu
	wide     bool                     // any file may matter; guarded by mu
	outputs  map[string]bool          // files that a program's build makes; guarded by mu
	pending  change                   // guarded by mu
	count    int64                    // of changes so far; guarded by mu
	awaited  map[string]chan struct{} // by mark; guarded by mu
	lastMark int64                    // guarded by mu
}

func newWatcher(dir, runDir string) (*watcher, error) {
	w := &watcher{dir: dir, marks: filepath.Join(runDir, "marks"), ended: make(chan struct{}), changed: make(chan struct{}),
		watched: map[string]bool{}, inputs: map[string]bool{}, wide: true, awaited: map[string]chan struct{}{}}
	var err error
	if w.fs, err = fsnotify.NewBufferedWatcher(4096); err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if err = os.Mkdir(w.marks, 0o700); err == nil {
		err = w.fs.Add(w.marks)
	}
	if err == nil {
		err = w.fs.Add(dir)
	}
	if err != nil {
		w.fs.Close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	w.watched[dir] = true
	w.below(dir)
	return w, nil
}

func (w *watcher) close() error { return w.fs.Close() }

// run reads events until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	defer close(w.ended)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.fs.Events:
			if !ok {
				return nil
			}
			w.event(e)
		case err, ok := <-w.fs.Errors:
			if !ok {
				return nil
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.below(w.dir)
				w.note("", func(c *change) { c.whole, c.static = true, true })
			}
		}
	}
}

// event takes one event.
func (w *watcher) event(e fsnotify.Event) {
	if filepath.Dir(e.Name) == w.marks {
		w.mu.Lock()
		if c := w.awaited[e.Name]; c != nil {
			close(c)
			delete(w.awaited, e.Name)
		}
		w.mu.Unlock()
		return
	}
	if e.Op&^fsnotify.Chmod == 0 {
		return
	}
	made := e.Has(fsnotify.Create)
	if info, err := os.Lstat(e.Name); made && err == nil && info.IsDir() {
		w.below(e.Name) // files may be in it that nobody was told of
		if w.top(e.Name) != "" {
			w.note(e.Name, func(c *change) { c.static = c.static || static(w.top(e.Name)) })
		}
		return
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		w.mu.Lock()
		delete(w.watched, e.Name)
		w.mu.Unlock()
	}
	if w.matters(e.Name, made || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		w.note(e.Name, func(c *change) { c.static = c.static || static(w.top(e.Name)) })
	}
}

// note counts a change.
func (w *watcher) note(path string, more func(*change)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	if w.pending.paths == nil {
		w.pending.paths = map[string]bool{}
	}
	if path != "" {
		w.pending.paths[path] = true
	}
	more(&w.pending)
	close(w.changed)
	w.changed = make(chan struct{})
}

// top is the first part of a path below the project; empty: it is not below it,
// or in what nobody looks at.
func (w *watcher) top(path string) string {
	rel, err := filepath.Rel(w.dir, path)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return ""
	}
	parts := strings.Split(rel, string(filepath.Separator))
	if parts[0] == storageDir || parts[0] == dataDir {
		return ""
	}
	for i, p := range parts {
		hidden := strings.HasPrefix(p, ".") && !(i == 0 && len(parts) == 1 && p == envFile) && !static(parts[0])
		if p == "node_modules" || p == "__pycache__" || hidden {
			return ""
		}
	}
	return parts[0]
}

const envFile = environ.DotenvFile

func static(top string) bool { return top+"/" == function.PublicDir || top+"/" == function.AssetsDir }

// resolved are the endings of files that an import may lead to: one that comes or
// goes may take the place of another.
var resolved = []string{".ts", ".mts", ".js", ".mjs", ".cjs", ".json"}

// matters reports whether a file may make the next build another one.
func (w *watcher) matters(path string, comesOrGoes bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inputs[path] {
		return true
	}
	top := w.top(path)
	switch {
	case top == "" || w.outputs[path]:
		return false
	case static(top), w.wide:
		return !scratch(path)
	case top == filepath.Base(path) && slices.Contains([]string{function.SourcePostern, function.SourceSinch, envFile, "package.json", "tsconfig.json"}, top):
		return true
	}
	return comesOrGoes && slices.Contains(resolved, filepath.Ext(path)) && !scratch(path)
}

// scratch reports whether a file has a name that editors give to what they keep
// while they save.
func scratch(path string) bool {
	name := filepath.Base(path)
	_, number := strconv.Atoi(name)
	return strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".swp") || strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, ".#") || strings.HasPrefix(name, "#") || number == nil
}

// below watches a directory of the project and all those in it.
func (w *watcher) below(dir string) {
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone again
		}
		if !e.IsDir() {
			return nil
		}
		if path != w.dir && w.top(path) == "" {
			return filepath.SkipDir
		}
		w.add(path)
		return nil
	})
}

func (w *watcher) add(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[dir] {
		return
	}
	if w.fs.Add(dir) == nil { // else it is gone
		w.watched[dir] = true
	}
}

// depend says which files the last build has read; wide: and that any other file
// of the project may matter as well.
func (w *watcher) depend(inputs []string, wide bool, outputs map[string]bool) {
	set := make(map[string]bool, len(inputs))
	for _, path := range inputs {
		set[path] = true
		w.add(filepath.Dir(path))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inputs, w.wide, w.outputs = set, wide, outputs
}

// seen is how many changes there have been.
func (w *watcher) seen() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// after is closed when there have been more changes than a count.
func (w *watcher) after(count int64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count > count {
		now := make(chan struct{})
		close(now)
		return now
	}
	return w.changed
}

// empty reports whether something that was saved is empty.
func (w *watcher) empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path := range w.pending.paths {
		if info, err := os.Stat(path); err == nil && info.Size() == 0 && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// take gives what was saved since it was last asked.
func (w *watcher) take() (change, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.pending
	w.pending = change{}
	return c, w.count
}

// markTimeout is how long to wait for a system that does not tell of a mark: on
// one that tells in no order the mark says little anyway.
const markTimeout = 250 * time.Millisecond

// sync returns how many changes there have been, with all that were saved before
// it was called. It makes a file of its own and waits to be told of it: events
// come in the order of what they tell.
func (w *watcher) sync(ctx context.Context) int64 {
	w.mu.Lock()
	w.lastMark++
	mark := filepath.Join(w.marks, strconv.FormatInt(w.lastMark, 10))
	told := make(chan struct{})
	w.awaited[mark] = told
	w.mu.Unlock()
	defer os.Remove(mark)
	timer := time.NewTimer(markTimeout)
	defer timer.Stop()
	if f, err := os.OpenFile(mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
		f.Close()
		select {
		case <-told:
		case <-timer.C:
		case <-w.ended:
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.awaited, mark)
	return w.count
}
