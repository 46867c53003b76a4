package websocket_test

import (
	"net/http"
	"testing"

	"postern.dev/postern/internal/websocket"
)

func TestAsked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		connection, upgrade string
		want                bool
	}{
		"a handshake":             {"Upgrade", "websocket", true},
		"among others, any case":  {"keep-alive, upgrade", "h2c, WebSocket", true},
		"no Connection":           {"", "websocket", false},
		"Connection of another":   {"keep-alive", "websocket", false},
		"no Upgrade":              {"Upgrade", "", false},
		"another upgrade":         {"Upgrade", "h2c", false},
		"a name that begins like": {"Upgrade", "websocket2", false},
	} {
		if got := websocket.Asked(http.Header{"Connection": {tc.connection}, "Upgrade": {tc.upgrade}}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
