package devserver

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/signin"
	"postern.dev/postern/internal/worker"
)

// codeBroken is the code of the answer while the last build serves nobody.
const codeBroken = "development_failed"

// failureOf says why a version does not serve.
func (s *Server) failureOf(err error) *Failure {
	f := &Failure{Text: err.Error()}
	if e, ok := errors.AsType[*worker.StartError](err); ok {
		f.Code, f.Text = cmp.Or(startCodes[e.Code], "smoke_test_failed"), e.Message
		if e.Stack != "" {
			f.Text = s.ownFrames(e.Stack)
		}
		if len(e.LastLines) > 0 && e.Code != "module_failed" {
			f.Text += "\nIts last lines:\n  " + strings.Join(e.LastLines, "\n  ")
		}
	} else if e, ok := errors.AsType[*fault.Error](err); ok {
		f.Code, f.Text, f.Hint = e.Code, e.Text, e.Hint
		if e.Kind == fault.Internal {
			f.Text = err.Error()
		}
		if e.Code == "bundle_failed" && strings.HasSuffix(f.Hint, "nothing was deployed") {
			f.Hint = ""
		}
	}
	c, _ := httpx.Lookup(f.Code)
	f.Title = cmp.Or(c.Title, "The function cannot be run")
	f.Frame = s.frame(f.Text)
	return f
}

// startCodes are those of a worker that have a code of their own.
var startCodes = map[string]string{"module_failed": "module_failed", "setup_failed": "setup_failed", "auth_malformed": "auth_malformed", "no_handlers": "no_handlers", "spawn_failed": "start_failed"}

// ownFrames is a text whose stacks have the developer's own code alone, with its
// paths below the project.
func (s *Server) ownFrames(text string) string {
	var kept []string
	for line := range strings.SplitSeq(deploy.OwnFrames(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "at ") && strings.Contains(line, bootFile) {
			continue
		}
		kept = append(kept, line)
	}
	text = strings.Join(kept, "\n")
	text = strings.ReplaceAll(text, "file://"+s.runDir+"/", "")
	return strings.ReplaceAll(text, s.runDir+"/", "")
}

// position finds a place in a text: "function.ts:3:5".
var position = regexp.MustCompile(`(?m)(?:^|[\s(])([^\s():]+\.[a-z]+):(\d+):(\d+)`)

// context is how many lines are shown before and behind a place.
const contextLines = 2

// frame is the first place in a text that is in the project; nil: there is none.
func (s *Server) frame(text string) *Frame {
	for _, m := range position.FindAllStringSubmatch(text, 20) {
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		file := filepath.Join(s.project.Dir(), filepath.FromSlash(m[1]))
		if rel, err := filepath.Rel(s.project.Dir(), file); err != nil || strings.HasPrefix(rel, "..") || line < 1 {
			continue
		}
		if f := readFrame(file, line); f != nil {
			f.File, f.Line, f.Column = m[1], line, max(column, 1)
			return f
		}
	}
	return nil
}

// readFrame reads the lines around a line; nil: there is no such line.
func readFrame(file string, line int) *Frame {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	out := &Frame{First: max(line-contextLines, 1)}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan() && n <= line+contextLines; n++ {
		if n >= out.First {
			text := lines.Text()
			out.Lines = append(out.Lines, text[:min(len(text), 400)])
		}
	}
	if len(out.Lines) == line-out.First && line > 1 {
		out.Lines = append(out.Lines, "") // behind the last line, where something is missing
	}
	if len(out.Lines) <= line-out.First {
		return nil
	}
	return out
}

// inspectorSays is how Node's own lines about its inspector begin, which it writes
// where errors go, at each start.
var inspectorSays = []string{"Debugger listening on ws://", "For help, see: https://nodejs.org/", "Debugger attached.", "Waiting for the debugger to disconnect"}

// line takes a line that the function wrote.
func (s *Server) line(l worker.Line) {
	if s.o.Inspect > 0 && slices.ContainsFunc(inspectorSays, func(begin string) bool { return strings.HasPrefix(l.Text, begin) }) {
		return
	}
	if strings.Contains(l.Text, "\n    at ") {
		l.Text = s.ownFrames(l.Text)
	}
	s.feed.add(Event{At: l.At, Line: &Line{Level: l.Level, RequestID: l.RequestID, Text: l.Text}})
}

// told is the body of a problem here: with what its developer wants to know.
type told struct {
	httpx.Problem
	Stack string `json:"stack,omitempty"`
	Frame *Frame `json:"frame,omitempty"`
}

