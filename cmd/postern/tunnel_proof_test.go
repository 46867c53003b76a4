package main_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token/tokentest"
	"postern.dev/postern/internal/tunnel"
)

// A tunnel that was opened with a token that is bound to a key stands as any other:
// whether its owner may still have it is asked of the one proof that there is.
func TestTunnel_BoundToken(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	p := tokentest.NewProver(t)
	k, secret := v.mint(func(k *platform.AccessKey) { k.Binding = platform.BindingDPoP })
	v.settle()
	raw, kind := v.grant(k.ID, secret, "DPoP: "+p.Proof("", "POST", v.control+"/oauth2/token", nil)+"\r\n", "", nil)
	if kind != "DPoP" {
		t.Fatalf("no token, %q", kind)
	}
	at := v.control + "/v1/projects/" + k.ProjectID + "/tunnels"
	header := http.Header{"Authorization": {"DPoP " + raw}, "Dpop": {p.Proof(raw, "GET", at, nil)}}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, at, &websocket.DialOptions{Subprotocols: []string{tunnel.Subprotocol}, HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if kind, text, err := c.Read(ctx); err != nil || kind != websocket.MessageText {
		t.Fatalf("no welcome: %v %s", err, text)
	}
	said := make(chan error, 1)
	go func() {
		for {
			if _, _, err := c.Read(ctx); err != nil {
				said <- err
				return
			}
		}
	}()
	select {
	case err := <-said:
		t.Fatalf("it ended: %v", err)
	case <-time.After(2500 * time.Millisecond): // it is looked at each second
	}
	if _, err := v.db.RevokeKey(ctx, k.ProjectID, k.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-said; websocket.CloseStatus(err) != 4002 {
		t.Errorf("behind the end of its key: %v", err)
	}
}
