package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// asStory are commands that the stories start with a word of their own.
var asStory = map[string]string{"dev": "postern functions dev", "serve": "postern serve", "demo": "postern demo"}

// unrefused are commands that nothing keeps from being done: their stories have
// no refusal but that of a wrong command line, which is the same for all.
var unrefused = []string{"postern version", "postern demo", "postern completion"}

var refusal = regexp.MustCompile(`^(code [1-9]\d* |! exec )`)

// inStories is what the stories have of a command.
type inStories struct {
	refusals, successes int
	first               bool // in one story it is refused before it is done
}

// Every command has a story, in which it is refused before it is done.
func TestStories_OfEachCommand(t *testing.T) {
	t.Parallel()
	stories, err := filepath.Glob(filepath.Join("..", "..", "cmd", "postern", "testdata", "script", "*.txtar"))
	if err != nil || len(stories) < 40 {
		t.Fatalf("%d stories, %v", len(stories), err)
	}
	all := map[string]*inStories{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			walk(child)
		}
		if c.IsAvailableCommand() && !c.HasAvailableSubCommands() {
			all[c.CommandPath()] = &inStories{}
		}
	}
	top := root(Stdio{})
	top.InitDefaultCompletionCmd()
	walk(top)
	if len(all) < 50 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, path := range stories {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		story, _, _ := strings.Cut(string(text), "\n-- ")
		for name, of := range all {
			of.read(name, story)
		}
	}
	for name, of := range all {
		free := false
		for _, but := range unrefused {
			free = free || strings.HasPrefix(name, but)
		}
		if of.successes == 0 || !free && !of.first {
			t.Errorf("%s: %d refusals and %d successes in the stories, refused before it is done: %v", name, of.refusals, of.successes, of.first)
		}
	}
}

// read counts a command in a story.
func (of *inStories) read(name, story string) {
	refused := false
	for line := range strings.Lines(story) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		runs := asStory[word] == name
		for _, program := range []string{"postern", "$BUILT"} {
			called := program + strings.TrimPrefix(name, "postern")
			_, after, found := strings.Cut(line, called)
			runs = runs || found && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "std") && (after == "" || strings.ContainsRune(" '|\n", rune(after[0])))
		}
		switch {
		case !runs:
		case refusal.MatchString(line):
			of.refusals++
			refused = true
		default:
			of.successes++
			of.first = of.first || refused
		}
	}
}
