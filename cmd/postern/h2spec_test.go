package main_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// h2spec runs the conformance tests of that name against an address, and
// returns which of them fail and how many there were.
func h2spec(program, addr, path, report string) (failed map[string]bool, ran int, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, 0, err
	}
	out, err := exec.Command(program, "--tls", "--insecure", "--strict", "--host", host, "--port", port, "--path", path, "--junit-report", report).CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok { // its code says that some failed
		return nil, 0, err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %s", err, out)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Package string    `xml:"package,attr"`
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		return nil, 0, err
	}
	failed = map[string]bool{}
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			if ran++; c.Failure != nil || c.Error != nil {
				failed[c.Package+": "+c.Name] = true
			}
		}
	}
	return failed, ran, nil
}

// In HTTP/2 the gateway fails no test that Go's own server passes.
func TestH2Spec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "h2spec")
	if out, err := exec.Command("go", "-C", "../../test/h2spec", "build", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec").CombinedOutput(); err != nil {
		t.Fatalf("h2spec does not build: %v\n%s", err, out)
	}
	g := newSecureTarget(t)
	bare := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	}))
	bare.EnableHTTP2, bare.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	bare.StartTLS()
	defer bare.Close()

	// A case that fails once may have met a busy machine: one that is worse has
	// to fail each time, and beside it the bare server has to pass each time.
	var worse map[string]bool
	for try := range 3 {
		type result struct {
			failed map[string]bool
			ran    int
			err    error
		}
		results := [2]chan result{make(chan result), make(chan result)}
		for i, at := range [2][2]string{{g.addr, "/fn/f/health"}, {bare.Listener.Addr().String(), "/"}} {
			go func() {
				failed, ran, err := h2spec(program, at[0], at[1], filepath.Join(dir, fmt.Sprintf("%d-%d.xml", i, try)))
				results[i] <- result{failed, ran, err}
			}()
		}
		ours, theirs := <-results[0], <-results[1]
		if err := errors.Join(ours.err, theirs.err); err != nil {
			t.Fatal(err)
		}
		if ours.ran < 140 || ours.ran != theirs.ran || len(theirs.failed) > 10 {
			t.Fatalf("%d tests of ours and %d of Go's own, of which %d fail", ours.ran, theirs.ran, len(theirs.failed))
		}
		for i := range ours.ran {
			tried(t, "h2spec", strconv.Itoa(i))
		}
		t.Logf("%d tests: %d of ours fail, and %d of Go's own", ours.ran, len(ours.failed), len(theirs.failed))
		for name := range ours.failed {
			if theirs.failed[name] || worse != nil && !worse[name] {
				delete(ours.failed, name)
			}
		}
		if worse = ours.failed; len(worse) == 0 {
			return
		}
	}
	for name := range worse {
		t.Errorf("fails here and not with Go's own server: %s", name)
	}
}
