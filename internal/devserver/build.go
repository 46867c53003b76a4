package devserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

// How long it must be quiet before a build begins: many programs save in several
// steps. A storm of changes is built in the middle, and again at its end. What
// failed, or is empty, may be half of a save: it is told of a moment later.
const (
	quiet   = 6 * time.Millisecond
	longest = 300 * time.Millisecond
	half    = 60 * time.Millisecond
)

// buildLoop builds at the start and at each change until ctx ends.
func (s *Server) buildLoop(ctx context.Context) error {
	all, began := change{whole: true, static: true}, time.Now()
	for number := 1; ; {
		c, count := s.watch.take()
		all.add(c)
		told := s.build(ctx, number, all, count, began)
		if ctx.Err() != nil {
			return nil
		}
		if told == superseded {
			s.settle(ctx)
			continue
		}
		if all = (change{}); told != unchanged {
			number++
		}
		s.once.Do(func() { close(s.ready) })
		select {
		case <-ctx.Done():
			return nil
		case <-s.watch.after(count):
		}
		began = time.Now()
		s.settle(ctx)
	}
}

// add makes one of two changes.
func (c *change) add(o change) {
	if c.paths == nil {
		c.paths = map[string]bool{}
	}
	maps.Copy(c.paths, o.paths)
	c.static, c.whole = c.static || o.static, c.whole || o.whole
}

// settle waits until nothing has changed for a moment, or a file that is empty,
// which it mostly is between two steps, has something in it.
func (s *Server) settle(ctx context.Context) {
	end := time.NewTimer(longest)
	defer end.Stop()
	for wait := quiet; ; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-end.C:
		case <-timer.C:
			if wait == quiet && s.watch.empty() {
				wait = half
				continue
			}
		case <-s.watch.after(s.watch.seen()):
			timer.Stop()
			wait = quiet
			continue
		}
		timer.Stop()
		return
	}
}

// outcome is what became of a build.
type outcome int

const (
	serves     outcome = iota // a new version
	failed                    // nobody is served until the next
	unchanged                 // what serves is what was built
	superseded                // something was saved meanwhile: it counts no more
)

// build makes a version of the project as it is now and lets it serve, and tells
// all who wait for the changes up to count. all is what changed since the last
// build that was told of.
func (s *Server) build(parent context.Context, number int, all change, count int64, began time.Time) outcome {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() { // a module that hangs, and was saved again
		select {
		case <-s.watch.after(count):
			cancel()
		case <-over:
		}
	}()
	v, warnings, err := s.make(ctx, number, all)
	if err != nil && !errors.Is(err, errSame) && s.halfSaved(ctx, count) || s.watch.seen() != count {
		s.discard(v)
		return superseded
	}
	b := &Build{Number: number, URL: s.URL(), Changed: s.names(all), Warnings: warnings}
	switch {
	case errors.Is(err, errSame):
		if s.clearFailure(count) == nil {
			return unchanged
		}
		b.Function = s.Function()
	case err != nil:
		b.Failure = s.failureOf(err)
		s.fail(b.Failure, count)
	default:
		b.Function = v.told
		s.serve(parent, v, count)
	}
	b.Took = time.Since(began)
	s.feed.add(Event{Build: b})
	if v != nil {
		s.prepareNext(v)
	}
	if err != nil && !errors.Is(err, errSame) {
		return failed
	}
	return serves
}

// touches reports whether a change is one of the files that settings are in.
func (s *Server) touches(c change) bool {
	for _, name := range []string{envFile, function.SourcePostern, function.SourceSinch} {
		if c.paths[filepath.Join(s.project.Dir(), name)] {
			return true
		}
	}
	return false
}

// errSame says that what was built is what serves.
var errSame = errors.New("nothing has changed")

// make builds the project and starts a worker of it.
func (s *Server) make(ctx context.Context, number int, all change) (*version, []string, error) {
	started := time.Now()
	t, err := s.project.Build(ctx, all.static || all.whole)
	program := t != nil && t.Manifest.Program != nil
	s.watch.depend(s.project.Inputs(), err != nil || program, s.outputs(t, started))
	if err != nil {
		return nil, nil, err
	}
	set, err := s.o.Settings(ctx, s.project.Dir(), t.Manifest, all.whole || s.touches(all))
	if err != nil {
		return nil, nil, err
	}
	key := keyOf(t, set)
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil && current.key == key {
		return nil, nil, errSame
	}
	v, err := s.prepare(ctx, number, t, set)
	if err != nil {
		return nil, nil, err
	}
	v.key = key
	if s.o.Inspect > 0 && current != nil { // both would want the inspector's port
		s.supervisor.Retire(current.deployment.ID)
		if err := awaitPort(ctx, s.o.Inspect); err != nil {
			return nil, nil, err
		}
	}
	d, err := s.supervisor.Adopt(ctx, v.launch)
	if err != nil {
		s.discard(v)
		return nil, nil, err
	}
	v.launch.Expect = d
	user, flaws := userOf(v.deployment)
	warnings, err := guard(v, t.Manifest, d, set.Pair == nil && !user)
	if err != nil {
		s.supervisor.Retire(v.deployment.ID)
		return nil, nil, err
	}
	s.timeless(v)
	v.settings, v.told = set, tell(v, t.Manifest, set)
	return v, slices.Concat(t.Warnings, set.Warnings, flaws, warnings, unsigned(v.deployment)), nil
}

