// Package websocket is what the gateway's WebSockets have in common, whether
// their other end is an upstream or a handler: which handshakes are taken, from
// pages of which origins, and connections that tell half a message from a whole.
//
// The frames themselves (RFC 6455 §5) are read and written by coder/websocket.
package websocket

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/field"
)

// Conn is an open WebSocket.
type Conn = websocket.Conn

// Asked reports whether a request asks for a WebSocket (RFC 6455 §4.1). Any
// other upgrade may be passed over (RFC 9110 §7.8).
func Asked(h http.Header) bool {
	return field.Listed(h["Connection"], "upgrade") && field.Listed(h["Upgrade"], "websocket")
}

var errHandshake = fault.New(fault.Invalid, "the request is no WebSocket handshake of version 13 (RFC 6455 §4.1), sent by HTTP/1.1").WithCode("upgrade_refused")

// CheckHandshake refuses a handshake that is none.
func CheckHandshake(r *http.Request) error {
	key := r.Header["Sec-Websocket-Key"]
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1) || r.ContentLength != 0 || len(key) != 1 || !slices.Equal(r.Header["Sec-Websocket-Version"], []string{"13"}) {
		return errHandshake
	}
	if nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key[0])); err != nil || len(nonce) != 16 {
		return errHandshake
	}
	return nil
}

// AllowsOrigin reports whether the page that asks may open a WebSocket: it is of
// one of the own origins, or of a listed one, or * is listed. Who sends no Origin
// is no browser, and nobody's page speaks through it.
func AllowsOrigin(h http.Header, listed []string, own ...string) bool {
	origin := h["Origin"]
	return len(origin) == 0 || len(origin) == 1 && (slices.Contains(listed, "*") || IsOrigin(origin[0]) && (hasOrigin(own, origin[0]) || hasOrigin(listed, origin[0])))
}

// IsOrigin reports whether a text is one origin and nothing else; "null" is none.
func IsOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && u.Path == "" && !strings.ContainsAny(s, "?#")
}

// hasOrigin reports whether an origin is listed. Scheme and host do not
// distinguish case.
func hasOrigin(list []string, origin string) bool {
	return slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, origin) })
}

// Subprotocols are those that the caller offers.
func Subprotocols(h http.Header) (list []string) {
	for _, line := range h["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); p != "" {
				list = append(list, p)
			}
		}
	}
	return list
}

// Accept answers a handshake that CheckHandshake and AllowsOrigin let pass, with
// the subprotocol that was chosen, if any. After an error an answer may have been
// sent. What is beneath the connection is put down.
func Accept(w http.ResponseWriter, r *http.Request, beneath *Connections, subprotocol string) (*Conn, error) {
	options := &websocket.AcceptOptions{InsecureSkipVerify: true} // AllowsOrigin did
	if subprotocol != "" {
		options.Subprotocols = []string{subprotocol}
	}
	conn, err := websocket.Accept(hijackable{w, beneath}, r, options)
	if err != nil {
		return nil, fmt.Errorf("accept a WebSocket: %w", err)
	}
	return conn, nil
}
