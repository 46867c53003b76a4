package logview

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
)

// redraw is how often the screen is drawn while lines come.
const redraw = 100 * time.Millisecond

type tick struct{}

// model is what is on the screen.
type model struct {
	o    Options
	ctx  context.Context
	rows rows

	width, height int
	cursor, top   int  // rows, counted from the first that there ever was
	stuck         bool // the cursor stays at the newest
	search        string
	typing        bool // a search
	typed         string
	open          *row // nil: the list
	showing       bool // what was copied
	offset        int  // first line of what is open or showing
	copied        string
	note          string
	drawn         int // version of rows

	feed feed
}

// feed is the goroutine that follows the log.
type feed struct {
	mu      sync.Mutex
	cancel  context.CancelFunc // nil: nobody follows; guarded by mu
	trouble string             // guarded by mu
	done    sync.WaitGroup
}

func newModel(ctx context.Context, o Options) *model {
	m := &model{o: o, ctx: ctx, width: 80, height: 24, stuck: true, search: o.Search}
	for _, e := range o.Entries {
		m.rows.add(e)
	}
	return m
}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd {
	if m.o.Following {
		return m.follow()
	}
	return nil
}

// follow begins to follow the log, or stops.
func (m *model) follow() tea.Cmd {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	m.stuck, m.feed.trouble = true, ""
	if m.feed.cancel != nil {
		m.feed.cancel()
		m.feed.cancel = nil
		return nil
	}
	ctx, cancel := context.WithCancel(m.ctx)
	m.feed.cancel = cancel
	m.feed.done.Go(func() {
		err := m.o.Follow(ctx, m.rows.add, m.said)
		if ctx.Err() == nil {
			m.said(err)
		}
	})
	return wake()
}

func wake() tea.Cmd { return tea.Tick(redraw, func(time.Time) tea.Msg { return tick{} }) }

// said takes down how the connection is.
func (m *model) said(err error) {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	m.feed.trouble = ""
	if err != nil {
		m.feed.trouble = err.Error()
	}
}

// following reports whether the log is followed, and what is in the way.
func (m *model) following() (on bool, trouble string) {
	m.feed.mu.Lock()
	defer m.feed.mu.Unlock()
	return m.feed.cancel != nil, m.feed.trouble
}

// stop ends the feed and waits for it.
func (m *model) stop() {
	m.feed.mu.Lock()
	if m.feed.cancel != nil {
		m.feed.cancel()
	}
	m.feed.mu.Unlock()
	m.feed.done.Wait()
}

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = max(msg.Width, 10), max(msg.Height, 4)
		return m, tea.ClearScreen // what is drawn over wide characters is not always where it should be
	case tick:
		if on, _ := m.following(); on {
			return m, wake()
		}
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case tea.PasteMsg:
		if m.typing {
			m.typed += m.o.Clean(msg.Content)
		}
	}
	return m, nil
}

// press does what a key says.
func (m *model) press(key tea.KeyPressMsg) tea.Cmd {
	name := key.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	if m.typing {
		m.typeKey(name, key.Text)
		return nil
	}
	m.note = ""
	switch name {
	case "q", "esc":
		return m.back(name == "q")
	case "J", "shift+j":
		return m.copy(m.asJSON)
	case "C", "shift+c":
		return m.copy(m.asCurl)
	case "f":
		return m.follow()
	case "/":
		if m.open == nil && !m.showing {
			m.typing, m.typed = true, m.search
		}
	case "enter":
		if m.open == nil && !m.showing {
			m.open, m.offset = m.current(), 0
		}
	default:
		m.move(name)
	}
	return nil
}

// back leaves what is shown: a copy, a call, a search, and then everything.
func (m *model) back(quit bool) tea.Cmd {
	switch {
	case m.showing:
		m.showing, m.offset = false, 0
	case m.open != nil:
		m.open, m.offset = nil, 0
	case m.search != "" && !quit:
		m.search, m.stuck = "", true
	default:
		return tea.Quit
	}
	return nil
}

// typeKey changes the search that is being typed.
func (m *model) typeKey(name, text string) {
	switch name {
	case "enter":
		m.typing, m.search, m.stuck = false, m.typed, true
	case "esc":
		m.typing = false
	case "backspace":
		if runes := []rune(m.typed); len(runes) > 0 {
			m.typed = string(runes[:len(runes)-1])
		}
	case "ctrl+u":
		m.typed = ""
	default:
		if text != "" && len(m.typed) < 256 {
			m.typed += text
		}
	}
}

// move moves the cursor, or what is open.
func (m *model) move(name string) {
	page := max(m.body()-1, 1)
	by := map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdown": page, "space": page, "home": -1 << 30, "g": -1 << 30, "end": 1 << 30, "G": 1 << 30, "shift+g": 1 << 30}[name]
	if m.open != nil || m.showing {
		m.offset = max(0, m.offset+by) // View knows where the end is
		return
	}
	if by == 0 {
		return
	}
	m.rows.mu.Lock()
	defer m.rows.mu.Unlock()
	n := len(m.rows.seen(m.search))
	at := m.place(n) + by
	m.stuck = at >= n-1
	m.cursor = m.base() + min(max(at, 0), max(n-1, 0))
}

// base is the number of the first row of the list. What a search finds is
// counted from nought: there is no telling how many of those are gone. The rows
// are held.
func (m *model) base() int {
	if m.search != "" {
		return 0
	}
	return m.rows.gone
}

// place is where the cursor is among n rows. The rows are held.
func (m *model) place(n int) int {
	if m.stuck {
		return max(n-1, 0)
	}
	return min(max(m.cursor-m.base(), 0), max(n-1, 0))
}

// current is the row under the cursor; nil: there is none.
func (m *model) current() *row {
	m.rows.mu.Lock()
	defer m.rows.mu.Unlock()
	seen := m.rows.seen(m.search)
	if len(seen) == 0 {
		return nil
	}
	at := m.place(len(seen))
	m.stuck, m.cursor = false, m.base()+at // it stays where its reader looked
	return seen[at]
}

// copy gives what is open, or under the cursor, to the terminal's clipboard, and
// shows it, because not every terminal takes it (OSC 52).
func (m *model) copy(as func(*row) string) tea.Cmd {
	r := m.open
	if r == nil {
		r = m.current()
	}
	if r == nil {
		return nil
	}
	m.rows.mu.Lock()
	text := as(r)
	m.rows.mu.Unlock()
	if text == "" {
		m.note = "this is no call that is over: there is nothing to make again"
		return nil
	}
	m.copied, m.showing, m.offset = text, true, 0
	return tea.SetClipboard(text)
}

func (m *model) asJSON(r *row) string {
	text, err := json.MarshalIndent(r.event(), "", "  ")
	if err != nil {
		return ""
	}
	return m.o.Clean(string(text))
}

func (m *model) asCurl(r *row) string {
	if r.call == nil {
		return ""
	}
	return m.o.Clean(curl(r.call.Invocation))
}
