package bundle

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// SourceDir is the directory of an artefact in which the rest of the project
// lies: what runs is beside it. No worker ever sees it; it is for who comes back
// to a version later.
const SourceDir = "source/"

// notSource are directories whose files are no work of the developer's: what
// packages and tools leave, and what the function itself keeps in dev.
var notSource = map[string]bool{"node_modules": true, compiled: true}

var notSourceAtRoot = map[string]bool{"storage": true, "data": true}

// keptHere reports whether a file of a project is a function's database, where dev
// has it or where functions db download writes it by itself: what customers wrote is
// never deployed because somebody looked at it.
func keptHere(name string) bool {
	file, _, _ := strings.Cut(name, "-") // from its -wal and -shm
	return file == "function.db" || file == "data/function.db"
}

// keyFiles are how files end that hold private keys. They stay at home.
var keyFiles = []string{".pem", ".key", ".p12", ".pfx", ".jks", ".keystore"}

// maxWalked bounds how much of a directory is looked at that is no project.
const maxWalked = 20_000

// sources reads what of the project in dir is not in have yet, which are files of
// its artefact. The limits are those of the whole project: what is told of, when
// they are passed, is where the most of it lies.
func sources(dir string, exclude function.Excludes, have map[string][]byte) (files map[string][]byte, warnings []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", dir, err)
	}
	defer root.Close()
	s := survey{exclude: exclude, known: names{}, sizes: map[string]int64{}}
	for name, data := range have {
		if rel, ok := ofProject(name); ok {
			s.sizes[rel] = int64(len(data))
		}
	}
	projects, err := fs.Glob(root.FS(), "*.csproj")
	s.built = err == nil && len(projects) > 0
	if err := fs.WalkDir(root.FS(), ".", s.visit); err != nil {
		return nil, nil, fmt.Errorf("read the project: %w", err)
	}
	if err := s.fits(); err != nil {
		return nil, nil, err
	}
	files = make(map[string][]byte, len(s.names))
	for _, name := range s.names {
		if files[SourceDir+name], err = root.ReadFile(name); err != nil {
			return nil, nil, fmt.Errorf("read the project: %w", err)
		}
	}
	if len(s.left) > 0 {
		warnings = append(warnings, "not among the sources that are kept with the version: "+strings.Join(s.left, ", "))
	}
	return files, warnings, nil
}

// ofProject is the path in the project of a file of an artefact, where it is one.
func ofProject(name string) (rel string, ok bool) {
	for _, own := range []string{SourceDir, ProgramDir + "/"} {
		if rel, ok := strings.CutPrefix(name, own); ok {
			return rel, true
		}
	}
	return name, strings.HasPrefix(name, function.PublicDir) || strings.HasPrefix(name, function.AssetsDir)
}

// survey is what a project consists of, before anything is read.
type survey struct {
	exclude function.Excludes
	known   names
	names   []string         // of sources that are in no other part of the artefact
	sizes   map[string]int64 // of all files that are deployed
	left    []string         // left out for what they are, and said so
	built   bool             // bin and obj are what .NET builds
	walked  int
}

