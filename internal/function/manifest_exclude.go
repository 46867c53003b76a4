package function

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

const (
	maxExcludes = 256
	excludeHint = `write: "exclude": ["docs", "*.psd", "test/fixtures/"], as in .gitignore, but without "!"`
)

// Excludes are patterns of what of a project is not deployed, in the manner of
// .gitignore: one without a slash matches a name at any depth, one with a slash
// a path below the project's directory, one that ends with a slash directories
// only, and ** any number of directories.
type Excludes []string

// exclude reads the patterns.
func (p *parser) exclude(f member) error {
	return p.list(f, maxExcludes, excludeHint, "the manifest", func(text string) error {
		p.m.Exclude = append(p.m.Exclude, text)
		return checkExclude(text)
	})
}

func checkExclude(text string) error {
	if strings.HasPrefix(text, "!") {
		return errors.New("a pattern cannot take back another: name what is left out, and nothing else")
	}
	for _, s := range strings.Split(strings.Trim(text, "/"), "/") {
		if _, err := path.Match(s, ""); err != nil || s == "" || s == "." || s == ".." || len(text) > 1024 || strings.ContainsAny(text, "\\\x00") {
			return fmt.Errorf("%.128q is no pattern of names", text)
		}
	}
	return nil
}

// Match reports whether a file or directory of the project is left out, by its
// path with slashes.
func (e Excludes) Match(name string, isDir bool) bool {
	for _, pattern := range e {
		if strings.HasSuffix(pattern, "/") && !isDir {
			continue
		}
		trimmed := strings.TrimSuffix(pattern, "/")
		if !strings.Contains(trimmed, "/") {
			if ok, _ := path.Match(trimmed, path.Base(name)); ok {
				return true
			}
		} else if matchPath(strings.Split(strings.TrimPrefix(trimmed, "/"), "/"), strings.Split(name, "/")) {
			return true
		}
	}
	return false
}

// matchPath matches a path segment by segment. ** stands for any number of them,
// but at the end for one at least: what is in a directory, and not itself.
func matchPath(pattern, name []string) bool {
	for len(pattern) > 0 && pattern[0] != "**" {
		if len(name) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], name[0]); !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	if len(pattern) == 0 {
		return len(name) == 0
	}
	for len(pattern) > 1 && pattern[1] == "**" { // two in a row are one, or the work would grow with their number
		pattern = pattern[1:]
	}
	if len(pattern) == 1 {
		return len(name) > 0
	}
	for i := range name {
		if matchPath(pattern[1:], name[i:]) {
			return true
		}
	}
	return false
}
