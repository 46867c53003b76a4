package lane

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// appendStatus writes the line with which an answer begins.
func appendStatus(out []byte, status int) []byte {
	if status == http.StatusOK {
		return append(out, "HTTP/1.1 200 OK\r\n"...)
	}
	out = strconv.AppendInt(append(out, "HTTP/1.1 "...), int64(status), 10)
	text := http.StatusText(status)
	if text == "" {
		return append(strconv.AppendInt(append(out, " status code "...), int64(status), 10), "\r\n"...)
	}
	return append(append(append(out, ' '), text...), "\r\n"...)
}

// fields writes the handler's fields in the order of their names. Those that
// frame the answer are only taken down: seal writes them.
func (w *response) fields(out []byte, status int) []byte {
	var room [24]string
	names := room[:0]
	for name := range w.header {
		if w.own(name, status) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range w.header[name] {
			out = appendField(out, name, value)
		}
	}
	return out
}

// own reports whether a field is the handler's to write.
func (w *response) own(name string, status int) bool {
	final := status >= 200 || status == http.StatusSwitchingProtocols
	switch name {
	case "Content-Length":
		if v := first(w.header[name]); final && v != "" && (hasBody(status)) {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
				w.length = n
			}
		}
		return false
	case "Transfer-Encoding":
		w.identity = final && first(w.header[name]) == "identity"
		return false
	case "Connection":
		if final {
			w.connection = first(w.header[name])
		}
		return false
	case "Content-Type":
		w.hasType = true
		return status != http.StatusNotModified
	case "Content-Encoding":
		w.hasType = w.hasType || first(w.header[name]) != ""
	case "Date":
		w.hasDate = true
	case "Trailer":
		if final {
			w.announce(w.header[name])
		}
	default:
		if strings.HasPrefix(name, http.TrailerPrefix) {
			w.trailing = w.trailing || final
			return false
		}
	}
	return isToken(name)
}

// announce takes down the names of fields that follow the body.
func (w *response) announce(lines []string) {
	w.trailing = true
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			switch name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); name {
			case "", "Content-Length", "Transfer-Encoding", "Trailer", "Host", "Connection", "Content-Type", "Content-Encoding", "Authorization", "Set-Cookie":
			default:
				w.trailers = append(w.trailers, name)
			}
		}
	}
}

// appendField writes a field. A line break in a value would begin another field.
func appendField(out []byte, name, value string) []byte {
	out = append(append(out, name...), ": "...)
	value = strings.Trim(value, " \t\r\n")
	from := len(out)
	out = append(out, value...)
	for i := from; i < len(out); i++ {
		if out[i] == '\r' || out[i] == '\n' {
			out[i] = ' '
		}
	}
	return append(out, "\r\n"...)
}

func isToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; class[c] == 0 && strings.IndexByte("!#$%&'*+^`|", c) < 0 || c == '/' {
			return false
		}
	}
	return name != ""
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// hasBody reports whether an answer with this status has a body.
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// seal ends the head. begin is what the body begins with, and all of it if done.
func (w *response) seal(begin []byte, done bool) {
	w.sealed = true
	isHead, body := w.t.isHead(), hasBody(w.status)
	if done && !w.trailing && !w.identity && body && w.length < 0 && (!isHead || len(begin) > 0) {
		w.length = int64(len(begin))
	}
	w.close = w.close || w.connection == "close" || w.t.c.s.stopping.Load()
	if w.t.head.Length > 0 && !w.both && w.t.body.finish() != nil {
		w.close = true
	}
	out := w.sheet.out
	if !w.hasDate {
		out = append(append(append(out, "Date: "...), w.t.c.s.date(w.t.now())...), "\r\n"...)
	}
	if w.length >= 0 && body {
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	if !w.hasType && !w.identity && body && len(begin) > 0 {
		out = append(append(append(out, "Content-Type: "...), http.DetectContentType(begin)...), "\r\n"...)
	}
	switch {
	case isHead || !body:
		w.mode = noBody
	case w.length >= 0:
		w.mode = byLength
	case w.identity:
		w.mode, w.close = byEnd, true
	default:
		w.mode = byChunks
	}
	switch {
	case w.close && w.status != http.StatusSwitchingProtocols:
		out = append(out, "Connection: close\r\n"...)
	case w.connection != "":
		out = appendField(out, "Connection", w.connection)
	}
	if w.mode == byChunks {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	w.sheet.out = append(out, "\r\n"...)
}

// appendTrailers writes the fields that follow a body in chunks.
func (w *response) appendTrailers(out []byte) []byte {
	if !w.trailing {
		return out
	}
	for _, name := range w.trailers {
		for _, value := range w.header[name] {
			out = appendField(out, name, value)
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && isToken(name) {
			for _, value := range values {
				out = appendField(out, name, value)
			}
		}
	}
	return out
}

// stamp is the text of a second.
type stamp struct {
	second int64
	text   string
}

// date is a moment as answers tell it.
func (s *Server) date(now time.Time) string {
	second := now.Unix()
	if at := s.stamp.Load(); at != nil && at.second == second {
		return at.text
	}
	at := &stamp{second, now.UTC().Format(http.TimeFormat)}
	s.stamp.Store(at)
	return at.text
}