// timeless takes the time limits off handlers whose developer stands at a breakpoint.
func (s *Server) timeless(v *version) {
	if s.o.Inspect == 0 {
		return
	}
	for i := range v.deployment.Handlers {
		h := &v.deployment.Handlers[i]
		h.Timeout = 0
		for j := range h.Routes {
			h.Routes[j].Timeout = 0
		}
	}
}

// keyOf is what a version is made of.
func keyOf(t *bundle.Tree, set Settings) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", t.Hash, set.ProjectID)
	for _, v := range set.Settings {
		fmt.Fprintf(h, "%s\x00%s\x00", v.Name, v.Value.Reveal())
	}
	if set.Pair != nil {
		fmt.Fprintf(h, "%s\x00%s", set.Pair.KeyID, set.Pair.Secret.Reveal())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// serve makes a version the one that serves, and waits until the gateway knows.
func (s *Server) serve(ctx context.Context, v *version, count int64) {
	p := s.pairOf(v)
	keys := []platform.AccessKey{s.own(v.deployment.ProjectID)}
	if p != nil {
		keys = append(keys, p.key)
	}
	s.mu.Lock()
	s.versions[v.deployment.ID] = v
	s.current, s.pair, s.failure = v, p, nil
	s.mu.Unlock()
	f := platform.Function{ID: s.functionID, ProjectID: v.deployment.ProjectID, Name: v.told.Name, Slug: v.told.Name, ActiveDeploymentID: v.deployment.ID}
	if err := s.gateway.WaitApplied(ctx, s.source.put(f, v.deployment, keys...)); err == nil {
		s.calls.built(count)
	}
}

// pairOf is the pair of a version: that of the one before, if it is the same.
func (s *Server) pairOf(v *version) *pair {
	c := v.settings.Pair
	if c == nil {
		return nil
	}
	s.mu.Lock()
	p := s.pair
	s.mu.Unlock()
	if p == nil || p.user != c.KeyID || p.pwd != c.Secret.Reveal() || p.key.ProjectID != v.deployment.ProjectID {
		p = newPair(v.deployment.ProjectID, c.KeyID, c.Secret.Reveal())
	}
	return p
}

// fail makes a failure what callers are told.
func (s *Server) fail(f *Failure, count int64) {
	s.mu.Lock()
	s.failure = f
	s.mu.Unlock()
	s.calls.built(count)
}

// clearFailure lets the version serve again that did before a build failed, and
// returns how that had failed; nil: it had not.
func (s *Server) clearFailure(count int64) *Failure {
	s.mu.Lock()
	f := s.failure
	s.failure = nil
	s.mu.Unlock()
	s.calls.built(count)
	return f
}

// halfSaved reports whether more of a save comes soon.
func (s *Server) halfSaved(ctx context.Context, count int64) bool {
	timer := time.NewTimer(half)
	defer timer.Stop()
	select {
	case <-s.watch.after(count):
		return true
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

// discard ends a version that never served.
func (s *Server) discard(v *version) {
	if v == nil {
		return
	}
	s.supervisor.Retire(v.deployment.ID)
	os.RemoveAll(v.dir)
}

// prepareNext boots a process for the next version.
func (s *Server) prepareNext(v *version) {
	if v.launch.Spec.Ahead == nil {
		return
	}
	if err := s.ahead.Prepare(v.launch.Spec); err != nil {
		s.o.Log.Warn("no process was booted ahead", "error", err)
	}
}

// names are the paths of a change, below the project where they are in it.
func (s *Server) names(c change) (out []string) {
	for p := range c.paths {
		if rel, err := filepath.Rel(s.project.Dir(), p); err == nil {
			p = rel
		}
		out = append(out, filepath.ToSlash(p))
	}
	slices.Sort(out)
	return out
}

// awaitPort waits until a port is free that a worker had which is ending.
func awaitPort(ctx context.Context, port int) error {
	for until := time.Now().Add(5 * time.Second); ; {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return ln.Close()
		}
		if time.Now().After(until) {
			return fault.Wrap(err, fault.Unavailable, fmt.Sprintf("the inspector's port %d is in use by another program", port)).WithCode("port_in_use").WithHint("stop it, or choose another: --debug=9230")
		}
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// outputs are the files that a program's build has made since it began: they
// change at each build, and must not begin another. What somebody saved while it
// ran is not among them, unless they do so each time.
func (s *Server) outputs(t *bundle.Tree, began time.Time) map[string]bool {
	if t == nil || t.Manifest.Program == nil || len(t.Manifest.Program.Build) == 0 {
		return nil
	}
	first := s.written == nil
	if first {
		s.written = map[string]int{}
	}
	out := map[string]bool{}
	filepath.WalkDir(s.project.Dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if err == nil && path != s.project.Dir() && s.watch.top(path) == "" {
				return filepath.SkipDir
			}
			return nil
		}
		if info, err := e.Info(); err == nil && !info.ModTime().Before(began) {
			if s.written[path]++; first {
				s.written[path]++
			}
		}
		if s.written[path] > 1 {
			out[path] = true
		}
		return nil
	})
	return out
}
