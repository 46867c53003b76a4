package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func TestPrintEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 29, 2, 30, 0, 5e6, time.FixedZone("CEST", 7200))
	tests := []struct {
		name string
		in   api.AuditEvent
		want string
	}{
		{"a refusal", api.AuditEvent{Time: at, Door: "gateway", Action: "invoke", Target: "orders", Outcome: "refused", Code: "unauthenticated", Status: 401, RequestID: "req_1", Remote: "192.0.2.1:5", Count: 1, Detail: map[string]string{"why": "none shown"}},
			"2026-03-29T00:30:00.005Z refused 401 unauthenticated gateway invoke orders request=req_1 from=192.0.2.1:5 (none shown)"},
		{"a sum", api.AuditEvent{Time: at, Door: "gateway", Action: "invoke", Target: "orders", Outcome: "refused", Code: "unauthenticated", Status: 401, Count: 250},
			"2026-03-29T00:30:00.005Z refused 401 unauthenticated gateway invoke orders x250"},
		{"a change", api.AuditEvent{Time: at, Door: "control", Action: "deploy", Target: "functions/a", Outcome: "allowed", Status: 200, AccessKeyID: "pak_1", Method: "basic", Count: 1},
			"2026-03-29T00:30:00.005Z allowed 200 control deploy functions/a key=pak_1 by=basic"},
		{"a name", api.AuditEvent{Time: at, Door: "control", Action: "deploy", Outcome: "allowed", AccessKeyID: "pak_1", AccessKeyName: "Acme\" by=admin\x1b", Method: "basic", Count: 1},
			`2026-03-29T00:30:00.005Z allowed control deploy key=pak_1 name="Acme\" by=admin\x1b" by=basic`},
		{"escape sequences and lines", api.AuditEvent{Time: at, Door: "control", Action: "a\x1b[2Jb", Target: "x\ny\t\x1b]0;owned\x07z", Outcome: "failed", Code: "c\r", Remote: "\u202er", Count: 1, Detail: map[string]string{"why": "\x1b[1A\nforged"}},
			"2026-03-29T00:30:00.005Z failed  c control ab x y z from=r ( forged)"},
	}
	for _, tt := range tests {
		var b strings.Builder
		if err := printEvent(printer{w: &b}, tt.in, false); err != nil || b.String() != tt.want+"\n" {
			t.Errorf("%s: %v\n%q\nwant\n%q", tt.name, err, b.String(), tt.want)
		}
		b.Reset()
		var back api.AuditEvent
		if err := printEvent(printer{w: &b}, tt.in, true); err != nil || strings.Count(b.String(), "\n") != 1 || json.Unmarshal([]byte(b.String()), &back) != nil || strings.ContainsAny(b.String(), "\x1b\r\x07") {
			t.Errorf("%s as JSON: %v %q", tt.name, err, b.String())
		}
	}
}

// auditServer answers with the events it is given, newest first, a page at a time.
type auditServer struct {
	mu     sync.Mutex
	events []api.AuditEvent // oldest first
	asked  int
}

func (s *auditServer) add(n int, action, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.events = append(s.events, api.AuditEvent{ID: fmt.Sprintf("evt_%04d", len(s.events)), Time: time.Now().UTC(), Action: action, AccessKeyID: key, Outcome: "allowed"})
	}
}

func (s *auditServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/oauth2/token" {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"access_token":"t","token_type":"bearer","expires_in":3599,"scope":"control"}`))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	q := r.URL.Query()
	size := 100
	fmt.Sscan(q.Get("pageSize"), &size)
	since, _ := time.Parse(time.RFC3339Nano, q.Get("since"))
	out := api.AuditEvents{Events: []api.AuditEvent{}}
	for i := len(s.events) - 1; i >= 0; i-- {
		e := s.events[i]
		if q.Get("pageToken") != "" && e.ID >= q.Get("pageToken") || e.Time.Before(since) {
			continue
		}
		if len(out.Events) == size {
			out.NextPageToken = out.Events[size-1].ID
			break
		}
		out.Events = append(out.Events, e)
	}
	json.NewEncoder(w).Encode(out)
}

// lines collects what is printed while it is.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

// The newest are printed, oldest first; following prints each later one once,
// and not what following itself causes.
func TestAudit_PagesAndFollows(t *testing.T) {
	t.Parallel()
	s := &auditServer{}
	server := httptest.NewServer(s)
	defer server.Close()
	client := &api.Client{Server: server.URL, ProjectID: "prj_a", KeyID: "pak_me", Secret: "psk_x"}
	s.add(2500, "whoAmI", "pak_b")
	all, err := auditPages(t.Context(), client, api.AuditQuery{}, 2200)
	if err != nil || len(all) != 2200 || all[0].ID != "evt_0300" || all[2199].ID != "evt_2499" {
		t.Fatalf("%d events, %v", len(all), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out lines
	ended := make(chan error, 1)
	go func() { ended <- printAudit(ctx, client, printer{w: &out}, auditOptions{limit: 3, follow: true}) }()
	wait := func(what string, n int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); out.count(what) < n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is printed %d times, want %d", what, out.count(what), n)
			}
		}
	}
	wait("whoAmI", 3)
	s.add(1200, "deploy", "pak_b")
	s.add(1, "listAuditEvents", "pak_me")
	s.add(1, "listAuditEvents", "pak_b")
	wait("deploy", 1200)
	s.add(1, "deleteFunction", "pak_b")
	wait("deleteFunction", 1)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("following ended with %v", err)
	}
	if n, own := out.count("deploy"), out.count("listAuditEvents"); n != 1200 || own != 1 || out.count("whoAmI") != 3 {
		t.Errorf("%d deploys, %d questions and %d others are printed", n, own, out.count("whoAmI"))
	}
}

func TestKindOfStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{400: exitFailed, 401: exitDenied, 403: exitDenied, 404: exitNotFound, 405: exitFailed, 413: exitFailed, 429: exitUnavailable, 503: exitUnavailable} {
		if _, got := explain(t.Context(), fault.New(kindOfStatus(status), "x")); got != want {
			t.Errorf("%d: exit code %d, want %d", status, got, want)
		}
	}
}
