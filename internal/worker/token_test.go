package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
)

// tokened is a connection whose worker may be given tokens, and its other end,
// which has said HELLO with features, and READY; the host has taken both.
func tokened(t *testing.T, features string, token func(time.Time) (Token, error)) (*conn, *peer, *[]string) {
	t.Helper()
	var logged []string
	ready := make(chan struct{})
	host, far := socketPair(t)
	c := newConn(host, events{token: token, ready: func(platform.Declaration, error) { close(ready) }, log: func(_ slog.Level, _, text string) { logged = append(logged, text) }})
	over := make(chan error, 1)
	go func() { over <- c.run() }()
	t.Cleanup(func() { far.Close(); <-over })
	p := &peer{t: t, nc: far}
	p.expect(frameHello)
	p.send(frameHello, 0, 0, []byte("PSTN\x00\x01"+features))
	p.send(frameReady, 0, 0, []byte(readyText))
	<-ready
	return c, p, &logged
}

// nextKind is the kind of the host's next frame, 0 if it has none for a while.
func nextKind(p *peer) frameType {
	p.nc.(*net.UnixConn).SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	defer p.nc.(*net.UnixConn).SetReadDeadline(time.Time{})
	return p.read().kind
}

// A worker that takes tokens has one before its first request, and the next
// one when that is due and no sooner.
func TestToken_SentAndRenewed(t *testing.T) {
	t.Parallel()
	n := 0
	now := time.Now()
	c, p, _ := tokened(t, `{"features":["token"]}`, func(at time.Time) (Token, error) {
		n++
		return Token{Socket: "/s", Text: fmt.Sprint("t", n), RenewAt: at.Add(time.Minute)}, nil
	})
	if f := p.expect(frameToken); string(f.payload) != `{"socket":"/s","token":"t1"}` || f.stream != 0 {
		t.Errorf("the first is %+v", f)
	}
	go c.do(t.Context(), smallCall())
	p.expect(frameRequest)
	c.renewToken(now.Add(30 * time.Second))
	if kind := nextKind(p); kind != 0 {
		t.Errorf("before it is due: a frame of type %d", kind)
	}
	c.renewToken(now.Add(2 * time.Minute))
	if f := p.expect(frameToken); string(f.payload) != `{"socket":"/s","token":"t2"}` {
		t.Errorf("the second is %s", f.payload)
	}
}

// A worker that does not know of tokens is sent none, and not told who calls.
func TestToken_OlderWorker(t *testing.T) {
	t.Parallel()
	made := 0
	c, p, _ := tokened(t, `{"features":["route"]}`, func(time.Time) (Token, error) { made++; return Token{Text: "secret"}, nil })
	c.renewToken(time.Now().Add(time.Hour))
	r := smallCall()
	r.Call = &Call{Function: "caller", FunctionID: "fn-1", Hops: 1}
	go c.do(t.Context(), r)
	if f := p.expect(frameRequest); strings.Contains(string(f.payload), "::") {
		t.Errorf("it was told %q", f.payload)
	}
	if made != 0 {
		t.Errorf("%d tokens were made for it", made)
	}
}

// A token that cannot be made is told in the log, and tried again.
func TestToken_NotMade(t *testing.T) {
	t.Parallel()
	fails := true
	c, p, logged := tokened(t, `{"features":["token"]}`, func(at time.Time) (Token, error) {
		if fails {
			return Token{}, errors.New("no signing key")
		}
		return Token{Socket: "/s", Text: "t", RenewAt: at.Add(time.Minute)}, nil
	})
	if kind := nextKind(p); kind != 0 {
		t.Errorf("a frame of type %d", kind)
	}
	fails = false
	c.renewToken(time.Now().Add(2 * tokenRetry))
	p.expect(frameToken)
	if len(*logged) != 1 || !strings.Contains((*logged)[0], "no signing key") {
		t.Errorf("logged %q", *logged)
	}
}

// A token is in no message.
func TestToken_Redacted(t *testing.T) {
	t.Parallel()
	secret := Token{Socket: "/s", Text: "a.b.c"}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "token", secret)
	if text := fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, secret) + b.String(); strings.Contains(text, "a.b.c") {
		t.Error(text)
	}
}
