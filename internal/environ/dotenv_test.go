package environ_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
)

// read is what a text says, a line an entry: "3 NAME=value".
func read(entries []environ.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%d %s=%s", e.Line, e.Name, e.Value.Reveal()))
	}
	return out
}

func TestParseDotenv(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		"empty":                        {"", nil},
		"keys only":                    {"A=\nB=\n", []string{"1 A=", "2 B="}},
		"a value":                      {"A=one", []string{"1 A=one"}},
		"spaces around":                {"  A =  one two \t\n", []string{"1 A=one two"}},
		"comments and blank lines":     {"# keys\n\n   # more\nA=1 # why\nB= # later\n", []string{"4 A=1", "5 B="}},
		"a # that is no comment":       {"A=one#two\nB=#three", []string{"1 A=one#two", "2 B=#three"}},
		"export":                       {"export A=1\nexport\tB=2", []string{"1 A=1", "2 B=2"}},
		"equals signs":                 {"A==b=c==", []string{"1 A==b=c=="}},
		"quotation marks":              {`A="one # two"` + "\nB='three \\n'\nC=`it's \"so\"`", []string{"1 A=one # two", `2 B=three \n`, `3 C=it's "so"`}},
		"a comment behind them":        {"A='one' # two\nB=\"\"", []string{"1 A=one", "2 B="}},
		"marks inside a value":         {"A=it's\nB=a\"b\"", []string{"1 A=it's", `2 B=a"b"`}},
		"escapes":                      {`A="a\nb\tc\"d\\e\$f\r"`, []string{"1 A=a\nb\tc\"d\\e$f\r"}},
		"other backslashes":            {`A="C:\dir\x"` + "\n" + `B=C:\new`, []string{`1 A=C:\dir\x`, `2 B=C:\new`}},
		"nothing is expanded":          {"A=pa$$word$HOME${A}\nB=\"$A `id`\"", []string{"1 A=pa$$word$HOME${A}", "2 B=$A `id`"}},
		"several lines":                {"A='-----BEGIN\nabc=\n-----END'\nB=\"x\ny\"\nC=1", []string{"1 A=-----BEGIN\nabc=\n-----END", "4 B=x\ny", "6 C=1"}},
		"carriage returns":             {"A=1\r\n\r\nB='x\r\ny'\r\nC=\r\n", []string{"1 A=1", "3 B=x\ny", "5 C="}},
		"byte order mark":              {"\xef\xbb\xbfA=1", []string{"1 A=1"}},
		"no line feed at the end":      {"A=1\nB=\"2\"", []string{"1 A=1", "2 B=2"}},
		"characters":                   {"A=grün ☃\n", []string{"1 A=grün ☃"}},
		"a name with digits":           {"_A1=x", []string{"1 _A1=x"}},
		"a key that is a word of ours": {"EXPORT=1", []string{"1 EXPORT=1"}},
	} {
		entries, flaws := environ.ParseDotenv([]byte(tc.in))
		if d := cmp.Diff(tc.want, read(entries)); d != "" || flaws != nil {
			t.Errorf("%s: %s%v", name, d, flaws)
		}
	}
}

func TestParseDotenv_Refuses(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	for name, tc := range map[string]struct{ in, want, hint string }{
		"no equals sign":             {"A=1\n" + hidden, "2:1 the line has no =", "quotation marks"},
		"lower case":                 {"stripe_key=" + hidden, "1:1 what stands before = is no name", "write STRIPE_KEY="},
		"dashes and dots":            {"  stripe-secret.key =" + hidden, "1:3 what stands before = is no name", "write STRIPE_SECRET_KEY="},
		"a key pasted over lines":    {"MIIEhunter2xAYB==", "1:1 what stands before = is no name", "quotation marks"},
		"begins with a digit":        {"1A=" + hidden, "1:1 what stands before = is no name", ""},
		"nothing before":             {"=" + hidden, "1:1 what stands before = is no name", ""},
		"a space within":             {"A B=" + hidden, "1:1 what stands before = is no name", ""},
		"a name that is too long":    {strings.Repeat("A", 200) + "=" + hidden, "is no name", ""},
		"twice":                      {"A=" + hidden + "\nB=\nA=2", "3:1 A stands in line 1 already", "take out line 1 or line 3"},
		"never closed":               {"B=1\nA=  \"" + hidden + "\nC=2\n", "2:5 the value's quotation mark is never closed", `end the value with "`},
		"never closed, single":       {"A='" + hidden, "1:3 the value's quotation mark", "end the value with '"},
		"something behind":           {"A='x' " + hidden, "1:7 something follows", ""},
		"marks that follow":          {`A="x""` + hidden, "1:6 something follows", ""},
		"a comment without a space":  {"A='x'#" + hidden, "1:6 something follows", ""},
		"a comment in a quoted rest": {"A=\"" + hidden + "\n# \"B\" = c", "2:4 something follows", ""},
		"UTF-16":                     {"\xff\xfeA\x00=\x00h\x00", "1:1 the file is not UTF-8", "save the file as UTF-8"},
		"a NUL":                      {"A=1\nB=hun\x00ter2", "2:6 the file is not UTF-8", ""},
		"Latin-1":                    {"A=1\nB=gr\xfcn", "2:5 the file is not UTF-8", ""},
		"column in characters":       {"A='äöü' x", "1:9 something follows", ""},
	} {
		_, flaws := environ.ParseDotenv([]byte(tc.in))
		if len(flaws) == 0 {
			t.Errorf("%s: is taken", name)
			continue
		}
		f := flaws[0]
		if got := fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Text); !strings.Contains(got, tc.want) || !strings.Contains(f.Hint, tc.hint) {
			t.Errorf("%s: %s (%s), want %s (%s)", name, got, f.Hint, tc.want, tc.hint)
		}
		if strings.Contains(fmt.Sprint(flaws), "unter2") {
			t.Errorf("%s: a value is told: %v", name, flaws)
		}
	}
	if _, flaws := environ.ParseDotenv([]byte("a=\nB=\nc.d=\nB=")); len(flaws) != 3 {
		t.Errorf("not each line that is wrong is told: %v", flaws)
	}
	if _, flaws := environ.ParseDotenv([]byte(strings.Repeat("x\n", 1000))); len(flaws) != 20 {
		t.Errorf("%d flaws are told", len(flaws))
	}
}