func (s *survey) visit(name string, e fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	if s.walked++; s.walked > maxWalked {
		return fault.New(fault.Invalid, fmt.Sprintf("the directory has more than %d files: it does not look like a function's", maxWalked)).WithCode("sources_too_large").
			WithHint("go to the function's own directory")
	}
	base, atRoot := e.Name(), !strings.Contains(name, "/")
	switch {
	case strings.HasPrefix(base, "."), keptHere(name), s.exclude.Match(name, e.IsDir()), notSource[base], // which may be a link, too
		e.IsDir() && atRoot && (notSourceAtRoot[base] || s.built && (base == "bin" || base == "obj")):
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	case e.IsDir():
		return nil
	}
	if _, there := s.sizes[name]; there { // in another part of the artefact
		return nil
	}
	if why := s.unfit(name, e); why != "" {
		s.left = append(s.left, fmt.Sprintf("%.100q (%s)", name, why))
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	s.names, s.sizes[name] = append(s.names, name), info.Size()
	return nil
}

// unfit is why a file is not kept; empty: it is.
func (s *survey) unfit(name string, e fs.DirEntry) string {
	switch {
	case !e.Type().IsRegular():
		return kindOf(e.Type())
	case slices.Contains(keyFiles, strings.ToLower(path.Ext(name))):
		return "a private key, by its name"
	case s.known.add(SourceDir+name) != nil:
		return "its name is not one on all systems"
	}
	return ""
}

// fits checks the limits.
func (s *survey) fits() error {
	size := int64(0)
	for _, n := range s.sizes {
		size += n
	}
	if len(s.sizes) > MaxFiles {
		dirs := map[string]int64{}
		for name := range s.sizes {
			dirs[top(name)]++
		}
		most := largest(dirs)
		list := make([]string, len(most))
		for i, d := range most {
			list[i] = fmt.Sprintf("%s (%d)", d, dirs[d])
		}
		return tooMuch(fmt.Sprintf("the project has %d files; at most %d can be deployed. Most are in %s", len(s.sizes), MaxFiles, strings.Join(list, ", ")), most[0])
	}
	if size > MaxBytes {
		most := largest(s.sizes)
		list := make([]string, len(most))
		for i, f := range most {
			list[i] = fmt.Sprintf("%s (%s)", f, megabytes(s.sizes[f]))
		}
		return tooMuch(fmt.Sprintf("the project has %s; at most %d MiB can be deployed. The largest files are %s", megabytes(size), MaxBytes>>20, strings.Join(list, ", ")), most[0])
	}
	return nil
}

// megabytes rounds up: a byte over the limit is not the limit.
func megabytes(n int64) string {
	const tenth = (1 << 20) / 10.0
	tenths := int64(float64(n)/tenth + 0.999999)
	return fmt.Sprintf("%d.%d MiB", tenths/10, tenths%10)
}

func tooMuch(text, first string) error {
	return fault.New(fault.Invalid, text).WithCode("sources_too_large").
		WithHint(fmt.Sprintf("name what the function does not need in its manifest: \"exclude\": [%q]; large files belong into its storage", strings.TrimSuffix(first, "/")))
}

// top is the directory of a project that a file is in, or the project's own.
func top(name string) string {
	if dir, _, ok := strings.Cut(name, "/"); ok {
		return dir + "/"
	}
	return "./"
}

// largest are the three with the most, in order.
func largest(of map[string]int64) []string {
	all := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b))
	})
	return all[:min(3, len(all))]
}

// ErrNoSources says that an artefact was made without them.
var ErrNoSources = errors.New("the artefact has no sources")

// Sources is the project as a zip file: the sources, the files that are served or
// read, and those of a program, by their names in the project. extra are files
// more, such as those that say what is missing. The same artefact gives the
// same bytes.
func (a *Archive) Sources(extra map[string][]byte) ([]byte, error) {
	files, err := a.project()
	if err != nil {
		return nil, err
	}
	for name, data := range extra {
		if files[name] == nil {
			files[name] = data
		}
	}
	var out bytes.Buffer
	if err := write(&out, files); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Leaks tells of values, by their names, that stand in a file of the project, where
// whoever may download the function reads them.
func (a *Archive) Leaks(values map[string]string) (found []string, err error) {
	files, err := a.project()
	if err != nil {
		return nil, err
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if bytes.Contains(files[file], []byte(values[name])) {
				found = append(found, "the value of "+name+" stands in "+file+", which is deployed: take it out, and give the secret another value")
			}
		}
	}
	return found, nil
}

// project are the files of the project, by their names in it.
func (a *Archive) project() (map[string][]byte, error) {
	if len(a.sources) == 0 {
		return nil, ErrNoSources
	}
	files := map[string][]byte{}
	for name, data := range a.files {
		if rel, ok := ofProject(name); ok && name != manifestFile {
			files[rel] = data
		}
	}
	left := int64(MaxBytes)
	for _, f := range a.sources {
		data, err := readFile(f, left)
		if err != nil {
			return nil, err
		}
		left -= int64(len(data))
		files[strings.TrimPrefix(f.Name, SourceDir)] = data
	}
	return files, nil
}

// CheckSources reads the sources and forgets them: a deploy refuses what could
// not be downloaded later.
func (a *Archive) CheckSources() error {
	left := int64(MaxBytes)
	for _, f := range a.sources {
		data, err := readFile(f, left)
		if err != nil {
			return err
		}
		left -= int64(len(data))
	}
	return nil
}

// write writes files into a zip file that depends on nothing but them: sorted,
// without times, with one compression.
func write(out *bytes.Buffer, files map[string][]byte) error {
	z := zip.NewWriter(out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("pack the files: %w", err)
	}
	return nil
}
