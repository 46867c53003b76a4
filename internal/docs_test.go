package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var inBackticks = regexp.MustCompile("`((?:internal|runtime|cmd|docs|scripts|bench|examples|test)/[A-Za-z0-9_./-]+)`")

// link is a link to a file of this repository.
var link = regexp.MustCompile(`\]\(([A-Za-z0-9_./-]+)(?:#[a-z0-9-]*)?\)`)

// The documents name only what there is.
func TestDocsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob("../docs/*.md")
	named := 0
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			named++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
		for _, m := range inBackticks.FindAllStringSubmatch(string(text), -1) {
			named++
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d paths found in the documents: the pattern is broken", named)
	}
	readme, _ := os.ReadFile("../README.md")
	if n := strings.Count(string(readme), "\n"); n > 150 {
		t.Errorf("README.md has %d lines; at most 150", n)
	}
	arch, _ := os.ReadFile("../ARCHITECTURE.md")
	if n := strings.Count(string(arch), "\n"); n > 250 {
		t.Errorf("ARCHITECTURE.md has %d lines; at most 250", n)
	}
	// The drawing of the house names every package, and no other.
	_, house, _ := strings.Cut(string(arch), "## The house\n```\n")
	house, _, _ = strings.Cut(house, "```")
	drawn := map[string]bool{}
	for _, word := range regexp.MustCompile(`[a-z]+`).FindAllString(house, -1) {
		drawn[word] = true
	}
	dirs, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if d.IsDir() && !drawn[d.Name()] {
			t.Errorf("ARCHITECTURE.md does not draw the package %s", d.Name())
		}
	}
	for _, name := range drawnPackage.FindAllStringSubmatch(house, -1) {
		if _, err := os.Stat(name[1]); err != nil {
			t.Errorf("ARCHITECTURE.md draws the package %s, which is not there", name[1])
		}
	}
}

// drawnPackage is a line of the drawing: a floor's name or spaces, then a
// package and what it is for.
var drawnPackage = regexp.MustCompile(`(?m)^ [a-z ]{8} ([a-z]+)  +\S`)
