package logview

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

var (
	bold   = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	chosen = lipgloss.NewStyle().Reverse(true)
	bad    = lipgloss.NewStyle().Foreground(lipgloss.Red)
	odd    = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	good   = lipgloss.NewStyle().Foreground(lipgloss.Green)
)

// body is how many lines there are between the first and the last.
func (m *model) body() int { return max(m.height-2, 1) }

// View implements tea.Model.
func (m *model) View() tea.View {
	m.rows.mu.Lock()
	defer m.rows.mu.Unlock()
	var lines []string
	switch {
	case m.showing:
		lines = m.part(m.wrap(m.copied))
	case m.open != nil:
		lines = m.part(m.detail(m.open))
	default:
		lines = m.list()
	}
	for len(lines) < m.body() {
		lines = append(lines, "")
	}
	v := tea.NewView(m.head() + "\n" + strings.Join(lines, "\n") + "\n" + m.foot())
	v.AltScreen = true
	return v
}

// head is the first line: what this is.
func (m *model) head() string {
	text := "postern logs " + m.o.Clean(m.o.Name)
	on, trouble := m.following()
	switch {
	case trouble != "":
		text += " · " + m.inLine(trouble)
	case on:
		text += " · following"
	}
	if m.search != "" {
		text += " · /" + m.inLine(m.search)
	}
	if n := len(m.rows.list); n > 0 {
		text += " · " + strconv.Itoa(n)
	}
	if m.rows.gone > 0 {
		text += " (the oldest are let go of)"
	}
	return bold.Render(fit(text, m.width))
}

// foot is the last line: what can be done.
func (m *model) foot() string {
	switch {
	case m.typing:
		return fit("/"+m.inLine(m.typed)+"█", m.width)
	case m.note != "":
		return fit(m.note, m.width)
	case m.showing:
		return faint.Render(fit("copied, if the terminal takes it; if not, it is printed at the end   esc back", m.width))
	case m.open != nil:
		return faint.Render(fit("↑↓ scroll   C curl   J JSON   f follow   esc back", m.width))
	}
	return faint.Render(fit("↑↓ move   enter open   / search   f follow   C curl   J JSON   q quit", m.width))
}

// list is the rows around the cursor.
func (m *model) list() (lines []string) {
	seen, height := m.rows.seen(m.search), m.body()
	if len(seen) == 0 {
		return []string{"", m.nothing()}
	}
	at, top := m.place(len(seen)), m.top-m.base()
	if at < top {
		top = at
	}
	top = max(min(max(top, at-height+1), len(seen)-height), 0)
	m.top = top + m.base()
	for i := top; i < min(top+height, len(seen)); i++ {
		lines = append(lines, m.line(seen[i], i == at))
	}
	return lines
}

func (m *model) nothing() string {
	switch on, _ := m.following(); {
	case m.search != "":
		return fit("  nothing has "+strconv.Quote(m.inLine(m.search))+" in it; esc shows everything", m.width)
	case on:
		return fit("  nothing yet: waiting for what "+m.o.Clean(m.o.Name)+" writes and for calls of it", m.width)
	}
	return fit("  "+m.o.Clean(m.o.Name)+" has written nothing yet; f waits for more", m.width)
}

// line is a row of the list.
func (m *model) line(r *row, here bool) string {
	mark, style := "  ", lipgloss.NewStyle()
	if here {
		mark = "> " // also where there is no colour
	}
	left, right := mark+r.at().Local().Format("15:04:05")+" ", ""
	switch {
	case r.call != nil:
		c := r.call.Invocation
		style = ofStatus(c.Response.Status)
		left += fit(m.inLine(c.Request.Method), 7) + " " + m.inLine(pathOf(c.Request.URL))
		right = m.right(strconv.Itoa(c.Response.Status), duration(c.ExecutionTimeMS))
	case r.first.RequestID != "":
		left += fit("…", 7) + " " + m.inLine(r.lines[len(r.lines)-1].Text)
		right = m.right("…", "line "+strconv.Itoa(len(r.lines)+r.dropped))
	default:
		style = ofLevel(r.first.Level)
		left += fit(m.inLine(r.first.Level), 7) + " " + m.inLine(r.first.Text)
	}
	text := fit(left, m.width-lipgloss.Width(right)) + right
	if here {
		return chosen.Render(text)
	}
	return style.Render(text)
}

