package bundle

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern.dev/postern/internal/function"
)

// names are those of the files in public/ and assets/, of a program, and of sources, checked alike when an
// artefact is built and when it is opened. What passes is below one of them,
// means one path in every file system and one address, and hides nothing.
type names map[string]string // of files and directories: folded, then as written; a file's has a mark behind it

const maxName = 512

// add takes one more name, or says what is wrong with it.
func (n names) add(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	for i, c := range name + "/" {
		if c != '/' {
			continue
		}
		as := name[:i]
		if i == len(name) {
			as += "\x00" // nothing can be both file and directory, or the same file twice
		}
		folded := fold(name[:i])
		before, there := n[folded]
		if there && (before != as || i == len(name)) {
			return fmt.Errorf("%q and %q are one name on some file systems", strings.TrimSuffix(before, "\x00"), name[:i])
		}
		n[folded] = as
	}
	return nil
}

// CheckSourceName says what is wrong with the name of a file in a project, as one
// of the sources. It is not hidden: what begins with a dot is read by tools that run
// what it says, such as .git/config.
func CheckSourceName(name string) error {
	if strings.HasPrefix(name, function.PublicDir) || strings.HasPrefix(name, function.AssetsDir) {
		return checkName(name)
	}
	return checkName(SourceDir + name)
}

// fold is the same of all names that differ in case alone (Unicode's simple
// folding): some file systems hold them for one.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

func checkName(name string) error {
	switch {
	case !strings.HasPrefix(name, function.PublicDir) && !strings.HasPrefix(name, function.AssetsDir) && !strings.HasPrefix(name, ProgramDir+"/") && !strings.HasPrefix(name, SourceDir):
		return fmt.Errorf("%.100q is neither in public/ nor in assets/", name)
	case len(name) > maxName:
		return fmt.Errorf("%.100q is longer than %d bytes", name, maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%.100q is not in UTF-8", name)
	case !fs.ValidPath(name):
		return fmt.Errorf("%.100q is no plain relative path", name)
	}
	for _, r := range name {
		switch {
		case !unicode.IsPrint(r) || r == '\\' || r == utf8.RuneError:
			return fmt.Errorf("%.100q has a character that cannot stand in a name", name)
		case composes(r):
			return fmt.Errorf("%.100q has a letter in two pieces (Unicode NFD), which some file systems put together: write it in one", name)
		}
	}
	for i, segment := range strings.Split(name, "/") {
		switch {
		case hidden(segment, i):
			return fmt.Errorf("%.100q is hidden: its name begins with a dot", name)
		case strings.Trim(segment, " ") != segment || strings.HasSuffix(segment, "."):
			return fmt.Errorf("%.100q has a name that begins or ends with a space, or ends with a dot", name)
		case len(segment) > 255:
			return fmt.Errorf("%.100q has a name of more than 255 bytes", name)
		}
	}
	return nil
}

// hidden reports whether a segment of a name begins with a dot. The one that
// may is RFC 8615's, directly in public/ or assets/.
func hidden(segment string, depth int) bool {
	return strings.HasPrefix(segment, ".") && !(segment == ".well-known" && depth == 1)
}

// composes reports whether a character joins the one before it to another that
// looks the same: the marks of Latin, Greek and Cyrillic, of kana, and the jamo
// of Hangul.
func composes(r rune) bool {
	return r >= 0x300 && r <= 0x36f || r == 0x3099 || r == 0x309a || r >= 0x1160 && r <= 0x11ff
}