func FuzzParseDotenv(f *testing.F) {
	for _, seed := range []string{"A=1\nB='x\ny' # z\n", "export A=\"\\n\\\"\"\r\n", "\xef\xbb\xbfA=", "a-b=1\n=\n\"", "A=`x`\nA=2", "\xff\xfeA\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, flaws := environ.ParseDotenv(data)
		names := map[string]bool{}
		for _, e := range entries {
			if len(flaws) == 0 && (names[e.Name] || e.Name == "" || e.Line < 1 || strings.Trim(e.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "") {
				t.Fatalf("%q: %+v", data, entries)
			}
			names[e.Name] = true
		}
		if len(flaws) > 0 {
			return
		}
		// What was read says the same when it is written down in another way.
		var again strings.Builder
		for _, e := range entries {
			fmt.Fprintf(&again, "%s=\"%s\"\n", e.Name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(e.Value.Reveal()))
		}
		twice, flaws := environ.ParseDotenv([]byte(again.String()))
		if len(flaws) > 0 || len(twice) != len(entries) {
			t.Fatalf("%q became %q: %v", data, again.String(), flaws)
		}
		for i := range twice {
			if twice[i].Name != entries[i].Name || twice[i].Value.Reveal() != entries[i].Value.Reveal() {
				t.Fatalf("%q became %q", data, again.String())
			}
		}
	})
}

func TestReadDotenv(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got, err := environ.ReadDotenv(dir); err != nil || got.Present {
		t.Errorf("no file: %+v, %v", got, err)
	}
	path := filepath.Join(dir, ".env")
	write := func(mode os.FileMode, text string) {
		t.Helper()
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o644, 0o400} {
		write(mode, "A=1\nB=\n")
		got, err := environ.ReadDotenv(dir)
		if d := cmp.Diff([]string{"1 A=1", "2 B="}, read(got.Entries)); d != "" || err != nil || !got.Present || got.Open != (mode == 0o644) && runtime.GOOS != "windows" {
			t.Errorf("mode %o: %v, open %v, %s", mode, err, got.Open, d)
		}
	}
	write(0o600, "A=1\na.b=2\nA=hunter2\n")
	_, err := environ.ReadDotenv(dir)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "dotenv_invalid" || f.Hint != "write A_B=" ||
		f.Text != ".env:2:1: what stands before = is no name: use upper-case letters, digits and underscores\n.env:3:1: A stands in line 1 already" {
		t.Errorf("flaws: %v", err)
	}
	write(0o600, strings.Repeat("#", 1<<20+1))
	if _, err := environ.ReadDotenv(dir); err == nil || !strings.Contains(err.Error(), "larger than 1024 KiB") {
		t.Errorf("a large file: %v", err)
	}
}

// What is no file is not read: a link would let a project choose which file of its
// reader is sent as its settings, and a pipe would hold the command up.
func TestReadDotenv_RefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	theirs := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(theirs, []byte("TOKEN=hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"a link":      func(p string) error { return os.Symlink(theirs, p) },
		"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"a pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
	} {
		dir := t.TempDir()
		if err := put(filepath.Join(dir, ".env")); err != nil {
			t.Fatal(err)
		}
		_, err := environ.ReadDotenv(dir)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "dotenv_invalid" || f.Hint == "" || strings.Contains(f.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