// right is how a call ended, where there is room for more the longer part too.
func (m *model) right(status, took string) string {
	if m.width < 40 {
		return fmt.Sprintf(" %3s", status)
	}
	return fmt.Sprintf(" %3s %8s", status, took)
}

func ofStatus(status int) lipgloss.Style {
	switch {
	case status >= 500:
		return bad
	case status >= 400:
		return odd
	}
	return good
}

func ofLevel(level string) lipgloss.Style {
	switch level {
	case "error":
		return bad
	case "warning":
		return odd
	case "debug":
		return faint
	}
	return lipgloss.NewStyle()
}

// part is what of some lines is on the screen.
func (m *model) part(lines []string) []string {
	m.offset = min(m.offset, max(len(lines)-m.body(), 0))
	return lines[m.offset:min(m.offset+m.body(), len(lines))]
}

// detail is everything of a row.
func (m *model) detail(r *row) (out []string) {
	add := func(text string) { out = append(out, m.wrap(text)...) }
	if r.call != nil {
		c := r.call.Invocation
		add(fmt.Sprintf("%s %s", c.Request.Method, c.Request.URL))
		answered := fmt.Sprintf("answered %d in %s", c.Response.Status, duration(c.ExecutionTimeMS))
		for _, more := range []string{c.Code, c.Error} {
			if more != "" {
				answered += ": " + more
			}
		}
		add(answered)
		facts := []string{"at " + c.Request.Time.Local().Format("2006-01-02 15:04:05.000"), "request " + r.call.RequestID}
		for what, value := range map[string]string{"handler ": c.Handler, "caller by ": c.Request.Auth, "from ": c.Request.ClientIP} {
			if value != "" {
				facts = append(facts, what+value)
			}
		}
		slices.Sort(facts[2:])
		if c.ColdStart {
			facts = append(facts, "cold start")
		}
		if c.MemoryUsage > 0 {
			facts = append(facts, fmt.Sprintf("%d MiB of memory", c.MemoryUsage>>20))
		}
		add(strings.Join(facts, ", "))
		m.fields(add, "Request", c.Request.Headers)
		m.fields(add, "Response", c.Response.Headers)
	} else if id := r.first.RequestID; id != "" {
		add("request " + id + ": not over yet, or nobody followed the log when it was")
	}
	add("")
	add("Console")
	if r.dropped > 0 {
		add(fmt.Sprintf("  %d lines before are not kept here", r.dropped))
	}
	for _, l := range r.lines {
		add(fmt.Sprintf("  %s %-7s %s", l.Time.Local().Format("15:04:05.000"), l.Level, l.Text))
	}
	if len(r.lines) == 0 {
		add("  nothing")
	}
	return out
}

func (m *model) fields(add func(string), title string, h map[string]string) {
	if len(h) == 0 {
		return
	}
	add("")
	add(title)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		add("  " + name + ": " + h[name])
	}
}

// wrap breaks a text into lines that fit.
func (m *model) wrap(text string) (out []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(m.o.Clean(text), "\t", "    "), "\n") {
		for {
			head, rest := split(line, m.width)
			out = append(out, head)
			if rest == "" {
				break
			}
			line = rest
		}
	}
	return out
}

func (m *model) inLine(s string) string {
	return strings.NewReplacer("\n", "⏎", "\t", " ").Replace(m.o.Clean(s))
}

// fit cuts or fills a text of one line to a width.
func fit(s string, width int) string {
	head, rest := split(s, width)
	if rest != "" {
		head, _ = split(s, width-1)
		head += "…"
	}
	return head + strings.Repeat(" ", max(0, width-lipgloss.Width(head)))
}

// split takes as much of a text as fits a width; at least one character.
func split(s string, width int) (head, rest string) {
	if len(s) <= width {
		return s, ""
	}
	used := 0
	for i, r := range s {
		w := 1
		if r > 0x7f {
			w = lipgloss.Width(string(r))
		}
		if used += w; used > width && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// pathOf is what of a URL tells calls of one function apart.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	_, rest, _ := strings.Cut(address, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

func duration(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
