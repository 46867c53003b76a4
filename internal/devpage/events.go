package devpage

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/devserver"
)

// aliveEvery is how often a stream says something when there is nothing to say.
const aliveEvery = 15 * time.Second

// events is a stream of what happens from now on, as rows of the pages: requests,
// lines, and builds by their number.
func (p *page) events(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		after, _ = strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	}
	rc := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		list, more := p.dev.Feed().After(after)
		rc.SetWriteDeadline(time.Now().Add(3 * aliveEvery))
		rc.SetReadDeadline(time.Now().Add(3 * aliveEvery))
		for _, e := range list {
			if after = e.Seq; p.tell(w, e) != nil {
				return
			}
		}
		if rc.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		case <-tick.C:
			fmt.Fprint(w, ":\n\n")
		}
	}
}

// tell writes an event.
func (p *page) tell(w http.ResponseWriter, e devserver.Event) error {
	var kind string
	var out bytes.Buffer
	var err error
	switch {
	case e.Request != nil:
		kind, err = "request", p.views.ExecuteTemplate(&out, "request-row", row{e.At, e.Request})
	case e.Line != nil:
		kind, err = "line", p.views.ExecuteTemplate(&out, "line-row", line{e.At, e.Line})
	case e.Notice != nil:
		kind, err = "line", p.views.ExecuteTemplate(&out, "line-row", line{e.At, &devserver.Line{Level: e.Notice.Level, Text: e.Notice.Text}})
	case e.Build != nil:
		kind, err = "build", p.views.ExecuteTemplate(&out, "state", e.Build)
	default:
		return nil
	}
	if err != nil {
		p.log.Error("an event was not told", "error", err)
		return nil
	}
	text := strings.ReplaceAll(strings.ReplaceAll(out.String(), "\r", ""), "\n", "\ndata: ")
	_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, kind, text)
	return err
}
