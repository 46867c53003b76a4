package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/platform"
)

// logged is a world with a function "f" and its ID, and a real listener.
func logged(t *testing.T, change ...func(*admin.Options)) (w *world, book *funclog.Book, id string, server *httptest.Server) {
	t.Helper()
	w = newWorld(t, append([]func(*admin.Options){func(o *admin.Options) { book = o.Logs }}, change...)...)
	w.withFunction(t, w.project, "f", platform.Handler{Name: "h", Guard: platform.GuardKey})
	f, err := w.db.Function(t.Context(), w.project, "f")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(map[string]any{"access_token": w.token(t, w.id["control"], "control"), "token_type": "Bearer", "expires_in": 3600})
	})
	mux.Handle("/", w.handler)
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return w, book, f.ID, server
}

// follow opens a stream with a bare key; with none where the key is empty.
func (w *world) follow(t *testing.T, server, path, key, last string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", server+"/v1/projects/"+w.project+"/functions/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("X-API-Key", key)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// sse reads n events, as "name data", and what their IDs are.
func sse(t *testing.T, r *bufio.Reader, n int) (events, ids []string) {
	t.Helper()
	var id, name, data string
	for len(events) < n {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(events), n, err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data += value
		case "":
			if name != "" {
				events, ids = append(events, name+" "+data), append(ids, id)
			}
			id, name, data = "", "", ""
		}
	}
	return events, ids
}

func said(request, text string) funclog.Entry {
	return funclog.Entry{At: time.Now(), RequestID: request, Text: text}
}

func ended(request string, status int) funclog.Entry {
	c := &funclog.Invocation{BeganAt: time.Now(), Took: 1500 * time.Microsecond, Method: "GET", URL: "http://x/fn/f/h?a=1", Status: status, Memory: 1 << 20, Request: map[string]string{"accept": "*/*"}}
	return funclog.Entry{At: time.Now(), Level: c.Level(), RequestID: request, DeploymentID: "dep_1", Invocation: c}
}

func TestStream_CallsWithTheirLines(t *testing.T) {
	t.Parallel()
	w, book, id, server := logged(t)
	book.Append(id, said("", "before anybody looked"))
	res := w.follow(t, server.URL, id+"/logs/stream", w.key["control"], "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(res.Status, res.Header)
	}
	r := bufio.NewReader(res.Body)
	if line, _ := r.ReadString('\n'); !strings.HasPrefix(line, ":") {
		t.Errorf("it begins with %q", line)
	}
	evil := "\n\nid: 9\nevent: lost\ndata: {}\n\n\u2028\r\x1b[2J\x00"
	book.Append(id, said("req_1", evil))
	book.Append(id, said("", "outside"))
	book.Append(id, said("req_2", "of another"))
	book.Append(id, ended("req_1", 200))
	events, ids := sse(t, r, 2)
	var line api.LogEntry
	if err := json.Unmarshal([]byte(strings.TrimPrefix(events[0], "line ")), &line); err != nil || line.Text != "outside" {
		t.Errorf("%q: %v", events[0], err)
	}
	var one api.RequestEvent
	if err := json.Unmarshal([]byte(strings.TrimPrefix(events[1], "request ")), &one); err != nil || len(one.Logs) != 1 || one.Logs[0].Text != evil || one.ExecutionTimeMS != 1.5 ||
		one.MemoryUsage != 1<<20 || one.Response.Status != 200 || one.Request.URL != "http://x/fn/f/h?a=1" || one.RequestID != "req_1" {
		t.Errorf("%q: %v", events[1], err)
	}
	res.Body.Close()
	book.Append(id, ended("req_2", 500))
	book.Append(id, said("req_2", "after its end"))
	again := bufio.NewReader(w.follow(t, server.URL, "f/logs/stream", w.key["control"], ids[1]).Body)
	events, _ = sse(t, again, 2)
	if !strings.Contains(events[0], "of another") || !strings.HasPrefix(events[1], "line ") || !strings.Contains(events[1], "after its end") {
		t.Errorf("after the place: %q", events)
	}
	errors := bufio.NewReader(w.follow(t, server.URL, "f/logs/stream?level=error&view=entries&since=2026-01-01T00:00:00Z", w.key["control"], "").Body)
	if events, _ = sse(t, errors, 1); !strings.HasPrefix(events[0], `request {"id"`) || !strings.Contains(events[0], `"requestId":"req_2"`) {
		t.Errorf("errors: %q", events)
	}
}

