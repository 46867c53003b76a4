package main_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/security-tests.md with the cases of the tests that ran")

// cases are those that the tests of this run tried, by the test's name: the
// page that lists them says no other numbers.
var cases struct {
	mu    sync.Mutex
	tried map[string]map[[32]byte]bool // guarded by mu
}

// tried takes down that a case was tried: a name and what was sent. The same
// again counts once.
func tried(t testing.TB, name, sent string) {
	cases.mu.Lock()
	defer cases.mu.Unlock()
	top, _, _ := strings.Cut(t.Name(), "/")
	if cases.tried == nil {
		cases.tried = map[string]map[[32]byte]bool{}
	}
	if cases.tried[top] == nil {
		cases.tried[top] = map[[32]byte]bool{}
	}
	cases.tried[top][sha256.Sum256([]byte(t.Name()+"\x00"+name+"\x00"+sent))] = true
}

// checkPage fails if the page says more than what ran, or writes it. A part of a
// test has a part of its cases: then there is nothing to compare.
func checkPage() error {
	if narrowed := flag.Lookup("test.run").Value.String() + flag.Lookup("test.skip").Value.String(); strings.Contains(narrowed, "/") {
		return nil
	}
	cases.mu.Lock()
	defer cases.mu.Unlock()
	const path = "../../docs/security-tests.md"
	old, err := os.ReadFile(path)
	if err != nil && !*update {
		return err
	}
	numbers := numbersOf(string(old))
	there := map[string]int{}
	for test, tried := range cases.tried {
		if families.name(test) {
			there[test] = len(tried)
		}
	}
	if err := families.count(there); err != nil {
		return err
	}
	for test, n := range there {
		if *update || numbers[test] > n {
			numbers[test] = n
		}
	}
	page := families.page(numbers)
	if *update {
		return os.WriteFile(path, []byte(page), 0o644)
	}
	was, is := strings.Split(string(old), "\n"), strings.Split(page, "\n")
	for i := range is {
		if i >= len(was) || was[i] != is[i] {
			return fmt.Errorf("docs/security-tests.md:%d says more than what ran, or something else; go test ./cmd/postern -update writes:\n%s", i+1, is[i])
		}
	}
	return nil
}