// problem answers with a refusal or a failure. What is the developer's own doing
// is told with its stack, to a browser as a page.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error, id string) httpx.Problem {
	f := &Failure{}
	if fromOutside(r) {
		return httpx.WriteProblem(w, err, id)
	}
	if e, ok := errors.AsType[*worker.InvocationError](err); ok && e.Code != "body_malformed" {
		f.Text = s.ownFrames(cmp.Or(e.Stack, e.Message))
	} else if _, ok := errors.AsType[*worker.StartError](err); ok {
		f = s.failureOf(err)
	} else {
		return httpx.WriteProblem(w, err, id)
	}
	p := told{Problem: httpx.ProblemOf(err, id), Stack: f.Text, Frame: cmp.Or(f.Frame, s.frame(f.Text))}
	p.Detail, _, _ = strings.Cut(f.Text, "\n")
	if p.Code == "handler_failed" {
		p.Hint = "the stack is of your code; save it corrected and call again"
	}
	s.write500(w, r, p)
	return p.Problem
}

var errAtWork = fault.New(fault.Unavailable, "the function is being worked on, and does not run at the moment").WithCode("start_failed").WithHint("try again later; its developer is told why")

// writeFailure answers a call while nothing serves.
func (s *Server) writeFailure(w http.ResponseWriter, r *http.Request, f *Failure, id string) {
	if fromOutside(r) {
		httpx.WriteProblem(w, errAtWork, id)
		return
	}
	c, _ := httpx.Lookup(codeBroken)
	p := told{Problem: httpx.Problem{Type: "urn:postern:problem:" + codeBroken, Title: f.Title, Status: c.Status, Code: codeBroken, Hint: cmp.Or(f.Hint, c.Remedy), RequestID: id}, Stack: f.Text, Frame: f.Frame}
	p.Detail, _, _ = strings.Cut(f.Text, "\n")
	s.write500(w, r, p)
}

// write500 writes a problem, as a page to a browser that opens one.
func (s *Server) write500(w http.ResponseWriter, r *http.Request, p told) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	var body []byte
	if r.Method == http.MethodGet && signin.Navigates(r.Header) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		var b bytes.Buffer
		if err := failurePage.Execute(&b, p); err != nil {
			s.o.Log.Error("the page of a failure was not made", "error", err)
		}
		body = b.Bytes()
	} else {
		h.Set("Content-Type", httpx.ContentType)
		body, _ = json.Marshal(p) // texts and numbers: cannot fail
		body = append(body, '\n')
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	w.Write(body)
}

// Numbered are the lines of a frame for people, the one that is meant marked.
func (f *Frame) Numbered() (out []NumberedLine) {
	for i, text := range f.Lines {
		n := f.First + i
		l := NumberedLine{Number: n, Text: text, Here: n == f.Line}
		if l.Here {
			l.Marker = marker(text, f.Column)
		}
		out = append(out, l)
	}
	return out
}

// NumberedLine is a line of a frame.
type NumberedLine struct {
	Number int
	Text   string
	Here   bool
	Marker string // what stands below the line, up to its column
}

// marker is blank up to a column, with the line's tabs.
func marker(text string, column int) string {
	var b strings.Builder
	n := 1
	for _, r := range text {
		if n >= column {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
		n++
	}
	return b.String() + "^"
}

// failurePage is what a browser is shown. Every text may be anybody's.
var failurePage = template.Must(template.New("failure").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Status}} {{.Title}}</title>
<style>
:root { color-scheme: light dark; --ground: #f4f5f7; --card: #fff; --line: #d5d9e0; --text: #1a1f29; --soft: #5a6372; --bad: #a32020; --badbg: #fdeeee; }
@media (prefers-color-scheme: dark) { :root { --ground: #11141a; --card: #1a1f28; --line: #343c4a; --text: #e8ebf1; --soft: #9aa4b5; --bad: #ffb1ab; --badbg: #3a1d1f; } }
body { margin: 0; padding: 2rem 1.25rem; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .9rem; }
h1 { margin: 0; font-size: 1.3rem; color: var(--bad); } .where { color: var(--soft); margin: .2rem 0 1rem; }
pre { margin: 1rem 0; padding: .8rem 1rem; overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; font: .88rem/1.5 ui-monospace, monospace; }
.here { background: var(--badbg); color: var(--bad); } .soft { color: var(--soft); }
</style>
<main><h1>{{.Title}}</h1>
<p class="where">{{with .Frame}}{{.File}}:{{.Line}}:{{.Column}} · {{end}}{{.Code}}</p>
{{with .Frame}}<pre>{{range .Numbered}}<span{{if .Here}} class="here"{{end}}>{{printf "%5d" .Number}} │ {{.Text}}</span>
{{if .Here}}<span class="here">      │ {{.Marker}}</span>
{{end}}{{end}}</pre>{{end}}
<pre>{{.Stack}}</pre>
{{with .Hint}}<p>{{.}}</p>{{end}}
<p class="soft">This page is shown in development only. Save the file, then reload. Request {{.RequestID}}</p>
</main></html>
`))
