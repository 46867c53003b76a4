package httpx_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/httpx"
)

var update = flag.Bool("update", false, "rewrite docs/errors.md")

func TestDocs_ErrorsPageIsTheTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Problem codes\n\nEvery refusal and failure is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, and three members of ours:\n" +
		"`code` (stable; act on this one), `hint` (what to do next) and `requestId` (also in the logs). At the command line the same errors are printed as\n`postern: error: …` and `postern: hint: …`.\n\n" +
		"The control plane's paths of access keys and subprojects say the same in the shape that clients of such APIs read, as `application/json`, with status 400 for 422:\n`{\"error\":{\"code\":403,\"message\":detail,\"status\":\"PERMISSION_DENIED\",\"details\":[{\"type\":\"ErrorInfo\",\"reason\":code,\"domain\":\"postern\",\"metadata\":{\"hint\":…,\"requestId\":…}}]}}`.\n\n" +
		"This page is made from the table in `internal/httpx/codes.go`; a test keeps the two alike.\n\n| status | code | title | what to do |\n|---|---|---|---|\n")
	for _, c := range httpx.Codes() {
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", c.Status, c.Code, c.Title, c.Remedy)
	}
	b.WriteString("\n## Exit codes of the command line\n\n| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failure |\n| 2 | the command line or a setting is wrong |\n| 3 | not found |\n| 4 | not signed in, or denied |\n| 5 | something that is needed is unavailable |\n| 130 | interrupted |\n")
	const page = "../../docs/errors.md"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != b.String() {
		t.Errorf("docs/errors.md differs from the table (err %v): go test ./internal/httpx -update", err)
	}
}

func TestCodes_AreOrderedUniqueAndComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	last := 0
	for _, c := range httpx.Codes() {
		if seen[c.Code] || c.Status < last || c.Title == "" || c.Remedy == "" {
			t.Errorf("row %+v: twice, out of order, or without title or remedy", c)
		}
		seen[c.Code], last = true, c.Status
	}
	for k := fault.Internal; k <= fault.Timeout; k++ {
		if c := httpx.CodeOf(fault.New(k, "x")); c.Status < 400 {
			t.Errorf("kind %d has no code", k)
		}
	}
}

func TestWriteProblem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
		detail string
		retry  string
	}{
		"own code":            {fault.New(fault.NotFound, "no function x").WithCode("function_not_found"), 404, "function_not_found", "no function x", ""},
		"kind only":           {fault.New(fault.Denied, "no"), 403, "not_allowed", "no", ""},
		"code not in table":   {fault.New(fault.Conflict, "c").WithCode("nonsense"), 409, "conflict", "c", ""},
		"wrapped":             {fmt.Errorf("doing: %w", fault.New(fault.Invalid, "bad")), 400, "invalid_request", "bad", ""},
		"unknown shows none":  {errors.New("secret path /x"), 500, "internal", "", ""},
		"internal shows none": {fault.Wrap(errors.New("cause"), fault.Internal, "text"), 500, "internal", "", ""},
		"unavailable retries": {fault.New(fault.Unavailable, "full").WithCode("queue_full"), 503, "queue_full", "full", "1"},
		"rate":                {httpx.Later(fault.New(fault.TooMany, "slow down"), 2100*time.Millisecond), 429, "rate_limited", "slow down", "3"},
	} {
		rec := httptest.NewRecorder()
		httpx.WriteProblem(rec, tc.err, "req_1")
		var p httpx.Problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if rec.Code != tc.status || p.Status != tc.status || p.Code != tc.code || p.Detail != tc.detail || p.RequestID != "req_1" ||
			rec.Header().Get("Retry-After") != tc.retry || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %+v %v", name, rec.Code, p, rec.Header())
		}
		if strings.Contains(rec.Body.String(), "secret path") || strings.Contains(rec.Body.String(), "cause") {
			t.Errorf("%s: the cause got out: %s", name, rec.Body)
		}
	}
}

func TestNewRequestID_IsUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10000 {
		id := httpx.NewRequestID()
		if len(id) != 24 || seen[id] {
			t.Fatalf("request ID %q", id)
		}
		seen[id] = true
	}
}

func TestListen_PortInUse(t *testing.T) {
	t.Parallel()
	ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = httpx.Listen(t.Context(), ln.Addr().String(), "--listen")
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != "port_in_use" || !strings.Contains(f.Hint, "--listen") {
		t.Errorf("err = %#v, want port_in_use with a hint that names the flag", err)
	}
}

func TestServe_DrainsThenEnds(t *testing.T) {
	t.Parallel()
	ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	srv := &httpx.Server{Listener: ln, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "*" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		close(entered)
		<-release
		io.WriteString(w, "late but whole")
	})}
	go func() { served <- srv.Serve(ctx) }()
	got := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + ln.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-entered
	cancel()
	close(release)
	if s := <-got; s != "late but whole" {
		t.Errorf("request in flight got %q", s)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := http.Get("http://" + ln.Addr().String()); err == nil {
		t.Error("still accepting after Serve returned")
	}
}

func TestCodes_StatusesAreProblems(t *testing.T) {
	t.Parallel()
	if !slices.ContainsFunc(httpx.Codes(), func(c httpx.Code) bool { return c.Status == 401 }) {
		t.Error("no 401 in the table")
	}
	for _, c := range httpx.Codes() {
		if c.Status < 400 || c.Status > 599 {
			t.Errorf("%s: status %d", c.Code, c.Status)
		}
	}
}

// What follows a request is read as one only where nobody can see that request
// end elsewhere.
func TestServe_OneReadingOfARequest(t *testing.T) {
	t.Parallel()
	ln, err := httpx.Listen(t.Context(), "127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	srv := &httpx.Server{Listener: ln, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
	go func() { served <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	const second = "GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for name, c := range map[string]struct {
		first   string
		answers int // to the first request, and to what follows it
	}{
		"no body":                      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 2},
		"length":                       {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", 2},
		"chunked":                      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 2},
		"HTTP/1.0":                     {"GET / HTTP/1.0\r\nHost: h\r\n\r\n", 1},
		"chunked and length":           {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 1},
		"HTTP/1.0 kept alive, chunked": {"POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", 1},
	} {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, c.first+second); err != nil {
			t.Fatal(err)
		}
		// A connection that stays open would never end this reading.
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, err := io.ReadAll(conn)
		conn.Close()
		if err != nil && len(got) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		if n := strings.Count(string(got), "HTTP/1."); n != c.answers {
			t.Errorf("%s: %d answers, want %d: %q", name, n, c.answers, got)
		}
	}
}