func TestStream_Refused(t *testing.T) {
	t.Parallel()
	w, _, id, server := logged(t)
	w.withFunction(t, w.elsewhere, "theirs", platform.Handler{Name: "h", Guard: platform.GuardKey})
	theirs, err := w.db.Function(t.Context(), w.elsewhere, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path, key, last string
		want            int
	}{
		"no such function":         {"nosuch/logs/stream", "control", "", 404},
		"no such ID":               {strings.Replace(id, id[20:], strings.Repeat("0", len(id)-20), 1) + "/logs/stream", "control", "", 404},
		"another project's":        {"theirs/logs/stream", "control", "", 404},
		"another project's ID":     {theirs.ID + "/logs/stream", "control", "", 404},
		"status of another's":      {theirs.ID + "/status", "control", "", 404},
		"logs of another's":        {theirs.ID + "/logs", "control", "", 404},
		"a key of another project": {"f/logs/stream", "elsewhere", "", 403},
		"a key for calls":          {"f/logs/stream", "invoke", "", 403},
		"an expired key":           {"f/logs/stream", "expired", "", 401},
		"a level that is none":     {"f/logs/stream?level=all", "control", "", 422},
		"a view that is none":      {"f/logs/stream?view=x", "control", "", 422},
		"a time that is none":      {"f/logs/stream?since=yesterday", "control", "", 422},
		"a place that is none":     {"f/logs/stream", "control", "abc", 422},
		"a negative place":         {"f/logs/stream", "control", "-1", 422},
		"a place too large":        {"f/logs/stream", "control", strings.Repeat("9", 40), 422},
		"half a place":             {"f/logs/stream", "control", "1.", 422},
		"an entry that is none":    {"f/logs?after=x", "control", "", 422},
		"a long search":            {"f/logs?search=" + strings.Repeat("x", 300), "control", "", 422},
	} {
		res := w.follow(t, server.URL, tc.path, w.key[tc.key], tc.last)
		if res.StatusCode != tc.want {
			t.Errorf("%s: %s, want %d", name, res.Status, tc.want)
		}
		res.Body.Close()
	}
}

// Places that no event ever had are harmless.
func TestStream_MadeUpPlaces(t *testing.T) {
	t.Parallel()
	w, book, id, server := logged(t)
	for i := range 3 {
		book.Append(id, said("req_1", fmt.Sprint("line ", i)))
	}
	for _, last := range []string{"0", "0.0", "1.999999999999999999", "999999999999999999.0", "999999999999999999", "999999999999999999.999999999999999999", "1.1"} {
		for _, view := range []string{"requests", "entries"} {
			res := w.follow(t, server.URL, "f/logs/stream?view="+view, w.key["control"], last)
			r := bufio.NewReader(res.Body)
			r.ReadString('\n')
			book.Append(id, said("", "goes on"))
			for events := []string{""}; !strings.Contains(events[0], "goes on"); {
				events, _ = sse(t, r, 1)
			}
			res.Body.Close()
		}
	}
}

