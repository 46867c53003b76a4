//go:build !windows

package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"postern.dev/postern/internal/devpage"
	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/scaffold"
)

// devScreen shows what happens while a function is worked on.
type devScreen struct {
	out     printer
	asJSON  bool
	d       *devserver.Server
	inspect int
	began   bool // the start was told
	named   string
	down    string // why the tunnel is down, as it was told
}

// follow shows events until ctx ends.
func (s *devScreen) follow(ctx context.Context) {
	for seq := int64(0); ; {
		events, more := s.d.Feed().After(seq)
		for _, e := range events {
			seq = e.Seq
			s.show(e)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

func (s *devScreen) show(e devserver.Event) {
	if s.asJSON {
		if e.Request != nil { // bodies are for who looks at one of them
			r := *e.Request
			r.Body, r.Answer.Body = nil, nil
			e.Request = &r
		}
		s.out.json(e)
		return
	}
	switch {
	case e.Build != nil:
		s.build(e.At, e.Build)
	case e.Request != nil:
		s.request(e.At, e.Request)
	case e.Line != nil:
		s.line(e.At, e.Line.Level, e.Line.Text)
	case e.Tunnel != nil:
		s.tunnel(clock(e.At), e.Tunnel)
	case e.Notice != nil:
		s.warning(e.Notice.Text)
	}
}

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

// took is a duration for people, to the millisecond.
func took(d time.Duration) string { return max(d.Round(time.Millisecond), time.Millisecond).String() }

func (s *devScreen) build(at time.Time, b *devserver.Build) {
	if !s.began {
		s.began = true
		s.head(b)
	}
	switch {
	case b.Failure != nil:
		s.failure(at, b)
	case s.named == "":
		s.start(b)
	default:
		s.out.line("%s %s in %s  %s", clock(at), s.out.paint(cyan, "rebuilt"), took(b.Took), clean(changed(b.Changed)))
		s.warnings(b)
	}
	if b.Failure == nil {
		s.named = b.Function.Name
	}
}

// changed names a few files.
func changed(paths []string) string {
	if len(paths) > 3 {
		return strings.Join(paths[:3], ", ") + fmt.Sprintf(" and %d more", len(paths)-3)
	}
	return strings.Join(paths, ", ")
}

// head is said of every start.
func (s *devScreen) head(b *devserver.Build) {
	name := ""
	if b.Function != nil {
		name = " " + clean(b.Function.Name)
	}
	s.out.line("postern functions dev%s\n", name)
	s.out.line("  %s", s.out.paint(cyan, s.d.URL()))
	s.out.line("  %s  requests, replay, callbacks", s.d.URL()+devpage.Dir)
	if s.inspect > 0 {
		s.out.line("  a debugger can attach at 127.0.0.1:%d (.vscode/launch.json: %q)", s.inspect, scaffold.LaunchName)
	}
	s.out.line("")
}

// start is said of the first version that serves.
func (s *devScreen) start(b *devserver.Build) {
	f := b.Function
	var rows [][]string
	for _, r := range f.Routes {
		path, guard := r.Path, r.Guard
		if r.Method != "" {
			path = r.Method + " " + path
		}
		if r.Deployed != "" {
			guard = "open here; " + r.Deployed + " when deployed"
		}
		if r.Group != "" {
			guard += ", group " + r.Group
		}
		if r.Asks != "" {
			guard += "; " + r.Asks
		}
		rows = append(rows, []string{path, r.Handler, guard})
	}
	s.out.table([]string{"ROUTE", "HANDLER", "GUARD"}, foldFiles(rows, 0, 1))
	s.out.line("")
	for _, line := range settingLines(f) {
		s.out.line("%s", clean(line))
	}
	if f.PairFrom != "" {
		s.out.line("guarded handlers are opened by PROJECT_ID_API_KEY and its secret (%s)", clean(f.PairFrom))
	}
	if f.Visibility == platform.Private {
		s.out.line("private: when it is deployed, only functions of its project reach it")
	}
	if f.Skipped && hasUnguarded(f) {
		s.warning("the function runs without credentials, so nobody is asked for any:\nhandlers that are guarded when deployed are open here.\n" +
			"To try them as deployed: postern auth login, or set PROJECT_ID_API_KEY and PROJECT_ID_API_SECRET")
	}
	if len(f.Missing) > 0 {
		s.warning(fmt.Sprintf("secrets without a value: %s. Store one with: postern secrets add %s", strings.Join(f.Missing, ", "), f.Missing[0]))
	}
	s.warnings(b)
	s.out.line("\nready in %s; saved files count from the next request. Ctrl-C ends it.\n", took(b.Took))
}

func hasUnguarded(f *devserver.Function) bool {
	for _, r := range f.Routes {
		if r.Deployed != "" {
			return true
		}
	}
	return false
}

// settingLines are the names of the settings, by where they are from.
func settingLines(f *devserver.Function) (lines []string) {
	var places []string
	names := map[string][]string{}
	for _, v := range f.Settings {
		from := v.From
		if len(names[from]) == 0 {
			places = append(places, from)
		}
		names[from] = append(names[from], v.Name)
	}
	for _, p := range places {
		lines = append(lines, fmt.Sprintf("from %-12s %s", p, strings.Join(names[p], ", ")))
	}
	return lines
}

func (s *devScreen) warnings(b *devserver.Build) {
	for _, w := range b.Warnings {
		s.warning(w)
	}
}

func (s *devScreen) warning(text string) {
	s.out.line("%s %s", s.out.paint(yellow, "warning:"), indent(clean(text)))
}

// failure is said of a version that does not serve.
func (s *devScreen) failure(at time.Time, b *devserver.Build) {
	f := b.Failure
	s.out.line("%s", strings.TrimRight(clock(at)+" "+s.out.paint(red, "failed: "+clean(f.Title))+"  "+clean(changed(b.Changed)), " "))
	s.out.line("  %s", indent(clean(withoutLine(f))))
	s.frame(f.Frame)
	if f.Hint != "" {
		s.out.line("  %s %s", s.out.paint(cyan, "hint:"), indent(clean(f.Hint)))
	}
	s.out.line("  callers are told of it until a file is saved that mends it")
}

// withoutLine is a failure's text without the line of code that the frame shows.
func withoutLine(f *devserver.Failure) string {
	if f.Frame == nil {
		return f.Text
	}
	here := strings.TrimSpace(f.Frame.Lines[f.Frame.Line-f.Frame.First])
	lines := strings.Split(f.Text, "\n")
	if len(lines) > 1 && strings.TrimSpace(lines[1]) == here {
		lines = append(lines[:1], lines[2:]...)
	}
	return strings.Join(lines, "\n")
}

// frame shows a place in the code.
func (s *devScreen) frame(f *devserver.Frame) {
	if f == nil {
		return
	}
	for _, l := range f.Numbered() {
		mark, text := " ", clean(strings.ReplaceAll(l.Text, "\t", "  "))
		if l.Here {
			mark = s.out.paint(red, ">")
		}
		s.out.line("  %s %4d | %s", mark, l.Number, text)
		if l.Here {
			s.out.line("         | %s", s.out.paint(red, strings.ReplaceAll(l.Marker, "\t", "  ")))
		}
	}
}

// request is one line for each call.
func (s *devScreen) request(at time.Time, r *devserver.Request) {
	status := fmt.Sprint(r.Status)
	switch {
	case r.Status >= 500:
		status = s.out.paint(red, status)
	case r.Status >= 400:
		status = s.out.paint(yellow, status)
	}
	line := fmt.Sprintf("%s %s %s %s %s", clock(at), clean(r.Method), clean(cutText(r.Path, 200)), status, took(r.Took))
	if r.Tunnel {
		line += "  tunnel"
	}
	if r.Who != "" {
		line += "  " + clean(cutText(r.Who, 100))
	}
	if r.Code != "" {
		line += "  " + r.Code
	}
	s.out.line("%s", line)
	if r.Unguarded {
		s.warning(fmt.Sprintf("%s is guarded when it is deployed; here nobody was asked: there are no credentials", r.Handler))
	}
}

func cutText(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// line is a line that the function wrote.
func (s *devScreen) line(at time.Time, level slog.Level, text string) {
	word := strings.ToLower(level.String())
	switch {
	case level >= slog.LevelError:
		word = s.out.paint(red, word)
	case level >= slog.LevelWarn:
		word = s.out.paint(yellow, word)
	}
	s.out.line("%s %s %s", clock(at), word, indent(clean(text)))
}
