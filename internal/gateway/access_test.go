package gateway_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/telemetry"
)

// Whatever bytes a caller sends, a request is one line, in either format, and
// no longer than a line should be.
func TestAccessLog_OneLine(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		w := newWorld(t)
		w.g = gateway.New(gateway.Options{Access: telemetry.NewLogger(w.access, format, slog.LevelInfo)}, w.invoker)
		w.load(t)
		long := strings.Repeat("a", 64<<10)
		for name, tt := range map[string]struct{ method, host, target string }{
			"line break in the path":    {"GET", "h", "/fn/orders/status%0amsg=request%20decision=allowed"},
			"raw line break":            {"GET", "h", "/fn/orders/status\nlevel=ERROR"},
			"carriage return":           {"GET", "h", "/fn/orders/status\r\nx"},
			"terminal escape":           {"GET", "h", "/fn/orders/\x1b[2Jstatus"},
			"encoded terminal escape":   {"GET", "h", "/fn/orders/%1b%5b2J"},
			"quotes":                    {"GET", "h", `/fn/orders/status"decision":"allowed"`},
			"not UTF-8":                 {"GET", "h", "/fn/orders/%ff%fe"},
			"line separator of Unicode": {"GET", "h", "/fn/orders/%e2%80%a8status"},
			"right to left":             {"GET", "h", "/fn/orders/%e2%80%aestatus"},
			"line break in the method":  {"GET\nmsg=x", "h", "/fn/orders/status"},
			"line break in the host":    {"GET", "h\nmsg=x", "/fn/orders/status"},
			"escape in the host":        {"GET", "\x1b]0;x\x07", "/fn/orders/status"},
			"long path":                 {"GET", "h", "/fn/orders/" + long},
			"long path of long letters": {"GET", "h", "/fn/orders/" + strings.Repeat("%e2%82%ac", 8<<10)},
			"long method":               {long, "h", "/fn/orders/status"},
			"long host":                 {"GET", long, "/fn/orders/status"},
		} {
			w.access.Reset()
			r := httptest.NewRequest("GET", "http://x/", nil)
			r.Method, r.Host, r.RequestURI = tt.method, tt.host, tt.target
			w.send(r)
			line := w.access.String()
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || len(line) > 4096 || !utf8.ValidString(line) || strings.ContainsAny(line, "\r\x1b\x07\u2028\u202e") {
				t.Errorf("%s as %s: %d bytes: %.300q", name, format, len(line), line)
			}
			if strings.HasPrefix(name, "long") && !strings.Contains(line, "…") {
				t.Errorf("%s as %s: nothing says that it was cut: %.300q", name, format, line)
			}
			var fields map[string]any
			if format == "json" && (json.Unmarshal([]byte(line), &fields) != nil || fields["msg"] != "request" || fields["level"] != "INFO" || fields["decision"] == nil) {
				t.Errorf("%s: %.300q", name, line)
			}
		}
	}
}

// documented fails if docs/observability.md does not tell of a field.
func documented(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("`"+name+"`")) && name != slog.TimeKey && name != slog.LevelKey && name != slog.MessageKey {
		t.Errorf("docs/observability.md does not tell of %s", name)
	}
}

// What a line says of a call that ran, and that it says no secret.
func TestAccessLog_Fields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, secret := w.key(nil)
	w.g = gateway.New(gateway.Options{Access: slog.New(slog.NewJSONHandler(w.access, nil))}, working(t))
	w.load(t)
	r := httptest.NewRequest("POST", "/fn/orders/webhook?token=hidden", strings.NewReader("12345"))
	r.Header = http.Header{"Authorization": {basic(id, secret)}, "Cookie": {"hidden"}}
	w.send(r)
	var line map[string]any
	if err := json.Unmarshal(w.access.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"decision": "allowed", "status": 200.0, "bytesIn": 5.0, "bytes": 2.0, "function": "orders", "deployment": 1.0, "handler": "webhook", "guard": "access key", "keyId": id, "auth": "basic"} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{"took", "waited", "worked"} { // the first call had to wait for its worker
		if d, _ := line[key].(float64); d <= 0 {
			t.Errorf("%s is %v", key, line[key])
		}
	}
	for key := range line {
		documented(t, key)
	}
	if bytes.Contains(w.access.Bytes(), []byte("hidden")) || bytes.Contains(w.access.Bytes(), []byte(secret)) || line["code"] != nil || line["traceId"] != nil {
		t.Errorf("%s", w.access)
	}
}