// A stream ends with the credential that it was opened with, with the function,
// and with the server; nothing is told after that.
func TestStream_Ends(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	w, book, id, server := logged(t, func(o *admin.Options) { o.Stopping = stopping })
	ends := func(name, key string, end func()) {
		t.Helper()
		res := w.follow(t, server.URL, "f/logs/stream", key, "")
		r := bufio.NewReader(res.Body)
		if _, err := r.ReadString('\n'); err != nil || res.StatusCode != 200 {
			t.Fatal(name, res.Status, err)
		}
		end()
		book.Append(id, said("", "too late"))
		rest, err := io.ReadAll(r)
		if err != nil || strings.Contains(string(rest), "too late") {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
	}
	ends("the key is revoked", w.key["admin"], func() {
		if rec, _ := w.do("DELETE", w.keys()+"/"+w.id["admin"], w.key["control"], ""); rec.Code >= 300 {
			t.Fatal(rec.Code, rec.Body)
		}
	})
	ends("the log is removed", w.key["control"], func() { book.Remove(id) })
	ends("the server stops", w.key["control"], func() { close(stopping) })
}

// As many as a project may have, one of them slow, and one more.
func TestStream_Bounds(t *testing.T) {
	t.Parallel()
	w, book, id, server := logged(t, func(o *admin.Options) { o.BasicRate, o.BasicBurst = 1000, 1000 })
	var open []*bufio.Reader
	var first *http.Response
	for i := range 100 {
		res := w.follow(t, server.URL, "f/logs/stream?view=entries", w.key["control"], "")
		if res.StatusCode != 200 {
			t.Fatal(i, res.Status)
		}
		r := bufio.NewReader(res.Body)
		r.ReadString('\n')
		if i == 0 {
			first = res // reads nothing more
		} else {
			open = append(open, r)
		}
	}
	res := w.follow(t, server.URL, "f/logs/stream", w.key["control"], "")
	if data, _ := io.ReadAll(res.Body); res.StatusCode != 429 || !strings.Contains(string(data), "streams_limited") || res.Header.Get("Retry-After") != "5" {
		t.Errorf("one more: %s %v %s", res.Status, res.Header, data)
	}
	text := strings.Repeat("x", 1000)
	const n = 200
	for range n {
		book.Append(id, said("", text))
	}
	var wg sync.WaitGroup
	for _, r := range open {
		wg.Go(func() { sse(t, r, n) })
	}
	wg.Wait()
	first.Body.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		res := w.follow(t, server.URL, "f/logs/stream", w.key["control"], "")
		res.Body.Close()
		if res.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a reader that left is not free")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cutter passes connections on, and cuts each after so many bytes of answers.
func cutter(t *testing.T, to string, after int64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for n := int64(0); ; n++ {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { io.Copy(out, in); out.Close() }()
				io.CopyN(in, out, after+n*37%500) // somewhere within an event
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

// Over connections that are cut in the middle of anything, each entry is given
// once and in order.
func TestFollow_OverCuts(t *testing.T) {
	t.Parallel()
	w, book, id, server := logged(t)
	for view, entries := range map[string]bool{"requests": false, "entries": true} {
		begin := book.Last(id)
		c := &api.Client{Server: cutter(t, server.Listener.Addr().String(), 20_000), ProjectID: w.project, KeyID: w.id["control"], Secret: w.key["control"]}
		const calls = 100
		go func() {
			for i := range calls {
				request := fmt.Sprintf("%s_%d", view, i)
				for k := range 3 {
					book.Append(id, said(request, fmt.Sprintf("%d.%d", i, k)))
				}
				book.Append(id, said("", fmt.Sprintf("beside %d", i)))
				book.Append(id, ended(request, 200))
			}
		}()
		var got []string
		cuts := 0
		done := fault.New(fault.Internal, "enough")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		err := c.FollowLogs(ctx, "f", api.FollowQuery{After: fmt.Sprint(max(begin, 1)), Entries: entries, Lost: func(err error) {
			if err != nil {
				cuts++
			}

		}}, func(e api.LogEvent) error {
			switch {
			case e.Lost != nil:
				t.Errorf("%s: %s", view, e.Lost.Text)
			case e.Line != nil:
				got = append(got, e.Line.Text)
			default:
				for _, l := range e.Request.Logs {
					got = append(got, l.Text)
				}
				if got = append(got, e.Request.RequestID); e.Request.RequestID == fmt.Sprintf("%s_%d", view, calls-1) {
					return done
				}
			}
			return nil
		})
		cancel()
		if err != done {
			t.Errorf("%s: %v", view, err)
		}
		var want []string
		for i := range calls {
			mine := []string{fmt.Sprintf("%d.0", i), fmt.Sprintf("%d.1", i), fmt.Sprintf("%d.2", i)}
			beside := fmt.Sprintf("beside %d", i)
			if entries {
				want = append(append(want, mine...), beside, fmt.Sprintf("%s_%d", view, i))
			} else {
				want = append(append(append(want, beside), mine...), fmt.Sprintf("%s_%d", view, i))
			}
		}
		if !slices.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Errorf("%s: %d of %d, from %d on %q, want %q", view, len(got), len(want), i, got[i:min(i+6, len(got))], want[i:min(i+6, len(want))])
		}
		if cuts < 3 {
			t.Errorf("%s: only %d cuts", view, cuts)
		}
	}
	// What the server refuses is told, and not tried again.
	c := &api.Client{Server: server.URL, ProjectID: w.project, KeyID: w.id["control"], Secret: w.key["control"]}
	err := c.FollowLogs(t.Context(), "nosuch", api.FollowQuery{}, func(api.LogEvent) error { return nil })
	if fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}

func TestLogs_PagesAndStatus(t *testing.T) {
	t.Parallel()
	w, book, id, server := logged(t)
	get := func(path string, out any) {
		t.Helper()
		res := w.follow(t, server.URL, path, w.key["control"], "")
		if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != 200 {
			t.Fatal(path, res.Status, err)
		}
	}
	var st api.FunctionStatus
	get(id+"/status", &st)
	if st.FunctionID != id || st.Status != "Running" || st.URL != "http://gw/fn/f" || st.Error != "" {
		t.Errorf("%+v", st)
	}
	for i := range 10 {
		e := said("", fmt.Sprint("line ", i))
		e.Level = slog.Level(4 * (i % 4)) // info, warning, error, and more
		book.Append(id, e)
	}
	book.Append(id, ended("req_9", 503))
	var all, page api.Logs
	get("f/logs", &all)
	if len(all.Entries) != 10 || all.More || all.Next == all.Entries[9].ID {
		t.Fatalf("%+v", all)
	}
	text := func(l api.Logs) (out []string) {
		for _, e := range l.Entries {
			out = append(out, strings.TrimPrefix(e.Text, "line ")+e.RequestID)
		}
		return out
	}
	for query, want := range map[string]string{
		"limit=2": "[8 9]", "limit=2&before=" + all.Entries[5].ID: "[3 4]", "limit=2&after=" + all.Entries[5].ID: "[6 7]", "level=error": "[2 3 6 7]", "level=warning&limit=3": "[6 7 9]",
		"search=LINE%207": "[7]", "invocations=true&limit=2": "[9 req_9]", "invocations=true&search=fn/f": "[req_9]", "since=0001-01-01T00:00:00Z&limit=1": "[9]", "since=1969-01-01T00:00:00Z&limit=1": "[9]", "since=2999-01-01T00:00:00Z": "[]",
	} {
		page = api.Logs{}
		if get("f/logs?"+query, &page); fmt.Sprint(text(page)) != want {
			t.Errorf("%s: %v, want %s", query, text(page), want)
		}
	}
}

// Calls can be had without any line, and one call with those that are its.
func TestLogs_Calls(t *testing.T) {
	t.Parallel()
	w, book, id, server := logged(t)
	for _, e := range []funclog.Entry{said("req_1", "of one"), said("", "of none"), ended("req_1", 200), said("req_2", "req_1 is not this"), ended("req_2", 500)} {
		book.Append(id, e)
	}
	get := func(query string) (out []string) {
		t.Helper()
		res := w.follow(t, server.URL, "f/logs?"+query, w.key["control"], "")
		var page api.Logs
		if err := json.NewDecoder(res.Body).Decode(&page); err != nil || res.StatusCode != 200 {
			t.Fatal(query, res.Status, err)
		}
		for _, e := range page.Entries {
			out = append(out, e.RequestID+":"+e.Text)
		}
		return out
	}
	for query, want := range map[string][]string{
		"calls=true":                              {"req_1:", "req_2:"},
		"calls=true&level=error":                  {"req_2:"},
		"requestId=req_1":                         {"req_1:of one"},
		"requestId=req_1&invocations=true":        {"req_1:of one", "req_1:"},
		"requestId=req_2&calls=true":              {"req_2:"},
		"requestId=req_":                          nil,
		"requestId=req_2&calls=true&search=200":   nil,
		"requestId=%22%3Cscript&invocations=true": nil,
	} {
		if got := get(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q", query, got)
		}
	}
	calls := bufio.NewReader(w.follow(t, server.URL, "f/logs/stream?view=calls&since=2026-01-01T00:00:00Z", w.key["control"], "").Body)
	events, ids := sse(t, calls, 2)
	if !strings.Contains(events[0], `"requestId":"req_1"`) || !strings.Contains(events[1], `"requestId":"req_2"`) || strings.Contains(ids[1], ".") {
		t.Errorf("%q %q", events, ids)
	}
}
